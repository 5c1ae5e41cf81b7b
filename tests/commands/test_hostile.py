"""Hostile arguments of commands: words and an exit code, never a traceback."""

import os
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.past import prompter
from agent.config import ConfigError
from tests.commands.kit import ask, write_config

pytestmark = pytest.mark.process

COMMANDS = [
    ["check"],
    ["run"],
    ["doctor", "--no-ai", "--listen", "0"],
    ["explain", "sensors/a/b", "1"],
    ["show", "x"],
    ["ask", "x"],
    ["inspect"],
    ["inspect", "d"],
    ["replay", "--model", "m"],
    ["budget", "show"],
    ["budget", "reset"],
]
READERS = [argv for argv in COMMANDS if argv != ["run"]]
WORDS = ["", "\x1b[31m", "\udcff\udcfe", "a" * 100_000, "%", "../..", "#", "$SYS/x", "\n", "--", "nan", "-1",
         "1e400", "9" * 400, "\u0663"]  # fmt: skip
DEAD = {"url": "mqtt://127.0.0.1:1"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of the developer, no patience with a pipe, and the signals as they were."""
    for name in list(os.environ):
        if name.startswith(("EDGE_AGENT_", "OPENAI_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("agent.config.load.PIPE_S", 0.05)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def answer(capfd: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command; return code, output and errors, all of them fit for a terminal."""
    capfd.readouterr()
    try:
        code = main(argv)
    except SystemExit as end:  # as argparse ends
        code = int(str(end.code))
    out, err = capfd.readouterr()
    assert code in {0, 2, 69}, (argv, err[-500:])
    for sign in ("Traceback", "a fault of ours", "\x1b"):
        assert sign not in out + err, (argv, err[-500:])
    assert (code == 0) or out or err
    return code, out, err


def files(folder: Path) -> Iterator[str]:
    """Yield paths that are not a configuration."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to(folder / "loop")
    contents = {
        "binary": bytes(range(256)),
        "latin": "agent: {id: \u00fc}".encode("latin-1"),
        "huge": b"#" * 300_000,
        "nul": b"a: \0",
        "\x1b[1mescape": b"x: 1",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    yield from map(str, (folder, folder / "missing", folder / "pipe", folder / "loop", folder / "a\nb"))
    yield from (str(folder / name) for name in contents)
    yield from ("", "x" * 5000, "/dev/zero", os.fsdecode(bytes(folder) + b"/\xff"))


def test_no_file_is_too_strange_for_a_configuration(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command that gets a file other than a configuration names it in one line and ends with 2."""
    for place, path in enumerate(files(tmp_path)):
        for argv in COMMANDS if place == 0 else [["check"], COMMANDS[1 + place % 9]]:
            code, out, err = answer(capfd, *argv, "--config", path)
            assert (code, out) == (2, "")
            assert all(line.startswith("edge-agent: ") for line in err.splitlines())


FILES = {
    "garbage": lambda path: path.write_bytes(os.urandom(5000)),
    "half": lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000),
    "empty": lambda path: path.touch(),
    "pipe": os.mkfifo,
    "directory": Path.mkdir,
    "link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "foreign": lambda path: sqlite3.connect(path).executescript("CREATE TABLE x(a)").connection.close(),
}


@pytest.mark.parametrize("make", FILES.values(), ids=list(FILES))
@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite-wal", "journal.lock", "budget.sqlite"])
def test_no_state_directory_is_too_strange(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make: Callable[[Path], object]
) -> None:
    """The commands that look into it report the fault of a file there."""
    config = write_config(tmp_path, mqtt=DEAD)
    (tmp_path / "state").mkdir(mode=0o700)
    make(tmp_path / "state" / name)
    for argv in READERS:
        if argv[0] not in {"check", "explain"}:
            answer(capfd, *argv, "--config", str(config))


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, lambda path: path.symlink_to(path)])
def test_no_state_directory_that_is_none_is_too_strange(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], make: Callable[[Path], object]
) -> None:
    """A file, a pipe or a loop of links in its place."""
    config = write_config(tmp_path, mqtt=DEAD)
    make(tmp_path / "state")
    for argv in READERS:
        answer(capfd, *argv, "--config", str(config))


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b" \n", b"k" * 100_000, "schl\u00fcssel-lang".encode(), b"a\ncanary-key"],
)
def test_no_secret_is_too_strange(tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes) -> None:
    """Keys, passwords and certificates that are none are named, and not repeated."""
    secret = tmp_path / "secret"
    secret.write_bytes(content)
    secret.chmod(0o600)
    endpoint = {"base_url": "http://127.0.0.1:1/v1"}
    sections = [
        {"ai": endpoint | {"api_key_file": str(secret)}, "mqtt": DEAD},
        {"mqtt": DEAD | {"username": "u", "password_file": str(secret)}},
        {"mqtt": {"url": "mqtts://127.0.0.1:1", "ca_file": str(secret)}},
        {"mqtt": {"url": "mqtts://127.0.0.1:1", "cert_file": str(secret), "key_file": str(secret)}},
    ]
    for place, section in enumerate(sections):
        config = write_config(tmp_path / str(place), **section)
        _, out, err = answer(capfd, "doctor", "--ai", "--listen", "0", "--config", str(config))
        assert "canary" not in out + err


@pytest.mark.parametrize("word", WORDS)
def test_no_argument_is_too_strange(tmp_path: Path, capfd: pytest.CaptureFixture[str], word: str) -> None:
    """Control characters, bytes that are not text, enormous and odd numbers, empty words."""
    config = write_config(tmp_path, mqtt=DEAD)
    for argv in (
        ["show", word],
        ["inspect", word],
        ["explain", word, word],
        ["explain", "sensors/a/" + word, word, "--json"],
        ["doctor", "--no-ai", f"--listen={word}"],
        ["replay", f"--model={word}", f"--prompt={word}"],
        ["replay", "--model=m", f"--since={word}d"],
        ["replay", "--model=m", f"--limit={word}"],
        ["replay", "--model=m", f"--max-usd={word}"],
        ["replay", "--model=m", f"--base-url={word}"],
        ["replay", "--model=m", f"--base-url=http://u:p@{word}"],
        ["replay", "--model=m", f"--profile={word}"],
        ["budget", word],
        ["budget", "show", f"--config={word}"],
        ["schema", word],
        [word],
    ):
        with_config = [] if argv[-1].startswith("--config") or argv[0] in {"schema", word} else ["--config"]
        answer(capfd, *argv, *(with_config and ["--config", str(config)]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOME", ""),
        ("TZ", "\x1b[1m/../x"),
        ("TMPDIR", "/nonexistent"),
        ("COLUMNS", "x"),
        ("EDGE_AGENT_AI", "x"),
        ("EDGE_AGENT_AI__", "x"),
        ("EDGE_AGENT___X", "x"),
        ("EDGE_AGENT_\x1b__X", "x"),
        ("EDGE_AGENT_AI__MODEL", "\udcff"),
        ("CREDENTIALS_DIRECTORY", "x" * 5000),
        ("OPENAI_API_KEY", "sk-\u00fc\n\x1b-canary"),
        ("OPENAI_BASE_URL", "\udcff"),
        ("OPENAI_MODEL", "\x1b" * 9),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "\udcff"),
        ("OTEL_TRACES_SAMPLER_ARG", "x"),
    ],
)
def test_no_environment_is_too_strange(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Variables that are not YAML, text, an address or a directory."""
    config = write_config(tmp_path, mqtt=DEAD)
    monkeypatch.setenv(name, value)
    for argv in (["check"], ["doctor", "--ai", "--listen", "0"], ["budget", "show"]):
        if name == "OPENAI_API_KEY":
            monkeypatch.setenv(name, value)  # a command that reads it takes it out of the environment
        _, out, err = answer(capfd, *argv, "--config", str(config))
        assert "canary" not in out + err


def test_what_was_typed_is_repeated_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal is not steered by an argument that is not an option."""
    with pytest.raises(SystemExit) as end:
        ask(capsys, "budget", "show", "\x1b[31mred", "--config", str(tmp_path))
    assert end.value.code == 2
    assert "\\x1b[31mred" in capsys.readouterr().err


def test_a_file_where_the_state_directory_belongs_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No command advises to create it, to change its mode or to be another user."""
    (tmp_path / "file").write_text("")
    for state in ("file", "file/below"):
        config = write_config(tmp_path, agent={"id": "gw1", "state_dir": str(tmp_path / state)}, mqtt=DEAD)
        for argv in (["inspect"], ["show", "abcd"]):
            code, _, err = answer(capfd, *argv, "--config", str(config))
            assert (code, "is not a directory; correct agent.state_dir" in err) == (69, True), err
        assert "chmod" not in answer(capfd, "check", "--config", str(config))[2]


def test_an_endless_prompt_is_read_in_part() -> None:
    """A device instead of a file ends in words."""
    with pytest.raises(ConfigError, match="is empty or above 16384 bytes"):
        prompter("/dev/zero", [])


def test_a_directory_of_another_user_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    """As with a service's own directory, where only root and the service may look."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = write_config(
            folder, agent={"id": "gw1", "state_dir": str(folder / "private/state")}, mqtt=DEAD
        )
        config.chmod(0o644)
        (folder / "private").mkdir(mode=0o700 if os.geteuid() == 0 else 0)
        for argv in READERS:  # loads their modules: others may lack access to root's interpreter
            answer(capfd, *argv, "--config", str(config))
        with another_user():
            for argv in READERS:
                answer(capfd, *argv, "--config", str(config))
            _, out, _ = answer(capfd, "doctor", "--no-ai", "--listen", "0", "--config", str(config))
        assert "private/state cannot be looked at: Permission denied" in out


@contextmanager
def another_user() -> Iterator[None]:
    """Be nobody for a while, if this is root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_long_paths_and_locks_are_bounded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A path that no file system takes is a fault of the configuration; a huge lock file is not read."""
    config = write_config(tmp_path, agent={"id": "gw1", "state_dir": "/" + "x" * 300}, mqtt=DEAD)
    for argv in COMMANDS:
        assert answer(capfd, *argv, "--config", str(config))[0] == 2
    config = write_config(tmp_path, mqtt=DEAD)
    (tmp_path / "state").mkdir(mode=0o700)
    with (tmp_path / "state" / "journal.lock").open("wb") as file:
        file.truncate(3 << 30)
    answer(capfd, "doctor", "--no-ai", "--listen", "0", "--config", str(config))
