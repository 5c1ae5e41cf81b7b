"""Hostile configurations: each is one clear line, never a traceback or a wait."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.config import Config, ConfigError, ConfigFaultError, load_apart
from agent.config.load import load
from agent.domain.keys import keys_of


def told(folder: Path, text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    """Return the lines that a configuration is refused with, each fit for a terminal."""
    path = folder / "agent.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert all(line.isprintable() for line in caught.value.problems)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('ai: {concurrency: !!int ""}', "line 1: '' is not a number"),
        ("\nai: {deadline_s: !!float x}", "line 2: 'x' is not a number"),
        ("ai: {model: !!timestamp x}", "the YAML tag 'timestamp' is refused"),
        ("ai: {model: 2026-01-01, concurrency: x}", "ai.concurrency: 'x'"),
        ("journal: {prune: !!bool x}", "line 1: 'x' is neither true nor false"),
        ("ai: !!map x", "tagged as a mapping, which it is not"),
        ("ai: !!map [x]", "tagged as a mapping, which it is not"),
        ("sources: !!seq x", "not valid YAML"),
        ("ai: !!set {x}", "the YAML tag 'set' is refused"),
        ("ai: !!binary eA==", "the YAML tag 'binary' is refused"),
        ("ai: !!omap [x: 1]", "the YAML tag 'omap' is refused"),
        ("ai: !!python/object:os.system x", "is refused; write a plain value"),
        ("ai: {model: !!str [x]}", "is not a single value; put the value in quotes"),
        ("review: {window: {max_age_s: 12:30:00}}", "'12:30:00': input should be a valid number"),
        ("review: {window: {max_age_s: 1:20}}", "give a number of seconds, without a unit"),
        ("review: {window: {max_age_s: 1:20.5}}", "'1:20.5': input should be a valid number"),
        (f"journal: {{max_mib: {'9' * 30}}}", "is too large a number"),
        (f"journal: {{max_mib: {'9' * 5000}}}", "9...' is not a number"),
        (f"journal: {{max_mib: 0x{'f' * 5000}}}", "is too large a number"),
        ("review: {mode: off}", "put the word in quotes"),
        ("review: {mode: off}", "'suspicious', 'all' or 'none'"),
        ("logs: {format: on}", "put the word in quotes"),
        ("agent: {id: 17}", "agent.id: 17 is read as a number; put the text in quotes"),
        ("limits: {*/temperature: {high: 3}}", "line 1, column 10: a value that begins with * or & must be"),
        ("limits:\n  */temperature: {high: 3}", "must be in quotes, as '*/x'"),
        ("limits: {*x: {high: 3}}", "line 1: YAML aliases (*name) are refused; write the value out, or put"),
        ("ai: &a/b {}", "must be in quotes, as '*/x'"),
        ("? [a, b]\n: 1", "a key is a single word here"),
        ("? {a: b}\n: 1", "a key is a single word here"),
        ("null: 1", "null: unknown key"),
        ("<<: {ai: {}}", "<<: unknown key"),
        ("1: 1", "1: unknown key"),
        ('"\\e[31mred": 1', "\\x1b[31mred: unknown key"),
        ('ai: {"\\e]0;x\\a": 1}', "ai.\\x1b]0;x\\x07: unknown key"),
        ('ai: {"a\\nb": 1}', "ai.a\\nb: unknown key"),
        ('"\\ud800": 1', ""),
        ('agent: {state_dir: "/tmp/\\0x"}', "holds a control character"),
        ('agent: {state_dir: ""}', "is empty; write the path of a folder"),
        ("agent: {state_dir: ~nobody-of-that-name/x}", "names a home directory that is not known"),
        ('mqtt: {ca_file: "\\0"}', "holds a control character"),
        (f"mqtt: {{ca_file: {'x' * 5000}}}", "cannot be looked at: File name too long"),
        (f"mqtt: {{url: 'mqtt://{'x' * 70}'}}", "is not an address"),
        ("mqtt: {url: 'mqtt://[::1'}", "is not an address"),
        ("mqtt: {url: 'mqtt://a b'}", "is not an address"),
        ("ai: {base_url: 'https://\u2100.example'}", "is not an address"),
        ("[" * 5000, "line 1: nested more than 32 deep"),
        ("a: 1\n---\nb: 1", "not valid YAML"),
        ("\n".join(f"k{n}: 1" for n in range(100)), "and 80 more"),
    ],
)  # fmt: skip
def test_each_hostile_file_is_a_clear_line(tmp_path: Path, text: str, words: str) -> None:
    """Tags, numbers, aliases, keys and paths that a loader could stumble over."""
    lines = told(tmp_path, text)
    assert any(words in line for line in lines), lines
    assert not any("Traceback" in line or "Error)" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('!!int ""', "EDGE_AGENT_AI__MODEL: line 1: '' is not a number"),
        ("!!timestamp x", "EDGE_AGENT_AI__MODEL: line 1: the YAML tag"),
        ("!!bool x", "EDGE_AGENT_AI__MODEL: line 1: 'x' is neither"),
        ("[", "EDGE_AGENT_AI__MODEL: not valid YAML in line 1"),
        ("*/x", "EDGE_AGENT_AI__MODEL: not valid YAML in line 1, column 1: a value that begins with *"),
        ("[&a x, *a]", "EDGE_AGENT_AI__MODEL: line 1: YAML aliases"),
        ("{a: 1, a: 2}", "EDGE_AGENT_AI__MODEL: a: duplicate key in line 1"),
        ("\x1b[31m", "EDGE_AGENT_AI__MODEL: not valid YAML"),
        ("[" * 5000, "EDGE_AGENT_AI__MODEL: line 1: nested"),
        ("{a: b}", "ai.model: {'a': 'b'}: input should be a valid string"),
    ],
)
def test_a_variable_that_is_no_yaml_is_named(tmp_path: Path, value: str, words: str) -> None:
    """A variable is read as strictly as the file."""
    lines = told(tmp_path, "", {"EDGE_AGENT_AI__MODEL": value})
    assert lines[0].startswith(words), lines


def test_a_home_directory_is_written_as_people_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home directory in the state directory and in files."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").touch()
    path = tmp_path / "agent.yaml"
    path.write_text("agent: {state_dir: ~/x}\nmqtt: {url: 'mqtts://h', ca_file: ~/ca.pem}\n")
    config = load(path, {})
    assert (config.agent.state_dir, config.mqtt.ca_file) == (tmp_path / "x", tmp_path / "ca.pem")


def test_no_kind_of_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory, a device and an empty pipe are refused; a filled pipe is read."""
    monkeypatch.setattr("agent.config.load.PIPE_S", 0.1)
    for path, words in (
        (tmp_path, "Is a directory"),
        (Path("/dev/zero"), "larger than 256 KiB"),
        (tmp_path / "pipe", "an empty pipe"),
    ):
        if path.name == "pipe":
            os.mkfifo(path)
        with pytest.raises(ConfigError, match=words):
            load(path, {})
    ear, mouth = os.pipe()
    os.write(mouth, b"agent: {id: gw5}")
    os.close(mouth)
    assert load(Path(f"/dev/fd/{ear}"), {}).agent.id == "gw5"
    os.close(ear)


def test_a_pipe_that_is_filled_late_is_read() -> None:
    """A shell's process substitution may write later than the reader starts."""
    ear, mouth = os.pipe()

    def write() -> None:
        os.write(mouth, b"agent: {id: gw6}")
        os.close(mouth)

    writer = threading.Timer(0.05, write)
    writer.start()
    assert load(Path(f"/dev/fd/{ear}"), {}).agent.id == "gw6"
    writer.join()
    os.close(ear)


@pytest.mark.process
def test_a_fault_of_ours_in_the_child_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The child that reads the configuration reports kind and place; it prints nothing itself."""

    def broken(_value: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("agent.config.load.load", broken)
    (tmp_path / "agent.yaml").write_text("")
    with pytest.raises(ConfigFaultError, match="a fault of ours: ZeroDivisionError"):
        load_apart(tmp_path / "agent.yaml")
    assert capfd.readouterr() == ("", "")


_KEYS = [*keys_of(Config), "base_url", "url", "topic", "state_dir", "window", "prices", "<<", "on", "~"]
_NAMES = [
    "int",
    "float",
    "bool",
    "null",
    "str",
    "map",
    "seq",
    "set",
    "omap",
    "pairs",
    "binary",
    "timestamp",
    "merge",
    "value",
]
_TAGS = ["", *(f"!!{name} " for name in _NAMES), "! ", "!x ", "&a ", "*a ", "? "]
_PIECES = [*"x1~[-'%@`|>=", "", "1:20", "12:30:00", "off", "*/x", "{}", "[a]", "0x", "0b1", ".inf", ".nan"]
_PIECES += ["1e999", "2026-01-01", '"\\e[1m"', '"\\ud800"', "<<"]
_SCALARS = st.sampled_from(_PIECES) | st.text(max_size=8)
_VALUES = st.recursive(
    st.tuples(st.sampled_from(_TAGS), _SCALARS).map("".join),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(_KEYS) | _SCALARS, inner, max_size=3).map(
            lambda items: f"{{{', '.join(f'{key}: {value}' for key, value in items.items())}}}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(_KEYS) | _SCALARS, _VALUES, max_size=4), _VALUES)
def test_any_tags_scalars_and_keys_are_a_configuration_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, sections: dict[str, str], variable: str
) -> None:
    """No YAML, in the file or in a variable, ends in anything but words."""
    path = tmp_path_factory.getbasetemp() / "fuzz-tags.yaml"
    path.write_bytes(
        "\n".join(f"{key}: {value}" for key, value in sections.items()).encode("utf-8", "surrogatepass")
    )
    with contextlib.suppress(ConfigError):
        load(path, {"EDGE_AGENT_AI__BASE_URL": variable})
    path.write_text("")
    with contextlib.suppress(ConfigError):
        load(path, {"EDGE_AGENT_AI__BASE_URL": variable})
