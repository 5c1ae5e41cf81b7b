"""The journal from outside: what is committed, told and found again."""

from pathlib import Path

from agent.records import MessageRow, TimerKind, TimerRow
from tests.journal.rig import Rig, arrival, link_up


def test_rows_are_numbered_in_arrival_order(tmp_path: Path) -> None:
    """Rows carry rising seq and clock, and acks come in the order of the wire."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(600))])
        rig.settle()
    assert list(range(1, 601)) == [row.seq for row in rig.rows]
    assert sorted(row.clock for row in rig.rows) == [row.clock for row in rig.rows]
    assert [(1, number + 1) for number in range(600)] == rig.acks


def test_replay_gives_the_same_rows(tmp_path: Path) -> None:
    """What is read after a restart equals what was delivered, with the link down behind it."""
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
