"""Rows of old times, words and announced intervals: written, read again, pruned."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.decode.registry import Registry, SourceSpec
from agent.domain.records import Arrival, MessageRow, Reading, TimerKind, TimerRow
from agent.journal.clocks import DAY_S, Fault
from agent.journal.reader import Reader
from tests.decode.sparkplug_wire import payload
from tests.journal import rig as rig_module
from tests.journal.rig import Rig, arrival, link_up

NOW = 1_782_475_200.0  # June 2026


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A journal with the decoders of the product."""
    registry = Registry(
        sources=[SourceSpec(topic="spBv1.0/#", format="sparkplug"), SourceSpec(topic="site/{device}")],
        base_topic="edge-agent/gw1",
    )

    def decode(item: Arrival) -> Any:
        return registry.decode(item.topic, item.payload, item.received)

    monkeypatch.setattr(rig_module, "decode", decode)
    with Rig(tmp_path) as opened:
        opened.offer([link_up(1)])
        yield opened


def message(number: int, at: float | None, value: Any = 20.0, **changes: Any) -> Arrival:
    """Return message ``number`` of the logger, a minute after the one before."""
    fields = {"temperature": value} | ({} if at is None else {"time": at})
    changes = {"topic": "site/logger", "received": NOW + 60.0 * number, **changes}
    return arrival(number, payload=json.dumps(fields).encode(), **changes)


def told(rig: Rig) -> list[tuple[list[float], list[float]]]:
    """Return the times of live and of old readings of each message."""
    return [
        ([one.at for one in row.readings], [one.at for one in row.history])
        for row in rig.rows
        if isinstance(row, MessageRow)
    ]


def test_old_times_are_journaled_beside_the_live_ones(rig: Rig, tmp_path: Path) -> None:
    """The analyst gets them apart, a replay reads the same rows, and the source counts them."""
    old = NOW - 3 * DAY_S
    rig.offer([message(0, NOW), message(1, old), message(2, None)])
    rig.settle()
    assert told(rig) == [([NOW], []), ([], [old]), ([NOW + 120.0], [])]
    tally = rig.journal.stats.sources["site/{device}"]
    assert (tally.readings, tally.history, tally.messages) == (2, 1, {"read": 2, "history": 1})
    assert (rig.journal.stats.readings, rig.journal.stats.journaled) == (2, 3)
    with Reader.open(tmp_path) as reader:
        assert list(reader.rows_after(0)) == rig.rows
    assert len(rig.acks) == 3


def test_pruning_takes_old_times_with_their_message(rig: Rig, tmp_path: Path) -> None:
    """And the newest time stays known, so that later ones are history as before."""
    rig.offer([message(0, NOW), message(1, NOW - 3 * DAY_S)])
    rig.settle()
    rig.write(lambda store: store.snapshot(rig.rows[-1].seq, b"state"))
    assert rig.write(lambda store: store.prune()) == 2
    rig.stop()
    with Reader.open(tmp_path) as reader:
        assert reader.counts()["messages"] == 0
        assert reader._connection.execute("SELECT count(*) FROM history").fetchone() == (0,)
    with Rig(tmp_path) as again:
        again.offer([link_up(2), message(2, NOW - 3 * DAY_S, generation=2)])
        again.settle()
        assert told(again) == [([], [NOW - 3 * DAY_S])]


def test_a_wrong_clock_is_found_over_restarts(rig: Rig, tmp_path: Path) -> None:
    """Each message comes to another process; the fault is logged once and can be read by others."""
    rig.offer([message(0, NOW)])
    rig.settle()
    rig.stop()
    seen: list[tuple[list[float], list[float]]] = []
    reports = []
    for number in range(1, 6):
        back = NOW + 60.0 * number - 23 * DAY_S
        with Rig(tmp_path) as later:
            later.offer([link_up(number + 1), message(number, back, generation=number + 1)])
            later.settle()
            seen += told(later)
            reports += [one for one in later.reports if one[0].startswith("device_")]
    assert [len(live) for live, _ in seen] == [0, 0, 1, 1, 1]
    assert [live[0] for live, _ in seen[2:]] == [NOW + 60.0 * number for number in (3, 4, 5)]
    ((event, values),) = reports
    assert (event, values["device"], values["off_s"]) == ("device_clock_wrong", "logger", -23 * 86_400)
    with Reader.open(tmp_path) as reader:
        assert [(one.device, one.fault) for one in reader.clocks()] == [("logger", Fault.WRONG)]


def test_the_word_behind_a_number_is_kept(rig: Rig, tmp_path: Path) -> None:
    """It comes back from the journal with its reading."""
    rig.offer([message(n, None, word) for n, word in enumerate(("Open", "closed", 0.0, "open", True))])
    rig.settle()
    rows = [row for row in rig.rows if isinstance(row, MessageRow)]
    assert [(one.value, one.word) for row in rows for one in row.readings] == [
        (1.0, "Open"), (0.0, "closed"), (0.0, None), (1.0, "open"), (1.0, None),
    ]  # fmt: skip
    with Reader.open(tmp_path) as reader:
        assert list(reader.rows_after(0)) == rig.rows


def announcing(number: int, period: int, **changes: Any) -> Arrival:
    """Return a message of a Shelly that sleeps, with its wake-up period."""
    status = {"ts": None, "temperature:0": {"id": 0, "tC": 21.0}, "sys": {"wakeup_period": period}}
    body = {"src": "shellyht-1", "dst": "x", "method": "NotifyFullStatus", "params": status}
    changes = {"topic": "shellyht-1/events/rpc", "received": NOW + number, **changes}
    return arrival(number, payload=json.dumps(body).encode(), **changes)


def expected(rig: Rig) -> list[tuple[str | None, float | None]]:
    return [
        (row.device, row.seconds)
        for row in rig.rows
        if isinstance(row, TimerRow) and row.kind is TimerKind.EXPECTED
    ]


def test_an_announced_interval_is_a_row_behind_the_first_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each new value, and once more after a start."""
    registry = Registry(sources=[SourceSpec(topic="#", format="auto")], base_topic="edge-agent/gw1")

    def decode(item: Arrival) -> Any:
        return registry.decode(item.topic, item.payload, item.received)

    monkeypatch.setattr(rig_module, "decode", decode)
    with Rig(tmp_path) as rig:
        homie = {"topic": "homie/boiler/$stats/interval", "payload": b"60"}
        value = {"topic": "homie/boiler/sensor/temperature", "payload": b"61.5"}
        rig.offer([link_up(1), announcing(1, 7200), announcing(2, 7200), announcing(3, 3600)])
        rig.offer([arrival(4, **homie), arrival(5, **value), arrival(6, **value)])
        rig.settle()
        assert expected(rig) == [("shellyht-1", 7200.0), ("shellyht-1", 3600.0), ("boiler", 60.0)]
        kinds = [type(row) for row in rig.rows]
        assert kinds[:2] == [MessageRow, TimerRow]
        assert kinds[-3:] == [MessageRow, TimerRow, MessageRow]
        with Reader.open(tmp_path) as reader:
            assert list(reader.rows_after(0)) == rig.rows
    with Rig(tmp_path) as again:
        again.offer([link_up(2), announcing(7, 3600, generation=2), announcing(8, 3600, generation=2)])
        again.settle()
        assert expected(again) == [("shellyht-1", 3600.0)]


def test_old_times_that_the_sender_marks_are_never_live(rig: Rig) -> None:
    """Sparkplug marks such a value, however young it is."""
    names = {"name": "temp", "datatype": 10}
    old = {**names, "timestamp": int(NOW * 1000) - 60_000, "is_historical": True, "double_value": 99.0}
    body = payload({**names, "double_value": 20.0}, old, at_ms=int(NOW * 1000))
    rig.offer([arrival(0, topic="spBv1.0/plant/NDATA/press", payload=body, received=NOW)])
    rig.settle()
    assert told(rig) == [([NOW], [NOW - 60.0])]
    assert rig.journal.stats.sources["spBv1.0/#"].history == 1


def test_readings_are_equal_with_their_word_only() -> None:
    """The word is part of a reading, so that a replay is exact."""
    assert Reading("d", "door", 1.0, 1.0, None, "open") != Reading("d", "door", 1.0, 1.0)
