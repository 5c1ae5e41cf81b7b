"""The result of each kind of arrival."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Arrival, MessageRow, TimerKind, TimerRow
from agent.journal.reader import Reader
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, decode, link_up

QUARANTINED = [
    pytest.param({"payload": b'{"a":'}, "bad_json", id="no JSON"),
    pytest.param({"payload": b"fault"}, "decoder_fault", id="the decoder raises"),
    pytest.param({"payload": b"NaN"}, "not_finite", id="NaN gets through the decoder"),
    pytest.param({"payload": b"1" + b"0" * 400}, "decoder_fault", id="an integer beyond a float"),
    pytest.param({"payload": b'"text"'}, "decoder_fault", id="a text for a value"),
    pytest.param({"topic": "sensors/d\udcff1/temperature"}, "bad_utf8", id="topic with a lone surrogate"),
    pytest.param({"payload": b'{"\\ud800": 1}'}, "bad_utf8", id="metric with a lone surrogate"),
]


@pytest.mark.parametrize(("changes", "reason"), QUARANTINED)
def test_hostile_messages_are_quarantined_and_acknowledged(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """One row with the reason, an ack, and the neighbours in the same transaction are untouched."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1), arrival(2, **changes), arrival(3)])
        rig.settle()
        assert rig.acks == [(1, 2), (1, 3), (1, 4)]
        assert [row.seq for row in rig.rows] == [1, 2]
        assert rig.journal.stats.quarantined[reason] == 1
        with Reader.open(tmp_path) as reader:
            (found,) = reader.quarantine(limit=10)
    assert reason == found.reason
    assert found.payload == arrival(2, **changes).payload
    found.topic.encode()


def test_a_huge_payload_is_cut_in_quarantine(tmp_path: Path) -> None:
    """The row keeps the first 256 KiB and states the full size."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"x" * 1_000_000)])
        rig.settle()
        with Reader.open(tmp_path) as reader:
            (found,) = reader.quarantine(limit=10)
    assert (len(found.payload), found.size) == (256 * 1024, 1_000_000)


def test_text_and_own_topics_are_acknowledged_and_counted(tmp_path: Path) -> None:
    """They are neither readings nor quarantined."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"text"), arrival(2, topic="own/status", payload=b"x")])
        rig.settle()
        stats = rig.journal.stats
        assert (stats.received, stats.text_only, stats.unmatched, stats.journaled) == (2, 1, 1, 0)
        assert len(rig.acks) == 2
        assert rig.rows == []


def test_qos_0_is_journaled_without_an_ack(tmp_path: Path) -> None:
    """There is nothing to acknowledge, and no key is kept for packet id 0."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, qos=0, mid=0), arrival(1, qos=0, mid=0)])
        rig.settle()
        assert len(rig.rows) == 2
        assert rig.acks == []


@pytest.mark.parametrize("policy", ["seed", "live", "ignore"])
def test_retained_replays_follow_the_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    """A seed stays marked over a restart, live is a reading, ignore is counted; all are acknowledged."""
    monkeypatch.setattr(rig_module, "decode", lambda item: Plain(decode(item).readings, retained=policy))
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, retain=True), arrival(2)])
        rig.settle()
        stats = rig.journal.stats
        assert len(rig.acks) == 2
        assert {"seed": 1, "live": 0, "ignore": 0}[policy] == stats.seeds
        assert {"seed": 1, "live": 2, "ignore": 1}[policy] == stats.readings
        assert (1 if policy == "ignore" else 0) == stats.retained_ignored
        marks = [row.seed for row in rig.rows if isinstance(row, MessageRow)]
    assert {"seed": [True, False], "live": [False, False], "ignore": [False]}[policy] == marks
    with Rig(tmp_path) as again:
        replayed = [row for row in again.journal.rows_after(0) if isinstance(row, MessageRow)]
    assert rig.rows == replayed


def test_a_metric_that_changes_its_unit_is_replayed_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit belongs to each reading, not to the series' last one."""
    units = iter(["degC", None, "degF", "degC"])

    def with_unit(item: Any) -> Plain:
        (reading,) = decode(item).readings
        return Plain((replace(reading, unit=next(units)),), traceparent="00-ab-cd-01")

    monkeypatch.setattr(rig_module, "decode", with_unit)
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(10) for _ in range(4))])
        rig.settle()
    with Rig(tmp_path) as again:
        replayed = [row for row in again.journal.rows_after(0) if isinstance(row, MessageRow)]
    assert rig.rows == replayed
    assert [row.readings[0].unit for row in replayed] == ["degC", None, "degF", "degC"]
    assert replayed[0].traceparent == "00-ab-cd-01"


def test_counters_match_the_rows(tmp_path: Path) -> None:
    """Within one process life, the counters agree with the tables."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(500))])
        rig.offer([arrival(501, payload=b'{"a": 1, "b": 2, "c": 3}'), arrival(502, payload=b"{")])
        rig.settle()
        stats = rig.journal.stats
        with Reader.open(tmp_path) as reader:
            counts = reader.counts()
        assert (counts["messages"], counts["readings"]) == (stats.journaled, stats.readings) == (501, 503)
        assert counts["quarantine"] == sum(stats.quarantined.values()) == 1
        assert stats.sources["sensors"].messages == {"read": 501}
        assert rig.journal.inbox.pending_rows == 0


def test_a_state_has_its_place_in_the_sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An availability message becomes a timer row between its neighbours, retained or not; it is replayed."""

    def by_topic(item: Arrival) -> Plain:
        if item.payload in {b"on", b"off"}:
            return Plain(device="d1", online=item.payload == b"on", retained="live")
        return decode(item)

    monkeypatch.setattr(rig_module, "decode", by_topic)
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1), arrival(2, payload=b"off"), arrival(3)])
        rig.offer([arrival(4, payload=b"on", retain=True), arrival(5)])
        rig.settle()
        assert rig.acks == [(1, mid) for mid in range(2, 7)]
        kinds = [row.kind if isinstance(row, TimerRow) else None for row in rig.rows]
        assert kinds == [None, TimerKind.OFFLINE, None, TimerKind.ONLINE, None]
        assert [row.seq for row in rig.rows] == [1, 2, 3, 4, 5]
        assert {row.device for row in rig.rows if isinstance(row, TimerRow)} == {"d1"}
        assert rig.journal.stats.states == 2
    with Rig(tmp_path) as again:
        replayed = list(again.journal.rows_after(0))
        assert replayed[:-1] == rig.rows  # the last is the restart itself
