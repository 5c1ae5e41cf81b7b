"""Pruning: the rows that go, their time, and the rows that must stay."""

from pathlib import Path

import pytest

from agent.domain.records import Batch, Outgoing
from agent.journal import JournalSettings
from agent.journal.reader import Reader
from tests.journal.rig import Rig, acking, arrival, concluding, link_up, sealing, window

VERDICT = Outgoing(0, "mqtt", "edge-agent/gw1/verdicts/d1", b"content", retain=True, settles=True)
DAY_S = 86_400.0


def journaled(rig: Rig, messages: int) -> None:
    """Journal so many messages; they get seq 1 and up."""
    rig.offer([link_up(1), *(arrival(number) for number in range(messages))])
    rig.settle()


def prune(rig: Rig) -> int:
    """Prune until nothing goes any more."""
    gone = 0
    while step := rig.write(lambda store: store.prune()):
        gone += step
    return gone


def first_seq(rig: Rig) -> int | None:
    """Return the lowest seq that is still there."""
    with Reader.open(rig.folder) as reader:
        return next((row.seq for row in reader.rows_after(0)), None)


def test_without_a_snapshot_nothing_goes(tmp_path: Path) -> None:
    """Every row is needed to replay."""
    with Rig(tmp_path) as rig:
        journaled(rig, 50)
        assert prune(rig) == 0


def test_rows_behind_the_snapshot_go(tmp_path: Path) -> None:
    """Up to its seq, or to the lowest seq of an open window."""
    with Rig(tmp_path) as rig:
        journaled(rig, 50)
        rig.write(lambda store: store.snapshot(40, b"", 31))
        assert prune(rig) == 30
        assert first_seq(rig) == 31
        rig.write(lambda store: store.snapshot(40, b""))
        assert prune(rig) == 10
        assert first_seq(rig) == 41
        assert rig.journal.stats.pruned_rows == 40


def test_a_window_holds_its_rows_until_the_broker_has_its_verdict(tmp_path: Path) -> None:
    """Sealed, concluded, published: only the PUBACK lets them go."""
    with Rig(tmp_path) as rig:
        journaled(rig, 50)
        one = window("w1", "d1", 11, 20)
        rig.write(lambda store: store.snapshot(50, b""))
        rig.write(sealing(one))
        prune(rig)
        assert first_seq(rig) == 11
        rig.write(concluding(one, VERDICT))
        prune(rig)
        assert first_seq(rig) == 11
        rig.write(acking(1))
        prune(rig)
        assert first_seq(rig) is None


def test_seq_goes_on_after_everything_is_pruned(tmp_path: Path) -> None:
    """No number is used twice, and the clock is not forgotten."""
    with Rig(tmp_path, wall=lambda: 2_000_000_000.0) as rig:
        journaled(rig, 20)
        rig.write(lambda store: store.snapshot(20, b""))
        prune(rig)
        assert first_seq(rig) is None
    with Rig(tmp_path, wall=lambda: 5.0) as again:
        again.offer([link_up(2), arrival(1, generation=2)])
        again.settle()
        (row,) = again.rows
        assert row.seq == 22  # 21 is the row of the lost link
        assert row.clock >= rig.rows[-1].clock


@pytest.mark.slow
def test_more_than_a_chunk_goes_by_itself(tmp_path: Path) -> None:
    """Chunk after chunk inside the writer's own transactions, without a call."""
    with Rig(tmp_path) as rig:
        journaled(rig, 5_000)
        rig.write(lambda store: store.snapshot(5_000, b""))
        rig.write(lambda store: store.prune())
        assert first_seq(rig) == 2_001
        rig.until(lambda: rig.journal.stats.pruned_rows == 5_000)


def test_nothing_goes_when_it_is_switched_off(tmp_path: Path) -> None:
    """Harnesses need every row."""
    with Rig(tmp_path, settings=JournalSettings(commit_ms=5, prune=False, ballast_bytes=0)) as rig:
        journaled(rig, 50)
        rig.write(lambda store: store.snapshot(50, b""))
        assert prune(rig) == 0


def test_reviewed_verdicts_stay_for_their_days(tmp_path: Path) -> None:
    """With their batch and window; after keep_days they go, unless they still wait for the broker."""
    wall = [1_700_000_000.0]
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        journaled(rig, 20)
        rig.write(lambda store: store.snapshot(20, b""))
        for name in ("w1", "w2"):
            one = window(name, "d1", 1, 10)
            rig.write(sealing(one))
            rig.write(lambda store: store.start_batch(Batch("b1", (window("w1"), window("w2")))))
            rig.write(concluding(one, VERDICT, detail=b"{}"))
        rig.write(acking(1))
        prune(rig)
        with Reader.open(tmp_path) as reader:
            assert reader.counts()["verdicts"] == 2
    wall[0] += 8 * DAY_S
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        prune(rig)
        with Reader.open(tmp_path) as reader:
            assert [found.id for found in reader.verdicts(limit=9)] == ["w2"]
            assert [found.window.id for found in reader.windows(limit=9)] == ["w2"]
            assert len(list(reader.batches(limit=9))) == 1
        rig.write(acking(2))
        prune(rig)
        with Reader.open(tmp_path) as reader:
            counts = reader.counts()
        assert (counts["verdicts"], counts["windows"], counts["batches"], counts["outbox"]) == (0, 0, 0, 0)


def test_the_last_thousand_local_verdicts_stay(tmp_path: Path) -> None:
    """Older ones go once they are acknowledged and the snapshot has passed them."""
    with Rig(tmp_path) as rig:
        journaled(rig, 20)
        futures = []
        for number in range(1_200):
            one = window(f"w{number}", "d1", 5, 10 if number else 15)
            rig.journal.write(sealing(one))
            futures.append(rig.journal.write(concluding(one)))
        rig.until(futures[-1].done)
        rig.write(lambda store: store.snapshot(12, b""))
        prune(rig)
        with Reader.open(tmp_path) as reader:
            assert reader.counts()["verdicts"] == 1_001
            assert (
                reader.verdict("w0") is not None
            )  # its window ends behind the snapshot: replay needs to know
            assert reader.verdict("w1") is None


def test_quarantine_goes_after_its_days(tmp_path: Path) -> None:
    """Kept for the user to look at until then."""
    wall = [1_700_000_000.0]
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        rig.offer([link_up(1), arrival(1), arrival(2, payload=b"{")])
        rig.settle()
        assert prune(rig) == 0
    wall[0] += 8 * DAY_S
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        assert prune(rig) == 1
        with Reader.open(tmp_path) as reader:
            assert list(reader.quarantine(limit=5)) == []
