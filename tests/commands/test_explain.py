"""Decoding and judgement of one message."""

import io
import json
import time
from pathlib import Path

import pytest

from agent.commands.explain import explain
from agent.config import Config, load_apart
from tests.commands.kit import as_json, ask, write_config

pytestmark = pytest.mark.process  # a configuration is read in a child process

AT = 1_795_000_000.0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    path = write_config(
        tmp_path_factory.mktemp("explain"),
        sources=[
            {"topic": "sensors/{device}/{metric}"},
            {
                "topic": "zig/{device}",
                "availability": {"topic": "zig/{device}/availability"},
                "dedupe": "$.id",
            },
        ],
        limits={"*/temperature": {"low": -40, "high": 85, "unit": "degC"}},
    )
    return load_apart(path)


def test_a_reading_within_its_limit(config: Config) -> None:
    """Source, family, time and limit are printed, and the words that a model would see instead of names."""
    told = explain(config, "sensors/boiler/temperature", b'{"value": 71.5, "unit": "C"}', AT)
    assert (told["outcome"], told["source"], told["family"]) == (
        "readings",
        "sensors/{device}/{metric}",
        "generic",
    )
    (one,) = told["readings"]
    assert (one["device"], one["metric"], one["value"], one["at"]) == (
        "boiler",
        "temperature",
        71.5,
        "2026-11-18T11:06:40.000Z",
    )
    assert (one["limit_alarms"], one["limit"]["pattern"]) == (False, "*/temperature")
    assert (told["device_alias"], one["prompt_metric"], one["prompt_unit"]) == (
        "dev_01",
        "temperature",
        "degC",
    )


def test_a_reading_beyond_its_limit(config: Config) -> None:
    """It would alarm, with the score that the detector gives."""
    (one,) = explain(config, "sensors/boiler/temperature", b"99", AT)["readings"]
    assert one["limit_alarms"]
    assert one["limit_score"] >= 3.0


@pytest.mark.parametrize(
    ("unit", "applies"),
    [("°C", True), ("celsius", True), ("C", True), ("degC", True), ("K", False), ("°F", False)],
)
def test_a_limit_and_its_unit(config: Config, unit: str, applies: bool) -> None:
    """A limit holds however the device writes its unit; for another unit it does not, as the report shows."""
    payload = json.dumps({"value": 99, "unit": unit}).encode()
    (one,) = explain(config, "sensors/boiler/temperature", payload, AT)["readings"]
    assert (one["limit_applies"], one["limit_alarms"]) == (applies, applies)


def test_a_name_that_is_not_sent(config: Config) -> None:
    """A metric outside the closed list of words becomes a placeholder."""
    (one,) = explain(config, "sensors/boiler/herr-mueller", b"1", AT)["readings"]
    assert one["prompt_metric"] == "metric_1"


def test_time_and_notes(config: Config) -> None:
    """A time that is not believed is named, and the receipt counts."""
    told = explain(config, "sensors/b/t", json.dumps({"value": 1, "ts": AT + 9e6}).encode(), AT)
    assert (told["time_from"], told["notes"]) == ("receipt", ["time_in_future"])


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("sensors/b/t", b'{"value": 1', "bad_json"),
        ("sensors/b/t", b"NaN", "not_finite"),
        ("sensors//t", b"1", "bad_topic"),
    ],
)
def test_quarantine(config: Config, topic: str, payload: bytes, reason: str) -> None:
    """The reason is the one that the journal would hold."""
    told = explain(config, topic, payload, AT)
    assert (told["outcome"], told["quarantine"]["reason"]) == ("quarantined", reason)


@pytest.mark.parametrize(
    ("topic", "nearest"),
    [
        ("sensor/boiler/temperature", "sensors/{device}/{metric}"),
        ("sensors/boiler", "sensors/{device}/{metric}"),
        ("zig/b/set", "zig/{device}"),
        ("zig/b/availabilty", "zig/{device}/availability"),
        ("elsewhere", "sensors/{device}/{metric}"),
        ("", "sensors/{device}/{metric}"),
    ],
)
def test_a_topic_that_no_source_wants(config: Config, topic: str, nearest: str) -> None:
    """It is not subscribed, so nothing is acknowledged or kept; the nearest source is named."""
    told = explain(config, topic, b"1", AT)
    assert (told["outcome"], told["nearest"], told["quarantine"]) == ("not_subscribed", nearest, None)


def test_the_words_for_a_topic_that_no_source_wants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt topic is found at a glance, in words and in JSON."""
    path = str(write_config(tmp_path))
    code, out, _ = ask(capsys, "explain", "--config", path, "sensor/b/t", "7")
    assert code == 0
    assert "not subscribed: no source matches; nearest is sensors/{device}/{metric}" in out
    assert "acknowledged" not in out
    assert as_json(capsys, "explain", "--config", path, "sensor/b/t", "7")["outcome"] == "not_subscribed"


def test_what_is_no_reading(config: Config) -> None:
    """The agent's own topics, text, availability and publishers' ids are distinguished."""
    assert explain(config, "edge-agent/gw1/verdicts/b", b"{}", AT)["outcome"] == "own"
    assert explain(config, "zig/b", b'{"action": "single"}', AT)["outcome"] == "text_only"
    away = explain(config, "zig/b/availability", b"offline", AT)
    assert (away["outcome"], away["online"], away["device"]) == ("availability", False, "b")
    assert explain(config, "zig/b", b'{"id": "m-17", "temperature": 20}', AT)["message_id"] == "m-17"


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints words, JSON, reads standard input, and needs neither broker nor journal."""
    path = str(write_config(tmp_path, limits={"*/t": {"high": 5}}))
    code, out, err = ask(capsys, "explain", "--config", path, "sensors/b/t", "7")
    assert (code, err) == (0, "")
    assert "b / t = 7" in out
    assert "broken: critical at once" in out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"6.5")))
    told = as_json(capsys, "explain", "--config", path, "sensors/b/t", "-")
    assert told["readings"][0]["value"] == 6.5
    assert told["readings"][0]["at"][:4] == str(time.gmtime().tm_year)
    assert not (tmp_path / "state").exists()


def test_a_terminal_is_not_steered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a topic or payload never reach the terminal as they are."""
    path = str(write_config(tmp_path))
    for argv in (["sensors/\x1b[2J/t", "1"], ["sensors/b/t", '{"\\u001b[2J": "x", "a": 1}']):
        _, out, _ = ask(capsys, "explain", "--config", path, *argv)
        assert "\x1b" not in out


def test_a_wrong_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is reported in one line with exit code 2."""
    path = str(write_config(tmp_path, sources=[]))
    code, out, err = ask(capsys, "explain", "--config", path, "a", "1")
    assert (code, out, err.count("\n")) == (2, "", 1)
