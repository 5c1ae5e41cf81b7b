"""The journal from outside: rows that are committed, reported and found again."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Handling, LinkDown, MessageRow, Row, TimerKind, TimerRow
from agent.journal import JournalSettings
from agent.journal.writer import _MAX_GROUP_ROWS
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, link_up


def test_rows_are_numbered_in_arrival_order(tmp_path: Path) -> None:
    """Rows carry rising seq and clock, and acks come in the order of the wire."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(600))])
        rig.settle()
    assert list(range(1, 601)) == [row.seq for row in rig.rows]
    assert sorted(row.clock for row in rig.rows) == [row.clock for row in rig.rows]
    assert [(1, number + 1) for number in range(600)] == rig.acks


def test_replay_gives_the_same_rows(tmp_path: Path) -> None:
    """The rows after a restart equal the delivered ones, with the link down behind it."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(1200))])
        rig.settle()
        rig.write(lambda store: store.timer(TimerKind.OFFLINE, "d1"))
        rig.offer([arrival(1201, payload=b'{"a": 1.5, "b": 2}', topic="sensors/d1/x")])
        rig.settle()
    with Rig(tmp_path) as again:
        replayed = list(again.journal.rows_after(0))
    assert rig.rows == replayed[:-1]
    last = rig.rows[-1]
    assert TimerRow(last.seq + 1, last.clock, TimerKind.DISCONNECTED) == replayed[-1]
    assert rig.rows[700:] == [row for row in replayed[:-1] if row.seq > 700]
    assert isinstance(last, MessageRow)
    assert [reading.metric for reading in last.readings] == ["a", "b"]


def test_a_generation_is_told_once_it_is_on_disk(tmp_path: Path) -> None:
    """In the order of the wire, behind the acks of the one before."""
    with Rig(tmp_path) as rig:
        told: list[object] = []
        rig.acks = Told(told)  # type: ignore[assignment]
        rig.generations = Told(told)  # type: ignore[assignment]
        rig.offer([link_up(1), arrival(1), LinkDown(1, "reset", 0.0), link_up(2), arrival(2, generation=2)])
        rig.settle()
        assert told == [1, (1, 2), 2, (2, 3)]
        rig.write(lambda store: store.begin_connection(3))
    with Rig(tmp_path) as again:
        assert again.journal.generation == 3


def test_the_end_of_a_link_is_a_row(tmp_path: Path) -> None:
    """At its place in the sequence, so that a replay receives it at the same moment."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1), LinkDown(1, "reset", 0.0), arrival(2)])
        rig.settle()
    assert [row.kind for row in rig.rows if isinstance(row, TimerRow)] == [TimerKind.DISCONNECTED]
    assert [row.seq for row in rig.rows] == [1, 2, 3]
    assert isinstance(rig.rows[1], TimerRow)


def test_the_interval_is_waited_out(tmp_path: Path) -> None:
    """All messages within it cost one commit; a full group is not waited for."""
    settings = JournalSettings(commit_ms=800, max_group=100, ballast_bytes=0)
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(1)])
        rig.until(lambda: rig.journal.stats.commits == 1)
        for number in range(20):
            rig.offer([arrival(number)])
            rig.journal.write(lambda store: store.timer(TimerKind.TICK))
        rig.until(lambda: len(rig.rows) == 40)
        assert rig.journal.stats.commits == 2
        rig.offer([arrival(number) for number in range(100)])
        rig.until(lambda: len(rig.rows) == 140)
        assert rig.journal.stats.commits == 3


def test_two_journals_in_one_process(tmp_path: Path) -> None:
    """They share nothing."""
    with Rig(tmp_path / "a") as one, Rig(tmp_path / "b") as two:
        one.offer([link_up(1), arrival(1)])
        two.offer([link_up(1), arrival(2), arrival(3)])
        one.settle()
        two.settle()
        assert (len(one.rows), len(two.rows)) == (1, 2)
        assert one.journal.journal_id != two.journal.journal_id


class Told(list[object]):
    """A list that copies its additions to another list."""

    def __init__(self, told: list[object]) -> None:
        super().__init__()
        self._told = told

    def append(self, item: object) -> None:
        self._told.append(item)

    def extend(self, items: Iterable[object]) -> None:
        self._told.extend(items)


@pytest.mark.process
def test_messages_about_many_devices_are_taken_over_several_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway whose will flaps for 2,000 devices: each transaction is bounded, order and acks are kept."""
    names = [f"d{number}" for number in range(2000)]

    def flap(item: Any) -> Plain:
        online = item.payload == b"online"
        return Plain(handling=Handling.AVAILABILITY, states=tuple((name, online) for name in names))

    monkeypatch.setattr(rig_module, "decode", flap)
    groups: list[int] = []
    rig = Rig(tmp_path, settings=JournalSettings(commit_ms=50, ballast_bytes=0))
    rig.open()
    wiring = rig.journal._writer._wiring
    take = wiring.on_rows

    def note(rows: list[Row]) -> None:
        groups.append(len(rows))
        take(rows)

    wiring.on_rows = note
    words = [b"offline", b"online"] * 10
    rig.offer([link_up(1), *(arrival(number, payload=word) for number, word in enumerate(words))])
    rig.start_thread()
    rig.acked(len(words))
    rig.stop()
    assert max(groups) <= _MAX_GROUP_ROWS + len(names)
    assert sum(groups) >= len(words) * len(names)
    states = [row.kind for row in rig.rows if isinstance(row, TimerRow) and row.device == "d7"]
    assert states == [TimerKind.OFFLINE, TimerKind.ONLINE] * 10
    assert [mid for _, mid in rig.acks] == list(range(1, len(words) + 1))
