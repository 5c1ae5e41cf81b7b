"""Sources that stop, by their own rhythm."""

import json

import pytest

from agent.journal.source_tally import EarlierCounts, SourceTally
from agent.status.source_quiet import SourceQuiet

START = 1_750_000_000.0


class Site:
    """Sources that send at their intervals, looked at every second."""

    def __init__(self, **every_s: int) -> None:
        self.every_s = every_s
        self.tallies: dict[str, SourceTally] = {}
        self.earlier: dict[str, EarlierCounts] = {}
        self.quiet = SourceQuiet()
        self.clock = START
        self.subscribed = True

    def restart(self, down_s: int = 0, *, configured: tuple[str, ...] | None = None) -> None:
        """Save the counts, lose the process, and start another one later."""
        saved = json.loads(json.dumps({name: one.as_json(0.0) for name, one in self.tallies.items()}))
        self.earlier |= {
            name: EarlierCounts(START, self.clock, SourceTally.of_json(one).as_json(0.0))
            for name, one in saved.items()
        }
        self.clock += down_s
        self.tallies, self.quiet = {}, SourceQuiet()
        self.quiet.restore(self.earlier, tuple(self.every_s) if configured is None else configured)

    def run(self, seconds: int, *, silent: frozenset[str] = frozenset()) -> set[str]:
        """Let time pass; return the sources that were quiet at any moment."""
        found: set[str] = set()
        for _ in range(seconds):
            self.clock += 1
            for source, every in self.every_s.items():
                if source not in silent and not int(self.clock) % every:
                    self.tallies[source] = SourceTally(last=self.clock)
            self.quiet.look(self.tallies, subscribed=self.subscribed, clock=self.clock)
            found |= {source for source, quiet in self.quiet.quiet.items() if quiet}
        return found


@pytest.mark.parametrize(("every_s", "within_s"), [(1, 90), (30, 600), (900, 3 * 3600)])
def test_a_source_is_quiet_by_its_own_interval(every_s: int, within_s: int) -> None:
    """Never between two of its messages; within a few intervals when it stops, until it sends again."""
    site = Site(plant=every_s)
    assert site.run(60 * every_s) == set()
    assert site.run(within_s, silent=frozenset({"plant"})) == {"plant"}
    assert "plant has sent nothing since 2025-" in site.quiet.problems()[0]
    site.run(2 * every_s)
    assert site.quiet.quiet == {"plant": False}
    assert site.quiet.problems() == []


def test_a_source_that_rests_at_night_is_quiet_by_day_only() -> None:
    """After two nights it is not called quiet at night, and within a few of its intervals at noon."""
    site = Site(solar=60)
    site.run(int(-START % 86_400))  # to midnight
    for _ in range(3):
        site.run(6 * 3600, silent=frozenset({"solar"}))
        site.run(12 * 3600)
        site.run(6 * 3600, silent=frozenset({"solar"}))
    assert site.run(6 * 3600 - 60, silent=frozenset({"solar"})) == set()
    assert site.run(6 * 3600) == set()
    assert site.run(1200, silent=frozenset({"solar"})) == {"solar"}


def test_a_slow_source_does_not_hide_a_fast_one() -> None:
    """Each has a rhythm of its own."""
    site = Site(fast=10, slow=900)
    site.run(40 * 900)
    assert site.run(600, silent=frozenset({"fast"})) == {"fast"}
    assert site.quiet.quiet == {"fast": True, "slow": False}


def test_what_is_not_learnt_is_not_called_quiet() -> None:
    """A few messages do not make a rhythm."""
    site = Site(new=60)
    site.run(300)
    assert site.run(7200, silent=frozenset({"new"})) == set()


def test_no_source_is_quiet_while_the_broker_is_away() -> None:
    """The time without a subscription counts for nothing, and after it each has its full patience."""
    site = Site(plant=30)
    site.run(3600)
    site.subscribed = False
    assert site.run(7200, silent=frozenset({"plant"})) == set()
    site.subscribed = True
    assert site.run(60, silent=frozenset({"plant"})) == set()
    assert site.run(600, silent=frozenset({"plant"})) == {"plant"}


def test_messages_of_no_source_are_none() -> None:
    """Messages that no source subscribed to are not looked at."""
    quiet = SourceQuiet()
    quiet.look({"": SourceTally(last=START)}, subscribed=True, clock=START)
    assert quiet.quiet == {}


def test_a_source_that_stops_before_a_restart_is_quiet_after_it() -> None:
    """Its rhythm outlives the process, so that it is not forgotten with it."""
    site = Site(plant=30, office=45)
    site.run(3600)
    site.restart(down_s=600)
    assert site.run(60, silent=frozenset({"plant"})) == set()
    assert site.run(600, silent=frozenset({"plant"})) == {"plant"}
    assert "plant has sent nothing since 2025-" in site.quiet.problems()[0]
    site.restart()
    assert site.run(600, silent=frozenset({"plant"})) == {"plant"}
    assert site.run(60) == {"plant"}
    assert site.quiet.quiet == {"office": False, "plant": False}


def test_nights_outlive_a_restart() -> None:
    """Two nights are learnt by two processes."""
    site = Site(solar=60)
    site.run(int(-START % 86_400))
    for _ in range(3):
        site.run(6 * 3600, silent=frozenset({"solar"}))
        site.run(6 * 3600)
        site.restart(down_s=30)
        site.run(6 * 3600 - 30)
        site.run(6 * 3600, silent=frozenset({"solar"}))
    assert site.run(6 * 3600 - 60, silent=frozenset({"solar"})) == set()
    assert site.run(6 * 3600) == set()


def test_a_source_that_is_no_longer_configured_is_not_missed() -> None:
    """Its counts may be kept; its silence is of no interest."""
    site = Site(plant=30, old=30)
    site.run(3600)
    site.restart(configured=("plant",))
    assert site.run(3600, silent=frozenset({"old"})) == set()
    assert site.quiet.quiet == {"plant": False}


@pytest.mark.parametrize("rhythm", [None, [], {"a": 1}, [1.0], "x"])
def test_a_rhythm_that_cannot_be_read_is_learnt_again(rhythm: object) -> None:
    """Older counts have none, and a file may be altered."""
    quiet = SourceQuiet()
    counts = SourceTally(last=START).as_json(0.0) | {"rhythm": rhythm}
    quiet.restore({"plant": EarlierCounts(START, START, counts)}, ["plant"])
    quiet.look({"plant": SourceTally(last=START + 1)}, subscribed=True, clock=START + 1)
    assert quiet.quiet == {"plant": False}
