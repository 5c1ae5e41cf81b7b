"""Agent time never runs backwards."""

import time
from pathlib import Path

from agent.domain.records import TimerKind
from agent.journal.sequence import AgentClock
from tests.journal.rig import Rig, arrival, link_up


def test_it_starts_at_wall_time_and_keeps_the_monotonic_pace() -> None:
    """A wall clock that steps later changes nothing."""
    wall, mono = [1000.0], [50.0]
    clock = AgentClock(last=0.0, wall=lambda: wall[0], mono=lambda: mono[0])
    wall[0], mono[0] = 5.0, 60.0
    assert clock.now() == 1010.0
    assert clock.at(55.0) == 1005.0


def test_a_wall_clock_that_is_behind_is_not_followed(tmp_path: Path) -> None:
    """After a start without a clock (1970), rows continue where the journal ended, and seq goes on."""
    with Rig(tmp_path, wall=lambda: 2_000_000_000.0) as rig:
        rig.offer([link_up(1), arrival(1)])
        rig.settle()
    with Rig(tmp_path, wall=lambda: 12.0) as again:
        again.offer([link_up(2), arrival(2, generation=2, mono=time.monotonic() - 3600)])
        again.settle()
        again.write(lambda store: store.timer(TimerKind.TICK))
        again.settle()
        clocks = [row.clock for row in [*rig.rows, *again.rows]]
        assert again.journal.clock.now() >= clocks[-1]
    assert sorted(clocks) == clocks
    assert clocks[0] >= 2_000_000_000.0
    assert [row.seq for row in [*rig.rows, *again.rows]] == [1, 3, 4]
