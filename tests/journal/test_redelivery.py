"""Recognition of repeated messages: the tail rule, and nothing beyond it."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import MessageRow
from agent.journal import JournalSettings
from agent.journal.redelivery import HOLD_S, MAX_HELD_BYTES
from tests.journal.rig import Rig, again, arrival, constant, link_up


def readings(rig: Rig) -> int:
    """Return how many messages this process has journaled."""
    return sum(isinstance(row, MessageRow) for row in rig.rows)


LAST = [arrival(number) for number in range(6, 10)]  # packet ids 7 to 10

# First messages of the next connection after LAST was journaled, and how many are new.
CASES = [
    pytest.param([6, 7, 8, 9], {}, 0, id="the whole tail"),
    pytest.param([8, 9], {}, 0, id="the end of the tail"),
    pytest.param([9], {}, 0, id="the last place alone"),
    pytest.param([8], {}, 1, id="a run that ends before the last place"),
    pytest.param([6, 7, 9], {}, 3, id="a run with a gap"),
    pytest.param([7, 6, 8, 9], {}, 4, id="a run out of order"),
    pytest.param([9, 10, 11], {}, 2, id="repeats, then what was not journaled"),
    pytest.param([10, 11, 9], {}, 3, id="nothing is recognised after the first new message"),
    pytest.param([9], {"dup": False}, 1, id="DUP=0"),
    pytest.param([9], {"payload": b"28"}, 1, id="another payload"),
    pytest.param([9], {"topic": "sensors/d8/temperature"}, 1, id="another topic"),
    pytest.param([9], {"mid": 11}, 1, id="another packet id"),
]


@pytest.mark.parametrize(("numbers", "changes", "new"), CASES)
def test_only_the_tail_is_recognised(
    tmp_path: Path, numbers: list[int], changes: dict[str, Any], new: int
) -> None:
    """A run of repeats that reaches the last place is acknowledged and not journaled; all else is new."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        rig.acks.clear()
        sent = [replace(one, **changes) for one in again([arrival(n) for n in numbers], 2)]
        rig.offer([link_up(2), *sent, arrival(30, generation=2)])  # the last one ends every run
        rig.acked(len(sent) + 1)
        assert readings(rig) == new + 1
        assert rig.acks == [(2, one.mid) for one in [*sent, arrival(30)]]
        assert rig.journal.stats.redelivered == len(sent) - new
        assert rig.journal.stats.repeats_possible == (new if changes.get("dup", True) else 0)


@pytest.mark.parametrize("after", [1, 70_000])
def test_equal_messages_past_the_wrap_are_new(tmp_path: Path, after: int) -> None:
    """A contact with the same value all day: messages in flight at a loss are not taken for old."""
    with Rig(tmp_path) as rig:
        journaled = [constant(mid) for mid in range(after, after + 2000)]
        rig.offer([link_up(1), *journaled])
        rig.settle()
        in_flight = [constant(mid, 2, dup=True) for mid in range(after + 2000, after + 2300)]
        rig.offer([link_up(2), *in_flight])
        rig.acked(2300)
        assert readings(rig) == 2300


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
def test_more_than_a_ring_in_flight_is_new(tmp_path: Path, *, restart: bool) -> None:
    """Ids that come round again in one flight are other messages; the tail before them is recognised."""
    rig = Rig(tmp_path).start()
    journaled = [constant(mid) for mid in range(1, 101)]
    rig.offer([link_up(1), *journaled])
    rig.settle()
    if restart:
        rig.stop()
        rig = Rig(tmp_path).start()
    rig.rows.clear()
    flight = [constant(mid, 2, dup=True) for mid in range(51, 51 + 66_000)]
    rig.offer([link_up(2)])
    for start in range(0, len(flight), 5000):
        rig.offer(flight[start : start + 5000])
        rig.until(lambda: not rig.journal.inbox.depth)
    rig.settle()
    assert readings(rig) == 66_000 - 50
    assert rig.journal.stats.redelivered == 50
    rig.stop()


def test_unmatched_messages_have_a_place(tmp_path: Path) -> None:
    """A message of no source between two equal ones keeps them apart."""
    own = {"topic": "own/health", "payload": b"{}"}
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), constant(5), arrival(0, mid=6, **own)])
        rig.settle()
        rig.rows.clear()
        rig.offer([link_up(2), arrival(0, mid=6, generation=2, dup=True, **own), constant(7, 2, dup=True)])
        rig.acked(4)
        assert readings(rig) == 1
        assert rig.journal.stats.redelivered == 1


def test_a_lost_connack_ends_what_is_known(tmp_path: Path) -> None:
    """After a CONNECT without a CONNACK the session may be a new one: nothing is recognised."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *[constant(mid) for mid in range(2, 12)]])
        rig.settle()
        rig.write(lambda store: store.begin_connection(2))
    with Rig(tmp_path) as rig:
        assert rig.journal.generation == 2
        rig.offer([link_up(3), *[constant(mid, 3, dup=True) for mid in range(2, 12)]])
        rig.acked(10)
        assert readings(rig) == 10


@pytest.mark.parametrize("restart", [False, True])
def test_a_new_session_ends_what_is_known(tmp_path: Path, *, restart: bool) -> None:
    """A message after the broker forgot the session is new, also on the connections that follow."""
    rig = Rig(tmp_path).start()
    rig.offer([link_up(1), *[constant(mid) for mid in range(2, 12)], link_up(2, session_present=False)])
    rig.settle()
    if restart:
        rig.stop()
        rig = Rig(tmp_path).start()
    rig.rows.clear()
    rig.offer([link_up(3), *[constant(mid, 3, dup=True) for mid in range(2, 12)]])
    rig.until(lambda: readings(rig) == 10)
    rig.stop()


def test_the_tail_survives_restarts_and_connections_without_messages(tmp_path: Path) -> None:
    """The places of the last connection with messages count, in any later process."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST, link_up(2)])
        rig.settle()
    with Rig(tmp_path) as rig:
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.acked(len(LAST))
        assert not readings(rig)
    with Rig(tmp_path) as rig:  # the repeats are the places of their own connection
        rig.offer([link_up(4), *again(LAST[2:], 4)])
        rig.acked(2)
        assert not readings(rig)


def test_a_held_run_is_new_after_two_seconds_of_nothing(tmp_path: Path) -> None:
    """A run that stops before the last place is journaled once nothing more has come for two seconds."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        (first,) = again(LAST[:1], 2)
        rig.offer([link_up(2), replace(first, mono=time.monotonic() - HOLD_S)])
        rig.until(lambda: readings(rig) == 1)
        assert rig.acks[-1] == (2, first.mid)


@pytest.mark.slow
def test_held_messages_leave_a_full_journal_at_rest(tmp_path: Path) -> None:
    """While nothing may be taken in, what is held waits without a commit for each turn of the thread."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=0, max_mib=1, prune=False)
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        garbage = (arrival(0, qos=0, generation=2, payload=b"x" * 250_000) for _ in range(5))
        (first,) = again(LAST[:1], 2)
        rig.offer([link_up(2), replace(first, mono=time.monotonic()), *garbage])
        rig.until(lambda: rig.journal.stats.state == "full")
        acks, commits = len(rig.acks), rig.journal.stats.commits
        time.sleep(HOLD_S + 0.5)
        assert len(rig.acks) == acks
        assert rig.journal.stats.commits - commits < 20


def test_held_messages_of_a_lost_connection_are_still_owed(tmp_path: Path) -> None:
    """They are neither journaled nor acknowledged; sent again, they are recognised."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        rig.acks.clear()
        rig.offer([link_up(2), *again(LAST[:2], 2)])
        rig.settle()
        assert not rig.acks
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.acked(len(LAST))
        assert not readings(rig)
        assert {generation for generation, _ in rig.acks} == {3}


def test_a_failed_commit_forgets_no_held_message(tmp_path: Path) -> None:
    """A transaction that the disk refuses is tried again from the same state."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.offer([link_up(2), *again(LAST[:2], 2)])
        rig.settle()
        failures = iter([sqlite3.OperationalError("disk I/O error")])

        def fail_once(_store: object) -> None:
            for error in failures:
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error

        rows = len(rig.rows)
        rig.offer(again(LAST[2:], 2))
        rig.write(fail_once)
        rig.acked(2 * len(LAST))
        assert rows == len(rig.rows)
        assert rig.journal.stats.redelivered == len(LAST)


def test_a_quarantined_message_is_recognised_too(tmp_path: Path) -> None:
    """Sent again, it makes no second quarantine row."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"{")])
        rig.offer([link_up(2), arrival(1, payload=b"{", generation=2, dup=True)])
        rig.settle()
        assert sum(rig.journal.stats.quarantined.values()) == 1
        assert rig.acks == [(1, 2), (2, 2)]


def test_what_is_held_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large messages are not held beyond the limit: they count as new."""
    large = [arrival(n, payload=b" " * (MAX_HELD_BYTES // 3) + b"1") for n in range(6, 10)]
    with Rig(tmp_path) as rig:
        for one in (link_up(1), *large):
            rig.offer([one])
            rig.settle()
        rig.rows.clear()
        for one in (link_up(2), *again(large, 2)):
            rig.offer([one])
            rig.settle()
        assert readings(rig) == 4


def test_ids_given_out_again_end_recognition_for_the_session(tmp_path: Path) -> None:
    """A broker that reuses ids is noticed, over restarts too, until it begins a new session."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *[constant(mid) for mid in (3, 4, 5, 4)]])
        rig.settle()
        assert rig.journal.stats.ids_reused
    with Rig(tmp_path) as rig:
        rig.offer([link_up(2), *LAST[:1], *[replace(one, generation=2) for one in LAST]])
        rig.settle()
        rig.rows.clear()
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.until(lambda: readings(rig) == len(LAST))
        rig.offer([link_up(4, session_present=False)])
        rig.settle()
        assert not rig.journal.stats.ids_reused
