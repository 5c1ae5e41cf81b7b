"""Findings in readings of the past: the same as live, and the same each time."""

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.commands import backtest as backtest_module
from agent.commands.backtest import backtest
from agent.commands.offline import table as table_module
from agent.commands.offline.inputs import Files, Until, open_files, registry_of
from agent.commands.offline.stream import Tabled, Unread
from agent.commands.offline.table import Names
from agent.config import load_apart, settings
from agent.domain.records import Arrival, Reading, Trigger
from agent.journal.offline import OfflineIntake
from agent.pipeline.offline import Concluded, OfflinePath
from tests.commands.history import START, STEP_S, line, points, record, shifted, tabulate
from tests.commands.kit import as_json, ask, write_config

pytestmark = pytest.mark.process  # a configuration is read in a child process

SOURCES = [{"topic": "sensors/{device}/{metric}"}]
END = START + 600 * STEP_S
SHIFT = START + 450 * STEP_S


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, sources=SOURCES)


def moved() -> list[tuple[float, str, float]]:
    return shifted(points(), "dev1", SHIFT, 15.0)


def without_names(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("findings", "counts", "reviews")}


# ----------------------------------------------------------------------------------- what is found


def test_a_shift_is_found_when_it_comes(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The finding has its device, its times and a summary; the other devices have none."""
    tape = record(tmp_path / "week.jsonl", moved())
    told = as_json(capsys, "backtest", str(tape), "--config", str(config))
    (one,) = told["findings"]
    assert (one["device"], one["metric"], one["severity"]) == ("dev1", "temperature", "warning")
    assert one["since"] == "2026-06-26T13:15:00.100Z"
    assert "2026-06-26T13:15:00" < one["opened"] < "2026-06-26T13:15:30"
    assert "temperature" in one["summary"]
    assert told["input"]["readings"] == 1800
    assert told["counts"]["severity"] == {"warning": 1}  # of a history of an hour
    assert told["reviews"]["windows"] >= 1
    assert told["reviews"]["cost_usd"] > 0
    config.write_text(config.read_text() + "\nai: {plot: true, plot_tokens: 5000}\n")
    plots = as_json(capsys, "backtest", str(tape), "--config", str(config))["reviews"]
    calls, tokens = plots["calls"], (plots["tokens"]["input"], told["reviews"]["tokens"]["input"])
    assert 5000 <= tokens[0] - tokens[1] <= 5000 * min(4 * calls, plots["windows"])


def test_calm_readings_have_no_finding(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = record(tmp_path / "calm.jsonl", points())
    code, out, _ = ask(capsys, "backtest", str(tape), "--config", str(config), "--utc")
    assert code == 0
    assert "No findings." in out
    assert "from 2026-06-26 12:00:00 to 2026-06-26 13:39:50, UTC" in out


def test_a_device_that_stops_is_silent(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within the recording that is found; at its end it is not known, unless time passes further."""
    early = [one for one in points() if one[1] != "dev2" or one[0] < SHIFT]
    tape = record(tmp_path / "stops.jsonl", early)
    (one,) = as_json(capsys, "backtest", str(tape), "--config", str(config))["findings"]
    assert (one["device"], one["kind"]) == ("dev2", "silence")

    tape = record(tmp_path / "ends.jsonl", points())
    arguments = ("backtest", str(tape), "--config", str(config))
    assert as_json(capsys, *arguments)["findings"] == []
    found = as_json(capsys, *arguments, "--until", "+1d")["findings"]
    assert sorted((one["device"], one["kind"]) for one in found) == [
        (f"dev{number}", "silence") for number in range(3)
    ]
    assert as_json(capsys, *arguments, "--until", "2026-06-26T13:00:00Z")["input"]["readings"] == 1081


def test_findings_of_one_cause_are_one_incident(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person is notified of an incident: of three devices that stop at once, not of each. Control: two."""
    stops, ends = START + 300 * STEP_S, START + 500 * STEP_S
    whole = [one for one in points() if not stops <= one[0] < ends]
    tape = record(tmp_path / "all.jsonl", whole)
    told = as_json(capsys, "backtest", str(tape), "--config", str(config))
    assert [one["kind"] for one in told["findings"]] == ["silence"] * 3
    assert len({one["incident"] for one in told["findings"]}) == told["counts"]["incidents"] == 1
    _, out, _ = ask(capsys, "backtest", str(tape), "--config", str(config))
    assert "3 findings in 1 incident (3 warning; 3 silence; 0 still open)" in out

    two = [one for one in points() if not stops <= one[0] < ends or one[1] == "dev0"]
    told = as_json(capsys, "backtest", str(record(tmp_path / "two.jsonl", two)), "--config", str(config))
    assert (len(told["findings"]), told["counts"]["incidents"]) == (2, 2)


def test_nothing_is_silent_between_two_recordings(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody recorded meanwhile, as if the link had been down."""
    later = START + 86_400.0
    first = record(tmp_path / "one.jsonl", points())
    second = record(tmp_path / "two.jsonl", points(start=later, seed=2), start=later)
    told = as_json(capsys, "backtest", str(second), str(first), "--config", str(config))
    assert told["findings"] == []
    assert told["input"]["readings"] == 3600


@pytest.mark.parametrize("form", ["columns", "numbers", "shuffled", "semicolons", "wide"])
def test_a_table_has_the_findings_of_the_recording(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Whatever its layout and order: a row is a reading at its own time."""
    all_points = moved()
    tape = record(tmp_path / "week.jsonl", all_points)
    whole = as_json(capsys, "backtest", str(tape), "--config", str(config))
    table = tmp_path / "dev1.csv"
    arguments: tuple[str, ...] = ()
    if form == "columns":
        tabulate(table, all_points)
    elif form == "numbers":
        table.write_text("".join(f"{at},{of},temperature,{value}\n" for at, of, value in all_points))
    elif form == "shuffled":
        tabulate(table, sorted(all_points, key=lambda one: (one[1], one[0])))
    elif form == "semicolons":
        rows = [f"{at};{of};temperature;{str(value).replace('.', ',')}" for at, of, value in all_points]
        table.write_text("\n".join(["\ufeffTime;Device;Metric;Value", *rows]))
    else:
        rows = [
            f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(at))},{value}"
            for at, of, value in all_points
            if of == "dev1"
        ]
        table.write_text("\n".join(["timestamp,value", *rows]))
        arguments = ("--metric", "temperature")
    told = as_json(capsys, "backtest", str(table), "--config", str(config), *arguments)
    (one,), (expected,) = told["findings"], whole["findings"]
    for name in ("device", "metric", "severity", "kind", "summary"):
        assert one[name] == expected[name]
    assert one["since"][:19] == expected["since"][:19]


EXPORTS = {
    "home assistant": (
        (
            "entity_id,state,last_changed,last_updated\n"
            "sensor.boiler,21.5,2026-06-26T12:00:00.000Z,2026-06-26T12:00:00.000Z\n"
            "sensor.boiler,unavailable,2026-06-26T12:01:00.000Z,2026-06-26T12:01:00.000Z\n"
        ),
        ("sensor.boiler", "state", "21.5"),
    ),
    "influxdb": (
        (
            "#group,false,false\n#datatype,string,long\n"
            ",result,table,_start,_stop,_time,_value,_field,_measurement,device\n"
            ",_result,0,2026-06-26T00:00:00Z,2026-06-27T00:00:00Z,2026-06-26T12:00:00Z,21.5,t,climate,boiler\n"
        ),
        ("boiler", "t", "21.5"),
    ),
    "columns": ("Date;Inside;Outside\n2026-06-26 12:00:00;21,5;\n", ("export", "Inside", "21.5")),
    "dates": ("date,value\n2026-06-26,21.5\n", ("export", "value", "21.5")),
    "milliseconds": ("ts,device,metric,value,unit\n1782475200000,a,t,70.7,degF\n", ("a", "t", "70.7")),
    "seconds of a test": ("time,value\n0,21.5\n", ("export", "value", "21.5")),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_tables_of_other_programs(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Columns that are not needed cost nothing; text is not a reading."""
    text, expected = EXPORTS[name]
    table, out = tmp_path / "export.csv", tmp_path / "scores.csv"
    table.write_text(text)
    told = as_json(capsys, "backtest", str(table), "--config", str(config), "--scores", str(out))
    assert told["input"]["readings"] == 1
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["device"], row["metric"], row["value"]) == expected
    dated = {"seconds of a test": "1970-01-01T00:00:00.000Z", "dates": "2026-06-26T00:00:00.000Z"}
    assert row["time"] == dated.get(name, "2026-06-26T12:00:00.000Z")


@pytest.mark.parametrize("run", [512, 1024, 131_072])
def test_a_table_in_no_order_is_sorted_in_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: int
) -> None:
    """Whatever the number of runs, also none left over: by time, equal times in the order of the file."""
    monkeypatch.setattr(table_module, "MAX_RUN", run)
    numbers = [(7 * number) % 2048 for number in range(2048)]
    path = tmp_path / "t.csv"
    path.write_text("time,device,value\n" + "".join(f"{n // 2},d{n},{n}\n" for n in numbers))
    found = list(table_module.open_table(path, Names()).play(Unread()))
    assert [one.mono for one in found] == [n // 2 for n in range(2048)]
    pairs = [{numbers.index(n), numbers.index(n + 1)} for n in range(0, 2048, 2)]
    places = [numbers.index(int(one.readings[0].value)) for one in found if isinstance(one, Tabled)]
    assert places == [place for pair in pairs for place in sorted(pair)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
def test_a_table_in_the_encoding_of_its_program(tmp_path: Path, encoding: str) -> None:
    """Spreadsheets write the code page of Windows, or UTF-16; the names are those of the site."""
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    text = f"{mark}time;device;temperatur;unit\n1767225600;k\u00fche;1.021,5;\u00b0C\n"
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    (found,) = table_module.open_table(path, Names()).play(Unread())
    assert isinstance(found, Tabled)
    (reading,) = found.readings
    assert (reading.device, reading.value, reading.unit) == ("k\u00fche", 1021.5, "\u00b0C")


def test_one_damaged_letter_does_not_change_the_others(tmp_path: Path) -> None:
    """A table in UTF-8 stays one."""
    path = tmp_path / "t.csv"
    path.write_bytes("time,device,value\n1767225600,k\u00fche,1\n1767225601,".encode() + b"k\xfche,2\n")
    rows = table_module.open_table(path, Names()).play(Unread())
    devices = [one.readings[0].device for one in rows if isinstance(one, Tabled)]
    assert devices == ["k\u00fche", "k\ufffdhe"]


def test_rows_of_tables_leave_what_other_messages_leave(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take a short way, also between messages of the same devices with old times."""
    times = [START + place * 600.0 for place in range(600)]
    dice = random.Random(4)
    rows = tabulate(
        tmp_path / "rows.csv", [(at, f"dev{dice.randrange(3)}", dice.gauss(20, 1)) for at in times]
    )
    tape = tmp_path / "tape.jsonl"
    with tape.open("w") as file:
        for at in times[::20]:
            stamp = at if at < START + 86_400.0 or dice.random() < 0.5 else at - 2 * 86_400.0
            body = json.dumps({"ts": stamp, "value": 20.0}).encode()
            file.write(line(at - START, f"sensors/dev{dice.randrange(3)}/temperature", body) + "\n")
    taken: list[bool] = []
    hasten = OfflineIntake._hasten

    def count(intake: OfflineIntake, arrival: Arrival) -> bool:
        taken.append(hasten(intake, arrival))
        return taken[-1]

    monkeypatch.setattr(OfflineIntake, "_hasten", count)
    short = as_json(capsys, "backtest", str(rows), str(tape), "--config", str(config))
    monkeypatch.setattr(OfflineIntake, "_hasten", lambda _intake, _arrival: False)
    assert short == as_json(capsys, "backtest", str(rows), str(tape), "--config", str(config))
    assert sum(taken) > 500
    assert any("history" in one["messages"] for one in short["sources"].values())


def test_sources_retained_values_availability_and_repeats_are_as_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay at the beginning is a seed, a later retained message is live; offline is a finding at once."""
    config = write_config(
        tmp_path,
        sources=[
            {
                "topic": "zig/{device}",
                "dedupe": "$.id",
                "exclude": ["zig/bridge"],
                "availability": {"topic": "zig/{device}/availability"},
            }
        ],
        limits={"*/temperature": {"high": 50}},
    )

    def body(number: int, value: float) -> bytes:
        return json.dumps({"id": number, "temperature": value}).encode()

    lines = [
        line(0.0, "zig/a", body(0, 99.0), retain=True),
        line(1.0, "zig/a", body(1, 20.0), retain=True),
        line(2.0, "zig/a", body(2, 20.5), retain=True),
        line(3.0, "zig/a", body(2, 20.5)),
        line(4.0, "zig/bridge", body(3, 99.0)),
        line(5.0, "other/a", body(4, 99.0)),
        line(6.0, "edge-agent/gw1/verdicts/a", b"{}"),
        line(7.0, "zig/a", b'{"id": 5, "temperature'),
        line(8.0, "zig/a", b'{"id": 6, "action": "pressed"}'),
        line(9.0, "zig/a/availability", b"offline"),
    ]
    tape = tmp_path / "zig.jsonl"
    tape.write_text("\n".join(lines))
    told = as_json(capsys, "backtest", str(tape), "--config", str(config))
    own, rest = told["sources"]["zig/{device}"], told["sources"]["no source"]
    assert own["messages"] == {
        "seed": 1, "read": 2, "duplicate": 1, "excluded": 1, "text": 1, "refused": 1, "availability": 1,
    }  # fmt: skip
    assert rest["messages"] == {"unmatched": 1, "own": 1}
    assert own["readings"] == 2
    (one,) = told["findings"]
    assert (one["device"], one["kind"]) == ("a", "silence")
    assert "offline" in one["summary"]


def test_a_recording_of_a_fast_simulation(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its clock is that of the payloads, with whatever delay each message was sent."""
    all_points, tape, dice = moved(), tmp_path / "fast.jsonl", random.Random(3)
    offset, lines = 0.0, []
    for at, device, value in all_points:
        offset = max(offset, (at - START) / 300.0 + abs(dice.gauss(0.0, 0.05)))
        body = json.dumps({"ts": at, "value": value}).encode()
        lines.append(line(round(offset, 6), f"sensors/{device}/temperature", body))
    tape.write_text("\n".join(lines))
    real = record(tmp_path / "real.jsonl", all_points)
    fast, slow = (as_json(capsys, "backtest", str(one), "--config", str(config)) for one in (tape, real))
    assert round(fast["input"]["sources"][0]["pace"]) == pytest.approx(300, abs=10)
    (one,), (other,) = fast["findings"], slow["findings"]
    for name in ("device", "since", "kind", "severity", "summary"):
        assert one[name] == other[name]


def test_a_backlog_at_the_beginning_is_no_simulation(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that was away sends an hour within seconds, and then goes on in real time."""
    tape = tmp_path / "backlog.jsonl"
    lines = []
    for number, (at, device, value) in enumerate(points(steps=900)):
        offset = max(number * 0.005, at - START - 3600.0)
        body = json.dumps({"ts": at, "value": value}).encode()
        lines.append(line(round(offset, 6), f"sensors/{device}/temperature", body))
    tape.write_text("\n".join(lines))
    told = as_json(capsys, "backtest", str(tape), "--config", str(config))
    assert told["input"]["sources"][0]["pace"] == 1.0
    assert told["findings"] == []


def test_a_recording_without_times(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It begins at the given time, else at a fixed one."""
    tape = record(tmp_path / "bare.jsonl", moved(), timed=False)
    arguments = ("backtest", str(tape), "--config", str(config))
    assert as_json(capsys, *arguments)["input"]["from"] == "2024-01-01T00:00:00.000Z"
    told = as_json(capsys, *arguments, "--start", "2026-06-26T12:00:00+00:00")
    (one,) = told["findings"]
    assert one["since"] == "2026-06-26T13:15:00.100Z"
    two = as_json(capsys, *arguments[:2], str(tape), *arguments[2:])
    assert two["input"]["to"] == "2024-01-01T03:19:41.400Z"  # one after the other


# --------------------------------------------------------------------------------- always the same


@pytest.mark.parametrize("review", [{}, {"audits_per_day": 5000}, {"mode": "none"}, {"mode": "all"}])
def test_windows_that_are_passed_by_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, review: dict[str, object]
) -> None:
    """All is as if each window had been concluded, and only the calm ones are passed by."""
    config = write_config(tmp_path, sources=SOURCES, review=review)
    loaded, files = load_apart(config), [tabulate(tmp_path / "week.csv", moved())]
    concluded: list[Concluded] = []

    def run(*, whole: bool) -> tuple[dict[str, Any], int]:
        def make(passed: Callable[[Trigger, float], None], **others: Any) -> OfflinePath:
            take = others.pop("concluded")

            def conclude(each: Concluded) -> None:
                concluded.append(each)
                take(each)

            return OfflinePath(passed=None if whole else passed, concluded=conclude, **others)

        monkeypatch.setattr(backtest_module, "OfflinePath", make)
        concluded.clear()
        return backtest(loaded, Files(open_files(files, loaded)), Until(), tap=None), len(concluded)

    (each, most), (told, some) = run(whole=True), run(whole=False)
    assert told == each
    assert told["findings"]
    assert most == sum(told["counts"]["windows"].values())
    assert some == most if review.get("mode") == "all" else some < most


@pytest.mark.slow
def test_series_that_were_forgotten_are_told(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More come than the detector keeps: not all that was read was judged."""
    table = tmp_path / "many.csv"
    rows = (f"{START + 10 * number},d{number},temperature,20" for number in range(10_150))
    table.write_text("\n".join(["time,device,metric,value", *rows]), encoding="utf-8")
    code, out, _ = ask(capsys, "backtest", str(table), "--config", str(config))
    assert code == 0
    assert "200 series forgotten, because at most 10000 are kept" in out
    assert "Everything was read" not in out


def test_the_same_bytes_each_time(tmp_path: Path, config: Path) -> None:
    """In another process with another hash seed, also the ids; and another machine has no part in it."""
    tape, scores = record(tmp_path / "week.jsonl", moved()), tmp_path / "scores.csv"

    def once(seed: str, zone: str) -> tuple[bytes, bytes]:
        argv = ["backtest", str(tape), "--json", "--config", str(config), "--scores", str(scores)]
        done = subprocess.run(
            [sys.executable, "-m", "agent", *argv],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            check=True,
        )
        return done.stdout, scores.read_bytes()

    first = once("1", "UTC")
    assert first == once("2", "America/Lima")
    assert json.loads(first[0])["findings"][0]["id"]


def test_scores_are_those_of_the_detector(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row for each reading, in order, with a value that reads back exactly."""
    all_points = moved()
    tape, out = record(tmp_path / "week.jsonl", all_points), tmp_path / "scores.csv"
    as_json(capsys, "backtest", str(tape), "--config", str(config), "--scores", str(out))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time", "device", "metric", "value", "score", "kind"]
    detector = settings.make_detector(load_apart(config))
    for row, (at, device, value) in zip(rows, all_points, strict=True):
        score = detector.update(Reading(device, "temperature", at, value), at)
        assert (row["device"], float(row["value"])) == (device, value)
        assert (row["score"], row["kind"]) == (f"{score.value:.6g}", score.kind.value)


def test_scores_can_be_read_again(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is a table itself."""
    tape, out = record(tmp_path / "week.jsonl", moved()), tmp_path / "scores.csv"
    arguments = ("--config", str(config))
    told = as_json(capsys, "backtest", str(tape), *arguments, "--scores", str(out))
    again = as_json(capsys, "backtest", str(out), *arguments)
    assert without_names(again) == without_names(told)
    code, _, err = ask(capsys, "backtest", str(out), *arguments, "--scores", str(out))
    assert (code, "is one of the inputs" in err) == (2, True)


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.slow
def test_the_pace_is_that_of_decoder_and_detector(tmp_path: Path, config: Path) -> None:
    """Windows, intake and the file cost a few times as much as these two alone, not an order more."""
    tape = record(tmp_path / "long.jsonl", points(devices=20, steps=1000))
    loaded = load_apart(config)
    files = Files(open_files([tape], loaded))
    registry, detector = registry_of(loaded), settings.make_detector(loaded)
    messages = [
        (f"sensors/{device}/temperature", json.dumps({"ts": at, "value": value}).encode(), at)
        for at, device, value in points(devices=20, steps=1000)
    ]

    def bare() -> None:
        for topic, payload, at in messages:
            for reading in registry.decode(topic, payload, at).readings:
                detector.update(reading, at)

    ratios = []
    for _ in range(3):
        whole = seconds(lambda: backtest(loaded, files, Until(), tap=None))
        ratios.append(whole / seconds(bare))
    assert min(ratios) < 8.0, ratios


# ------------------------------------------------------------------------------------------ against


def test_another_configuration_gains_loses_and_changes(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit changes the shift, finds a device that was calm, and an excluded device is lost."""
    all_points = shifted(moved(), "dev0", SHIFT, -15.0)
    tape = record(tmp_path / "week.jsonl", all_points)
    other = write_config(
        tmp_path / "other",
        sources=[{"topic": "sensors/{device}/{metric}", "exclude": ["sensors/dev0/#"]}],
        limits={"dev1/temperature": {"high": 30}, "dev2/temperature": {"high": 20.5}},
    )
    arguments = ("backtest", str(tape), "--config", str(config), "--against", str(other))
    told = as_json(capsys, *arguments)["against"]
    assert {one["device"] for one in told["lost"]} == {"dev0"}
    assert {one["device"] for one in told["gained"]} == {"dev2"}
    (pair,) = told["changed"]
    assert (pair["before"]["device"], pair["after"]["kind"]) == ("dev1", "out_of_range")
    code, out, _ = ask(capsys, *arguments)
    assert code == 0
    assert f"With {other}: {len(told['lost'])} finding" in out


def test_both_configurations_see_the_same_input(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The beginning of a recording is that of the first one, also if the other reads no time in it."""
    tape = record(tmp_path / "week.jsonl", moved())
    source = {"topic": "sensors/{device}/{metric}", "time": {"field": "$.nowhere"}}
    other = write_config(tmp_path / "other", sources=[source])
    arguments = ("backtest", str(tape), "--config", str(config), "--against", str(other))
    told = as_json(capsys, *arguments)["against"]
    assert (told["lost"], told["gained"]) == ([], [])


def test_against_itself_nothing_changes(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = record(tmp_path / "week.jsonl", moved())
    arguments = ("backtest", str(tape), "--config", str(config), "--against", str(config))
    told = as_json(capsys, *arguments)["against"]
    assert (told["lost"], told["gained"], told["changed"], told["same"]) == ([], [], [], 1)
    assert told["reviews"]["before"] == told["reviews"]["after"]


def test_a_fault_in_the_other_configuration_names_its_file(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = record(tmp_path / "week.jsonl", points(steps=2))
    other = tmp_path / "other.yaml"
    other.write_text("limits: 5\n")
    code, _, err = ask(capsys, "backtest", str(tape), "--config", str(config), "--against", str(other))
    assert code == 2
    assert f"edge-agent: {other}: limits" in err


# ------------------------------------------------------------------------------------------- faults


def test_bad_lines_and_rows_are_counted_with_their_place(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording whose end was lost, and lines of something else, cost only themselves."""
    tape = tmp_path / "torn.jsonl"
    good = line(1.0, "sensors/a/t", b"20")
    bad = [
        "[1]",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        '{"offset": -1, "topic": "a", "payload": ""}',
        '{"offset": NaN, "topic": "a", "payload": ""}',
        '{"offset": 1, "topic": "a/#", "payload": ""}',
        '{"offset": 1, "topic": "a", "payload": "x"}',
        '{"offset": 1, "topic": "a", "payload": 5}',
        "[" * 100_000,
    ]
    tape.write_text("\n".join([good, *bad, good, good[:40]]))
    told = as_json(capsys, "backtest", str(tape), "--config", str(config))
    assert told["input"]["readings"] == 2
    assert sum(one["count"] for one in told["unread"].values()) == len(bad) + 1
    assert "torn.jsonl: line 2" in told["unread"]["not an object"]["examples"]

    table = tmp_path / "t.csv"
    table.write_text("time,device,metric,value\n1782475200,a,t,20\nx,a,t,1\n1,a,t,nan\n1,a,t,\n1,,t,1\n1,a\n")
    told = as_json(capsys, "backtest", str(table), "--config", str(config))
    assert {name: one["count"] for name, one in told["unread"].items()} == {
        "no time": 1, "not finite": 1, "no value": 1, "bad name": 1, "too few columns": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the first line is ''"),
        ("time,value\n", "holds no reading"),
        ("a,b\n1,2\n", "begin with time,device,metric,value"),
        ("time,value\nyesterday,2\n", "row 2: no time"),
        ("time\n5\n", "has no column of values"),
    ],
)
def test_a_table_that_cannot_be_read(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    table = tmp_path / "t.csv"
    table.write_text(text)
    code, out, err = ask(capsys, "backtest", str(table), "--config", str(config))
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "--since 7d"),
        (("{tape}", "--since", "1d"), "leave it out"),
        (("nowhere.jsonl",), "cannot be read"),
        (("/dev/null",), "is not a file"),
        (("{tape}", "--until", "soon"), "is not a time"),
        (("{tape}", "--until", "+soon"), "is not a time span"),
        (("{tape}", "--start", "5x"), "is not a time"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: str
) -> None:
    tape = record(tmp_path / "week.jsonl", points(steps=2))
    arguments = [one.replace("{tape}", str(tape)) for one in argv]
    code, out, err = ask(capsys, "backtest", *arguments, "--config", str(config))
    assert (code, out) == (2, "")
    assert words in err


def test_a_file_of_something_else(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing in it is a message: that is an error, not a result without findings."""
    tape = tmp_path / "notes.jsonl"
    tape.write_text('{"note": "hello"}\n')
    code, out, err = ask(capsys, "backtest", str(tape), "--config", str(config))
    assert (code, out) == (2, "")
    assert "notes.jsonl: holds no message; notes.jsonl: line 1: no offset" in err


def test_a_recording_that_goes_back(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two recordings in one file have two beginnings."""
    tape = tmp_path / "two.jsonl"
    tape.write_text("\n".join([line(5.0, "sensors/a/t", b"1"), line(1.0, "sensors/a/t", b"1")]))
    code, _, err = ask(capsys, "backtest", str(tape), "--config", str(config))
    assert (code, "line 2 is earlier than the one before" in err) == (2, True)


def test_hostile_names_do_not_steer_the_terminal(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Devices and topics are foreign text."""
    tape = tmp_path / "evil\x1b.jsonl"
    config = write_config(tmp_path, sources=SOURCES, limits={"*/*": {"high": 1}})
    tape.write_text(
        "\n".join(
            [
                line(0.0, "sensors/a\u202eb/t", b"99"),
                line(1.0, "sensors/\x1b[31m/t", b"99"),
                line(2.0, "sensors/a/t", b'{"\x1b]0;x": "text"}'),
            ]
        )
    )
    code, out, err = ask(capsys, "backtest", str(tape), "--config", str(config))
    assert code == 0
    assert all(char.isprintable() or char == "\n" for char in out + err)
