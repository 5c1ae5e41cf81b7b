"""When a snapshot is due: rows, age, and a journal that is short of room."""

from agent.pipeline.snapshot import AGE_S, MOST_ROWS, ROWS, SnapshotDue


def begun(clock: float = 0.0) -> SnapshotDue:
    """Return the pace of a process that began at ``clock``."""
    return SnapshotDue(clock=clock)


def take(pace: SnapshotDue, seq: int, clock: float, *, took_s: float = 0.0, pruned: int = 0) -> None:
    """Take one that reaches the disk."""
    pace.taken(seq, clock, took_s=took_s, pruned=pruned)
    pace.written(clock, on_disk=True)


def test_rows_and_age() -> None:
    """By default after 20,000 rows or 600 s with a row in them, never without one."""
    pace = begun()
    assert not pace.due(0, 10 * AGE_S, state="full")
    assert not pace.due(ROWS - 1, AGE_S - 1, state="ok")
    assert pace.due(ROWS, 1.0, state="ok")
    assert pace.due(1, AGE_S, state="ok")


def test_one_that_takes_long_waits_for_more_rows() -> None:
    """The state of many series takes a second: its rows are due after 20 s, or at 200,000 of them."""
    pace = begun()
    take(pace, ROWS, 10.0, took_s=1.0)
    assert not pace.due(3 * ROWS, 29.0, state="ok")
    assert pace.due(3 * ROWS, 30.0, state="ok")
    assert not pace.due(ROWS + MOST_ROWS - 1, 12.0, state="ok")
    assert pace.due(ROWS + MOST_ROWS, 12.0, state="ok")


def test_the_age_is_that_of_the_snapshot_not_of_the_process() -> None:
    """A process that is started again every minute takes one when the last is 600 s old."""
    pace = begun(clock=1000.0)
    pace.restore(7, 1000.0 - AGE_S + 5)
    assert not pace.due(8, 1004.0, state="ok")
    assert pace.due(8, 1005.0, state="ok")


def test_without_room_one_is_due_within_seconds() -> None:
    """A full journal waits 2 s after the last one, one at 80 % waits 10 s."""
    pace = begun()
    assert not pace.due(1, 1.9, state="full")
    assert pace.due(1, 2.0, state="full")
    assert not pace.due(1, 9.9, state="degraded")
    assert pace.due(1, 10.0, state="degraded")
    assert not pace.due(1, 599.0, state="ok")


def test_what_lets_no_row_go_is_done_less_often() -> None:
    """An outbox that nobody empties fills the journal for hours: the waits double up to a bound."""
    pace, clock, taken = begun(), 0.0, 0
    for second in range(3600):
        clock = float(second)
        if pace.due(second + 1, clock, state="full"):
            take(pace, second + 1, clock)
            taken += 1
    assert 3600 / 30 <= taken <= 3600 / 30 + 5
    pace.due(10_000, clock, state="ok")
    assert pace.due(10_000, clock + 2, state="full")


def test_as_long_as_rows_go_the_wait_stays_short() -> None:
    """Snapshot and pruning in turn keep a small journal open under load."""
    pace = begun()
    for number in range(1, 100):
        assert pace.due(number, 2.0 * number, state="full")
        take(pace, number, 2.0 * number, pruned=number)


def test_a_large_state_is_not_written_all_the_time() -> None:
    """A state that takes 5 s to write is written at most a quarter of the time in a full journal."""
    pace = begun()
    take(pace, 1, 100.0, took_s=5.0, pruned=1)
    assert not pace.due(2, 119.0, state="full")
    assert pace.due(2, 120.0, state="full")


def test_one_at_a_time() -> None:
    """While one is under way no other is taken, whatever the pressure."""
    pace = begun()
    pace.taken(ROWS, 1.0, took_s=0.0, pruned=0)
    assert not pace.due(3 * ROWS, 2 * AGE_S, state="full")
    pace.written(2.0, on_disk=True)
    assert pace.due(3 * ROWS, 2 * AGE_S, state="full")


def test_a_refused_one_is_taken_again_later() -> None:
    """The storage refuses it: the rows since the one before still count, and the tries are paced."""
    pace, tries = begun(), 0
    for second in range(1, 601):
        if pace.due(ROWS + second, float(second), state="full"):
            pace.taken(ROWS + second, float(second), took_s=0.0, pruned=0)
            pace.written(float(second), on_disk=False)
            tries += 1
    assert pace.seq == 0
    assert 600 / 60 <= tries <= 600 / 60 + 6
