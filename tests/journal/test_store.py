"""Windows, verdicts, findings and the outbox, each in one transaction."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.records import Batch, Finding, FindingState, Kind, Outgoing, Severity, TimerKind, TimerRow
from agent.journal import JournalError, JournalSettings
from agent.journal.reader import Reader
from agent.journal.store import Store
from tests.journal.rig import Rig, acking, arrival, concluding, link_up, sealing, window

FINDING = Finding("f1", "d1", Kind.SPIKE, Severity.WARNING, 100.0, 101.0)
VERDICT = Outgoing(
    0,
    "mqtt",
    "edge-agent/gw1/verdicts/d1",
    b"content",
    retain=True,
    properties=(("schema", "1"),),
    settles=True,
)
EVENT = Outgoing(0, "mqtt", "edge-agent/gw1/events/d1", b"event", settles=True)


def pending(
    rig: Rig, sink: str = "mqtt", *, after: int = 0, skip: Collection[str] = ()
) -> tuple[list[Outgoing], int]:
    """Return at most ten waiting rows, and how far was read."""
    found: tuple[list[Outgoing], int] = rig.write(
        lambda store: store.outbox.pending(sink, after=after, limit=10, skip=skip)
    )
    return found


def conclude(store: Store, content: bytes = b"content", *, finding: Finding = FINDING) -> list[Outgoing]:
    """Conclude the window ``w1``."""
    return store.conclude(
        window=window(),
        verdict=content,
        finding=finding,
        outgoing=[VERDICT, EVENT],
        detail=b"{}",
    )


def test_a_sealed_window_waits_for_its_verdict(tmp_path: Path) -> None:
    """It is found again exactly, in the order of sealing, whatever was sealed twice."""
    with Rig(tmp_path) as rig:
        for name in ("w2", "w1", "w2"):
            rig.write(sealing(window(name)))
    with Rig(tmp_path) as again:
        assert (window("w2"), window("w1")) == again.journal.recovered.pending
        assert again.journal.recovered.sealed_to == {"d1": 10}
        assert again.journal.recovered.attempts == {}


def test_attempts_are_counted_before_the_call(tmp_path: Path) -> None:
    """Each start counts for each window of the batch; a cancelled one is taken back; a verdict ends it."""
    with Rig(tmp_path) as rig:
        both = Batch("b1", (window("w1"), window("w2")), audit=frozenset({"w2"}))
        for name in ("w1", "w2", "w3"):
            rig.write(sealing(window(name)))
        rig.write(lambda store: store.start_batch(both))
        rig.write(lambda store: store.start_batch(both))
        rig.write(lambda store: store.start_batch(Batch("b2", (window("w3"),))))
        rig.write(lambda store: store.release_batch("b2", ["w3"]))
        rig.write(lambda store: store.finish_batch("b1", b"prompt and reply"))
        rig.write(conclude)
    with Rig(tmp_path) as again:
        assert again.journal.recovered.attempts == {"w2": 2}
        with Reader.open(tmp_path) as reader:
            found = reader.verdict("w1")
            assert found is not None
            assert found.batch is not None
            assert (found.batch.windows, found.batch.audit, found.batch.attempts) == (
                ("w1", "w2"),
                ("w2",),
                2,
            )
            assert found.batch.detail == b"prompt and reply"


def test_who_is_asked_together_is_known_without_an_attempt(tmp_path: Path) -> None:
    """In the order of the batch, without concluded windows; only the windows of a request count one."""
    with Rig(tmp_path) as rig:
        for name in ("w1", "w2", "w3"):
            rig.write(sealing(window(name)))
        batch = Batch("b1", (window("w3"), window("w1"), window("w2")), audit=frozenset({"w2"}))
        rig.write(lambda store: store.plan_batch(batch))
        rig.write(lambda store: store.plan_batch(batch))
    with Rig(tmp_path) as again:
        recovered = again.journal.recovered
        assert recovered.batches == (("w3", "w1", "w2"),)
        assert recovered.audits == {"w2"}
        assert recovered.attempts == {}
        again.write(lambda store: store.start_batch(batch, ["w2"]))
        again.write(conclude)
    with Rig(tmp_path) as again:
        assert again.journal.recovered.batches == (("w3", "w2"),)
        assert again.journal.recovered.attempts == {"w2": 1}
        again.write(lambda store: store.release_batch("b1", ["w2", "w3"]))
    with Rig(tmp_path) as again:
        assert again.journal.recovered.attempts == {}


def test_the_first_verdict_wins(tmp_path: Path) -> None:
    """A second one changes nothing and publishes nothing, in the same life or the next."""
    with Rig(tmp_path) as rig:
        rig.write(lambda store: store.seal(window()))
        first = rig.write(conclude)
        assert [(item.outbox_id, item.payload) for item in first] == [(1, b"content"), (2, b"event")]
        assert rig.write(lambda store: conclude(store, b"other")) == []
    with Rig(tmp_path) as again:
        assert again.write(lambda store: conclude(store, b"other")) == []
        assert pending(again)[0] == first
        assert again.journal.recovered.pending == ()
        assert again.journal.recovered.findings == (FINDING,)
        with Reader.open(tmp_path) as reader:
            found = reader.verdict("w1")
            assert found is not None
            assert (b"content", "waiting", b"{}", window()) == (
                found.body,
                found.state,
                found.detail,
                found.window,
            )


def test_a_verdict_is_acknowledged_with_its_last_row(tmp_path: Path) -> None:
    """One PUBACK of two is not enough; an unknown id is ignored."""
    with Rig(tmp_path) as rig:
        rig.write(lambda store: store.seal(window()))
        rig.write(conclude)
        states = []
        for ids in ([1, 77], [2], [2]):
            rig.write(acking(*ids))
            with Reader.open(tmp_path) as reader:
                states.append([found.state for found in reader.verdicts(limit=5)])
        assert states == [["waiting"], ["acknowledged"], ["acknowledged"]]
        assert pending(rig)[0] == []


def test_outbox_ids_are_never_used_twice(tmp_path: Path) -> None:
    """A late PUBACK must not take another row for its own."""
    with Rig(tmp_path) as rig:
        rig.write(conclude)
        rig.write(lambda store: store.outbox.finish([1, 2]))
    with Rig(tmp_path) as again:
        added = again.write(concluding(window("w9"), VERDICT))
        assert [item.outbox_id for item in added] == [3]


def test_a_refused_row_is_undeliverable_after_a_day(tmp_path: Path) -> None:
    """Until then it is tried again; afterwards it stays to be seen and holds nothing back."""
    wall = [1_700_000_000.0]
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        rig.write(lambda store: store.seal(window()))
        rig.write(conclude)
        assert not rig.write(lambda store: store.outbox.fail(1, "reason code 0x87"))
    wall[0] += 23 * 3600
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        assert not rig.write(lambda store: store.outbox.fail(1, "reason code 0x87"))
        rig.write(lambda store: store.outbox.finish([2]))
        waiting, _ = pending(rig)
        assert [item.outbox_id for item in waiting] == [1]
    wall[0] += 2 * 3600
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        assert rig.write(lambda store: store.outbox.fail(1, "reason code 0x87"))
        assert pending(rig)[0] == []
        with Reader.open(tmp_path) as reader:
            (row,) = reader.outbox(limit=10)
            (found,) = reader.verdicts(limit=10)
            (sealed,) = reader.windows(limit=10)
        assert (row.reason, row.given_up, found.state, sealed.state) == (
            "reason code 0x87",
            True,
            "undeliverable",
            "settled",
        )


def test_a_superseded_row_is_not_retained(tmp_path: Path) -> None:
    """Of its topic and below the given row only, and still so in the next process."""
    one, other = replace(VERDICT, key="late", retain=True), replace(VERDICT, key="fine", retain=True)
    with Rig(tmp_path) as rig:
        for number, message in enumerate((one, other, one), 1):
            sealed = window(f"w{number}", lo=number, hi=number)
            rig.write(sealing(sealed))
            rig.write(concluding(sealed, message))
        rig.write(lambda store: store.outbox.supersede("mqtt", "late", 3))
    with Rig(tmp_path) as rig:
        waiting, _ = pending(rig)
        assert [item.retain for item in waiting] == [False, True, True]


def test_what_waited_a_day_behind_a_refused_row_goes_with_it(tmp_path: Path) -> None:
    """A refused topic is tried hourly and makes rows every minute: they must not fill the journal."""
    wall = [1_700_000_000.0]
    one, other = replace(VERDICT, key="refused"), replace(VERDICT, key="fine")
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        for number, message in enumerate((one, one, other, one), 1):
            rig.write(sealing(window(f"w{number}", lo=number, hi=number)))
            rig.write(concluding(window(f"w{number}"), message))
        assert not rig.write(lambda store: store.outbox.fail(1, "reason code 0x87"))
    wall[0] += 25 * 3600
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        rig.write(sealing(window("w5", lo=5, hi=5)))
        rig.write(concluding(window("w5"), one))
        assert rig.write(lambda store: store.outbox.fail(1, "reason code 0x87"))
        rows, read_to = pending(rig)
        assert ([row.outbox_id for row in rows], read_to) == ([3, 5], 5)
        with Reader.open(tmp_path) as reader:
            states = {found.id: found.state for found in reader.verdicts(limit=10)}
    assert [name for name, state in sorted(states.items()) if state == "undeliverable"] == ["w1", "w2", "w4"]


def test_a_sink_gets_its_own_rows_and_the_verdict_does_not_wait_for_it(tmp_path: Path) -> None:
    """A verdict is acknowledged with the rows that settle it; the others keep it in the journal."""
    copy = Outgoing(0, "file", "d1", b"copy")
    keeping = JournalSettings(commit_ms=5, ballast_bytes=0, keep_days=0)
    with Rig(tmp_path, settings=keeping) as rig:
        rig.write(sealing(window()))
        first, second = rig.write(concluding(window(), VERDICT, copy))
        assert pending(rig) == ([first], 1)
        assert pending(rig, "file") == ([second], 2)
        assert rig.write(lambda store: store.outbox.of_devices("file", ["d1"], limit=5)) == {"d1": [second]}
        rig.write(acking(1))
        for state, gone in (("acknowledged", 0), ("acknowledged", 2)):
            rig.write(lambda store: store.snapshot(20, b""))
            rig.write(lambda store: store.prune())
            with Reader.open(tmp_path) as reader:
                assert [found.state for found in reader.verdicts(limit=5)] == [state][gone:]
            rig.write(acking(2))


def test_rows_of_a_sink_that_was_removed_are_counted_and_given_up_after_a_day(tmp_path: Path) -> None:
    """They stay to be seen, and the rows of other sinks are left alone."""
    wall = [1_700_000_000.0]
    copy = Outgoing(0, "file", "d1", b"copy")
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        rig.write(sealing(window()))
        rig.write(concluding(window(), VERDICT, copy, copy))
        assert rig.write(lambda store: store.outbox.orphans(["mqtt", "other"])) == {"file": 2}
        assert rig.write(lambda store: store.outbox.orphans(["mqtt", "file"])) == {}
    wall[0] += 25 * 3600
    with Rig(tmp_path, wall=lambda: wall[0]) as rig:
        assert rig.write(lambda store: store.outbox.orphans(["mqtt"])) == {"file": 2}
        assert rig.write(lambda store: store.outbox.orphans(["mqtt"])) == {}
        with Reader.open(tmp_path) as reader:
            assert [(row.sink, row.given_up) for row in reader.outbox(limit=9)] == [
                ("mqtt", False),
                ("file", True),
                ("file", True),
            ]
            ways = [reader.notices(["file"], wall[0] + days * 86_400)["file"] for days in (0, 2)]
    assert [(one.waiting, one.given_up, one.lost) for one in ways] == [(0, 2, 2), (0, 2, 0)]


def test_topics_that_are_left_alone_are_passed_over(tmp_path: Path) -> None:
    """As many as a call may pass over: the next one goes on behind them."""
    refused, fine = replace(VERDICT, key="refused"), replace(VERDICT, key="fine")
    with Rig(tmp_path) as rig:
        rig.write(sealing(window()))
        rig.write(concluding(window(), *[refused] * 2500, fine))
        rows, read_to = rig.write(
            lambda store: store.outbox.pending("mqtt", after=0, limit=10, skip={"refused"})
        )
        assert (rows, read_to) == ([], 2000)
        rows, read_to = rig.write(
            lambda store: store.outbox.pending("mqtt", after=read_to, limit=10, skip={"refused"})
        )
        assert ([row.outbox_id for row in rows], read_to) == ([2501], 2501)
        assert rig.write(
            lambda store: store.outbox.pending("mqtt", after=read_to, limit=10, skip={"refused"})
        ) == ([], 0)


def test_the_oldest_rows_of_a_device_are_read_on_their_own(tmp_path: Path) -> None:
    """Up to the limit, in their order, without the topics that are left alone; a device may have none."""
    refused, fine = replace(VERDICT, key="refused"), replace(VERDICT, key="fine")
    with Rig(tmp_path) as rig:
        for number, device in enumerate(("a", "b", "a", "b", "a"), 1):
            rig.write(sealing(window(f"w{number}", device, number, number)))
            rig.write(concluding(window(f"w{number}", device), refused if number == 1 else fine))
        found = rig.write(
            lambda store: store.outbox.of_devices("mqtt", ["a", "b", "gone"], limit=3, skip={"refused"})
        )
        assert {device: [row.outbox_id for row in rows] for device, rows in found.items()} == {
            "a": [3, 5],
            "b": [2, 4],
            "gone": [],
        }
        found = rig.write(lambda store: store.outbox.of_devices("mqtt", ["b"], limit=1))
        assert [row.outbox_id for row in found["b"]] == [2]
        assert rig.write(lambda store: store.outbox.of_devices("mqtt", [], limit=1)) == {}


def test_a_cleared_finding_is_not_recovered(tmp_path: Path) -> None:
    """It is kept to be shown."""
    over = replace(FINDING, state=FindingState.CLEARED)
    with Rig(tmp_path) as rig:
        rig.write(lambda store: conclude(store, finding=over))
    with Rig(tmp_path) as again:
        assert again.journal.recovered.findings == ()
        with Reader.open(tmp_path) as reader:
            assert reader.findings(closed=True) == (over,)
        assert again.journal.recovered.closed == (over,)


def test_a_failing_job_fails_alone(tmp_path: Path) -> None:
    """Its writes and its rows are undone, its future has the error, the others of the group are committed."""

    def fail(store: Store) -> None:
        store.seal(window("bad"))
        store.timer(TimerKind.TICK)
        raise ValueError("a bug of the caller")

    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1)])
        before = rig.journal.write(lambda store: store.timer(TimerKind.OFFLINE, "d1"))
        failed = rig.journal.write(fail)
        after = rig.journal.write(lambda store: store.timer(TimerKind.ONLINE, "d1"), urgent=True)
        assert after.result(60).seq == before.result(60).seq + 1
        with pytest.raises(ValueError, match="a bug of the caller"):
            failed.result(60)
        rig.settle()
        kinds = [row.kind for row in rig.rows if isinstance(row, TimerRow)]
        assert kinds == [TimerKind.OFFLINE, TimerKind.ONLINE]
        assert rig.journal.stats.commit_failures == 0
    with Rig(tmp_path) as again:
        assert again.journal.recovered.pending == ()


def test_the_latest_snapshot_is_recovered(tmp_path: Path) -> None:
    """With the rows behind it, and the filters."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(20))])
        rig.settle()
        rig.write(lambda store: store.snapshot(5, b"old"))
        rig.write(lambda store: store.snapshot(12, b"new", 9))
        rig.write(lambda store: store.seal(window("w0", "d0", 1, 8)))
        rig.write(lambda store: store.seal(window("w1", "d1", 9, 12)))
        rig.write(lambda store: store.seal(window("w2", "d2", 3, 15)))
        rig.write(lambda store: store.set_filters(["a/#", "b/+"]))
    with Rig(tmp_path) as again:
        recovered = again.journal.recovered
        assert (recovered.snapshot, recovered.snapshot_seq) == (b"new", 12)
        assert recovered.sealed_to == {"d1": 12, "d2": 15}
        assert rig.rows[12:] == list(again.journal.rows_after(12))[:-1]
        assert again.journal.filters == ("a/#", "b/+")


def test_a_closed_journal_refuses_jobs(tmp_path: Path) -> None:
    """The caller gets an error instead of waiting for ever."""
    with Rig(tmp_path) as rig:
        pass
    with pytest.raises(JournalError, match="closed"):
        rig.write(conclude)
