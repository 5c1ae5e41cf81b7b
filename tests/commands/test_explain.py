"""Decoding and judgement of one message."""

import io
import json
import time
from dataclasses import replace
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


def test_a_device_is_named_as_in_a_prompt(config: Config) -> None:
    """By its own name where a person shares names."""
    shared = replace(config, ai=replace(config.ai, share="names"))
    told = explain(shared, "sensors/boiler/temperature", b"71.5", AT)
    assert told["device_alias"] == "boiler"


def test_a_reading_beyond_its_limit(config: Config) -> None:
    """It would alarm, with the score that the detector gives."""
    (one,) = explain(config, "sensors/boiler/temperature", b"99", AT)["readings"]
    assert one["limit_alarms"]
    assert one["limit_score"] >= 3.0


@pytest.mark.parametrize(
    ("unit", "value", "applies"),
    [
        ("°C", 99.0, True),
        ("celsius", 99.0, True),
        ("C", 99.0, True),
        ("degC", 99.0, True),
        ("K", 372.15, True),
        ("°F", 210.2, True),
        ("hPa", 99.0, False),
    ],
)
def test_a_limit_and_its_unit(config: Config, unit: str, value: float, applies: bool) -> None:
    """A limit holds in every unit that converts; for another unit it does not, as the report shows."""
    payload = json.dumps({"value": value, "unit": unit}).encode()
    (one,) = explain(config, "sensors/boiler/temperature", payload, AT)["readings"]
    assert (one["limit_applies"], one["limit_alarms"]) == (applies, applies)


def test_a_diagnostic_is_said(config: Config) -> None:
    """It is a reading that only a limit judges."""
    (one,) = explain(config, "sensors/boiler/rssi", b"-60", AT)["readings"]
    assert one["class"] == "diagnostic"


def test_a_name_that_is_not_sent(config: Config) -> None:
    """A metric outside the closed list of words becomes a placeholder."""
    (one,) = explain(config, "sensors/boiler/herr-mueller", b"1", AT)["readings"]
    assert one["prompt_metric"] == "metric_1"


def test_time_and_notes(config: Config) -> None:
    """A time that is not believed is named, and the receipt counts."""
    told = explain(config, "sensors/b/t", json.dumps({"value": 1, "ts": AT + 9e6}).encode(), AT)
    assert (told["time_from"], told["notes"]) == ("receipt", ["time_in_future"])
    assert told["time_off_s"] == 9e6


@pytest.mark.parametrize(("behind_s", "old"), [(3600.0, False), (86_000.0, False), (86_500.0, True)])
def test_a_time_more_than_a_day_old_is_named(config: Config, behind_s: float, old: bool) -> None:
    """Its handling depends on the other times of its device."""
    payload = json.dumps({"state": "Open", "ts": AT - behind_s}).encode()
    (one,) = explain(config, "sensors/b/t", payload, AT)["readings"]
    assert (one["old"], one["word"]) == (old, "Open")


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("sensors/b/t", b'{"value": 1', "bad_json"),
        ("sensors/b/t", b"\x01\x02", "bad_json"),
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(
        tmp_path_factory.mktemp("site"),
        sources=[
            {
                "topic": "rtl/{host}/events",
                "device": "{$.model}/{$.id}",
                "exclude": ["rtl/test/#"],
                "metrics": {"exclude": ["rssi"], "rename": {"temperature_C": "temperature"}},
                "availability": {"topic": "rtl/{host}/status"},
            },
            {"topic": "z/{name+}/state"},
        ],
    )


RTL = '{"model": "TFA", "id": 7, "temperature_C": 5.1, "rssi": -60}'


@pytest.mark.parametrize(
    ("topic", "payload", "lines"),
    [
        (
            "rtl/h1/events",
            RTL,
            [
                "source rtl/{host}/events (sources[0]), read as generic, recognised, time from the receipt",
                "device TFA/7 from {$.model}/{$.id}",
                "renamed: temperature_C to temperature",
                "no reading: rssi (excluded by metrics.include or metrics.exclude)",
                "TFA/7 / temperature = 5.1",
            ],
        ),
        ("rtl/test/events", RTL, ["(sources[0]), excluded by rtl/test/#", "no later source reads it"]),
        ("rtl/h1/status", "offline", ["all devices of the source under this topic: offline"]),
        ("rtl/h1/events", "{}", ["quarantined: no_device: $.model is missing"]),
        ("z/a/b/config", "1", ["no source matches; nearest is z/{name+}/state", "A subscription brings it"]),
        ("z/a/b/state", "1", ["source z/{name+}/state (sources[1])", "device a/b from topic"]),
    ],
)
def test_each_step_is_printed(
    site: Path, capsys: pytest.CaptureFixture[str], topic: str, payload: str, lines: list[str]
) -> None:
    """The source, an exclusion, the device and its origin, the rules for metrics."""
    _, out, _ = ask(capsys, "explain", "--config", str(site), topic, payload)
    assert [line for line in lines if line not in out] == []


def test_each_step_is_in_the_json(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: place of the source, origin of the device, names before and after."""
    told = as_json(capsys, "explain", "--config", str(site), "rtl/h1/events", RTL)
    assert (told["source_place"], told["device_from"], told["format"]) == (0, "{$.model}/{$.id}", "auto")
    assert (told["renamed"], told["excluded_by"]) == ({"temperature_C": "temperature"}, None)
    told = as_json(capsys, "explain", "--config", str(site), "rtl/test/events", RTL)
    assert (told["outcome"], told["excluded_by"]) == ("excluded", "rtl/test/#")


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


@pytest.mark.parametrize("topic", ["sensors/+/t", "sensors/#", "sensors/a#/t", ""])
def test_a_topic_of_a_message_has_no_wildcard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], topic: str
) -> None:
    """It would be read as a device of that name."""
    code, out, err = ask(capsys, "explain", "--config", str(write_config(tmp_path)), topic, "7")
    assert (code, out) == (2, "")
    assert f"{topic!r} is not the topic of a message" in err


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
