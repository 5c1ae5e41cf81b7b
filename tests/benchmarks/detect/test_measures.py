"""The measures of the detector, in a small form."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.decode.registry import Registry
from tests.benchmarks.detect import cadence, cost, nab, night, ordinary, picture, signals
from tests.benchmarks.detect.__main__ import main
from tests.benchmarks.detect.bases import BASES, FAULTS, MONDAY, Base, histories
from tests.benchmarks.detect.contestants import PRODUCT
from tests.benchmarks.detect.coupled_devices import COUPLED
from tests.benchmarks.detect.ordinary import DEVICES
from tests.benchmarks.detect.site import Ordinary
from tests.benchmarks.detect.table import Figure, Table
from tests.benchmarks.inprocess import configure


@pytest.mark.parametrize("base", BASES.values(), ids=lambda base: base.name)
def test_a_base_is_a_function_of_its_key(base: Base) -> None:
    """The same key gives the same values, another one others."""
    assert base.take("1/0", 100) == base.take("1/0", 100) != base.take("2/0", 100)
    assert all(map(math.isfinite, base.take("1/0", 100)[1]))


def test_an_incident_is_in_its_history_alone() -> None:
    """30 minutes of 10 sd on day 6, and the values as they were before and after."""
    base = BASES["white"]
    _, healthy = base.take("1/0", 7 * 1440)
    spoilt = histories(base)["dirty30"].spoil(healthy, base)
    changed = [place for place, pair in enumerate(zip(healthy, spoilt, strict=True)) if pair[0] != pair[1]]
    assert changed == list(range(6 * 1440, 6 * 1440 + 30))
    assert spoilt[6 * 1440] == healthy[6 * 1440] + 10.0


@pytest.mark.slow
def test_a_shift_is_found_by_who_looks_and_not_by_who_does_not() -> None:
    """Ten deviations on white noise after ten days: the detector and the z-score, not the blind ones."""
    outcomes = {
        name: signals.run(signals.Job("white", name, 1, 0)) for name in (PRODUCT, "EWMA z 4", "every 1000")
    }
    trial = ("clean", "shift 10", 10.0)
    assert {name: one.found[trial] for name, one in outcomes.items()} == {
        PRODUCT: True,
        "EWMA z 4": True,
        "every 1000": False,
    }
    blind = outcomes["every 1000"]
    assert (blind.first, blind.first + blind.later) == (3, blind.readings // 1000)


def test_silence_is_found_by_time_alone() -> None:
    """A fault without values is found when its due time is within the deadline."""
    silent = FAULTS["silent"]
    assert silent.happen([1.0, 2.0], 1.0, BASES["white"], random.Random(1)) == []
    assert silent.deadline_s(60.0) == 1800.0
    assert silent.deadline_s(3600.0) == 30 * 3600.0


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_the_decoder_reads_every_message_of_an_ordinary_device(device: Ordinary) -> None:
    """A message that is refused would make a quiet device by mistake."""
    messages = device.messages(days=1, seed=1)
    registry = Registry(sources=configure({}, [device.source]).sources, base_topic="edge-agent/test")
    decoded = [registry.decode(one.topic, one.payload, one.at) for one in messages[:500]]
    assert len(decoded) > 20
    assert sum(len(one.readings) for one in decoded) >= len(decoded)
    assert messages == device.messages(days=1, seed=1)


@pytest.mark.slow
def test_ordinary_devices_are_counted_by_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blind rival has a finding for each alarm; a device that was not looked at has tables of its own."""
    monkeypatch.setitem(DEVICES, "pulse_counter", replace(DEVICES["pulse_counter"], tuned=False))
    report = ordinary.measure(1, 1, days=4, devices=("thermostat", "pulse_counter"), why=True)
    tuned, _, fresh, _, why = report.tables
    (thermostat, everything), (gas, _) = dict(tuned.rows[:2]).items(), fresh.rows
    assert thermostat[0] == "thermostat"
    assert gas[0] == "pulse_counter"
    assert everything[1] == thermostat[1]
    blind = tuned.columns.index("every 1000")
    assert int(str(thermostat[1][blind])) >= 1
    assert len(why.rows) == sum(round(float(str(one[1][0]))) for one in (thermostat, gas))
    assert ET.fromstring(report.pictures["detect-ordinary.svg"]).tag.endswith("svg")


@pytest.mark.slow
def test_a_night_is_a_silence_for_who_knows_no_rhythm() -> None:
    """The rival reports each of three days at work, and a death within gaps; the table names both."""
    work = night.Job("school air 10 min", night.RIVAL, 1, 10, dies=False)
    assert len(night.run(work)) >= 3
    (delay,) = night.run(night.Job("machine 10 s", PRODUCT, 1, 3, dies=True))
    assert 0 < delay < 3600


def test_the_nights_of_a_device_are_counted_from_its_dusk() -> None:
    """The night that begins in the evening of the first day is the first, until the next dusk."""
    inverter = night.SLEEPERS["inverter 30 s"]
    assert [inverter.nights(MONDAY + hours * 3600.0) for hours in (18.6, 30, 42.6)] == [1, 1, 2]
    office = night.SLEEPERS["office PC 60 s"]
    friday, monday, tuesday = (MONDAY + hours * 3600.0 for hours in (4 * 24 + 18.2, 7 * 24 + 7, 8 * 24 + 7))
    assert [night.at_weekend(office, at) for at in (friday, monday, tuesday)] == [True, True, False]


def test_a_stuck_sensor_is_found_at_a_minute() -> None:
    """The measure finds a flatline within tens of readings, with the detector and not with a z-score."""
    report = cadence.run(cadence.Job("white", 60.0, (1.0,), FAULTS["stuck"], PRODUCT, 1, 0))
    assert 10 <= (report[1.0] or 0) <= 40
    assert cadence.run(cadence.Job("white", 60.0, (1.0,), FAULTS["stuck"], "3 sd", 1, 0)) == {1.0: None}


def test_nab_scores_0_for_silence_and_100_for_perfection(tmp_path: Path) -> None:
    """Its scale, and what a false alarm costs."""
    (file,) = nab.read_files(_nab(tmp_path))
    assert nab.nab([file], lambda one: nab.weigh(one, iter(()))) == 0.0
    assert nab.nab([file], lambda one: nab.weigh(one, iter([800]))) == 100.0
    assert nab.nab([file], lambda one: nab.weigh(one, iter([300, 800]))) == pytest.approx(94.5)
    assert list(nab.detections([0, 1, 1, 0, 1], 1.0, apart=1)) == [1, 4]


@pytest.mark.slow
def test_nab_is_a_table_of_all_contestants(tmp_path: Path) -> None:
    """A step in noise is found by the detector, and the promise states whether it is enough."""
    report = nab.measure(1, _nab(tmp_path))
    (detector, *_), (promise,) = report.tables[0].rows, report.promises
    assert detector[1][1] == "1 of 1"
    assert promise.kept


@pytest.mark.process
@pytest.mark.slow
def test_cost_is_measured_in_the_same_rounds() -> None:
    """Every contestant takes time, and a series takes memory."""
    report = cost.measure(1, updates=500, devices=20)
    assert all(float(str(row[1][0])) > 0 for row in report.tables[0].rows)
    assert report.promises[0].what == "bytes RSS a series"


def test_a_table_prints_mean_and_spread() -> None:
    """Aligned text for people, pairs for programs."""
    table = Table("title", ("a", "b"))
    table.add("row", Figure.of([90.0, 100.0]), None)
    assert str(table) == "title\n        a  b\nrow  95±5"
    assert table.as_json()["rows"] == [["row", [95.0, 5.0], None]]


def test_a_picture_has_a_line_for_each_series() -> None:
    """A value that is not known leaves a gap; names are escaped."""
    root = ET.fromstring(picture.lines("a < b", (1.0, 2.0), {"one": (0.0, 100.0), "two": (None, 50.0)}))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 2
    assert len(root.findall(f"{space}circle")) == 3


@pytest.mark.slow
def test_the_command_prints_promises_and_writes_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text on the terminal, JSON and pictures where they are wanted."""
    figures, pictures = tmp_path / "figures.json", tmp_path / "pictures"
    words = ["--only", "signals", "--bases", "hourly", "--seeds", "1", "--trials", "1"]
    main([*words, "--json", str(figures), "--svg", str(pictures)])
    said = capsys.readouterr().out
    assert "hourly: shift 10" in said
    assert "promised" in said
    titles = [table["title"] for table in json.loads(figures.read_text())]
    assert titles[-1] == "promised"


def _nab(folder: Path) -> Path:
    """Write a file with a step on rows 800 to 900 that is labelled."""
    begin, values = BASES["white"].take("nab", 1000)
    rows = [
        (datetime.fromtimestamp(int(begin) + 300 * place, UTC).strftime("%Y-%m-%d %H:%M:%S"), value)
        for place, value in enumerate(_step(values))
    ]
    (folder / "own").mkdir()
    lines = ["timestamp,value", *(f"{at},{value}" for at, value in rows)]
    (folder / "own" / "step.csv").write_text("\n".join(lines))
    (folder / "windows.json").write_text(json.dumps({"own/step.csv": [[rows[800][0], rows[900][0]]]}))
    return folder


def _step(values: list[float]) -> Iterator[float]:
    return (value + 30.0 * (place >= 800) for place, value in enumerate(values))


def test_two_series_part_at_their_time_only() -> None:
    """So a finding that is not there without the parting is due to it."""
    device = COUPLED["river_gauges"]
    usual, parted = (device.messages(days=28, seed=1, parts=parts) for parts in (False, True))
    assert len(usual) == len(parted)
    changed = [one.at for one, other in zip(usual, parted, strict=True) if one != other]
    assert changed[0] >= device.onset(1) > changed[0] - 900.0
    assert len(changed) > 100
