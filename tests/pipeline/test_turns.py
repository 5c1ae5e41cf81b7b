"""One turn of the analyst's loop is bounded, and where it ends decides nothing."""

import asyncio
import base64
import json
import shutil
import threading
import zlib
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.records import MessageRow, Reading, Row, TimerKind, TimerRow
from agent.journal import JournalClosedError
from agent.journal.codec import encode_window
from agent.journal.reader import Reader
from agent.pipeline.pipeline import HELD_S, MAX_JOBS, MAX_TURN_ROWS, MAX_TURN_WINDOWS
from agent.pipeline.snapshot import MAX_SLICE_BYTES, Dump
from agent.pipeline.window import MAX_DUMPED, WindowSettings
from tests.journal.rig import arrival, link_up
from tests.pipeline.test_restart import Life

DEVICES = 1_000
Body = Callable[[Life], Coroutine[Any, Any, Any]]


def live(folder: Path, body: Body, *, age_s: float = 60.0) -> Any:
    """Run ``body`` in a process that then ends without a last snapshot."""

    async def run() -> Any:
        life = Life(folder, max_series=2 * DEVICES, age_s=age_s)
        await life.begin()
        try:
            return await body(life)
        finally:
            with suppress(Exception):
                await asyncio.to_thread(life.rig.stop)
            assert [one for one in life.errors if not isinstance(one, JournalClosedError)] == []

    return asyncio.run(run())


def messages(count: int, *, first: int = 1) -> list[Row]:
    """Return one reading of each of so many devices."""
    return [
        MessageRow(first + place, 100.0, (Reading(f"d{place}", "t", 1_700_000_000.0, 20.0, None),), None)
        for place in range(count)
    ]


async def idle(life: Life) -> None:
    """Give the loop turns until nothing is left to do."""
    while life.pipeline.busy:  # noqa: ASYNC110 - turns are what is tested
        await asyncio.sleep(0)


async def rest() -> None:
    """Give the loop more turns than these tests need."""
    for _ in range(50):
        await asyncio.sleep(0)


def seal_all(life: Life) -> None:
    """Journal a tick at which the age of every open window is up."""
    life.pipeline.windows.reconfigure(WindowSettings(max_age_s=0.0))
    life.pipeline.note(TimerKind.TICK)


def windows(life: Life) -> int:
    """Count what is sealed."""
    return sum(life.pipeline.stats.windows.values())


def test_a_backlog_of_rows_is_taken_in_turns(tmp_path: Path) -> None:
    """256 rows a turn; what else the loop has to do comes between any two, and each turn beats."""

    async def body(life: Life) -> None:
        seen: list[tuple[int, float]] = []

        async def beside() -> None:
            while life.pipeline.busy:
                seen.append((life.pipeline.seq, life.pipeline.heartbeat))
                await asyncio.sleep(0)

        life.pipeline.consume(messages(5 * MAX_TURN_ROWS + 1))
        await beside()
        assert [seq for seq, _ in seen] == [MAX_TURN_ROWS * turn for turn in range(1, 6)]
        assert len({beat for _, beat in seen}) == len(seen)

    live(tmp_path, body)


def test_a_tick_that_seals_a_thousand_windows_is_cut_into_turns(tmp_path: Path) -> None:
    """200 windows a turn; no later row is taken before the last of them, and no snapshot comes between."""

    async def body(life: Life) -> None:
        pipeline = life.pipeline
        for start in range(0, DEVICES, MAX_TURN_ROWS):
            pipeline.consume(messages(DEVICES)[start : start + MAX_TURN_ROWS])
            await rest()
        after = MessageRow(DEVICES + 2, 500.0, (Reading("late", "t", 1_700_000_400.0, 1.0, None),), None)
        pipeline.consume([TimerRow(DEVICES + 1, 400.0, TimerKind.TICK, None), after])
        counts = []
        while pipeline.seq == DEVICES:
            counts.append(windows(life))
            assert "late" not in pipeline.detector.devices()
            pipeline.snapshot()
            assert pipeline.stats.snapshots == 0
            await asyncio.sleep(0)
        assert sorted(set(counts)) == [MAX_TURN_WINDOWS * turn for turn in range(1, 6)]
        await idle(life)
        assert (windows(life), pipeline.seq, pipeline.stats.snapshots) == (DEVICES, DEVICES + 2, 1)

    live(tmp_path, body)


def test_a_snapshot_is_made_in_slices_of_one_row(tmp_path: Path) -> None:
    """Each turn packs a bounded part and beats, rows wait, and what it holds is of one row."""

    async def body(life: Life) -> tuple[int, bytes]:
        pipeline = life.pipeline
        for start in range(0, DEVICES, MAX_TURN_ROWS):
            pipeline.consume(messages(DEVICES)[start : start + MAX_TURN_ROWS])
            await rest()
        before = b"".join(pipeline.detector.dump_pieces())
        open_windows = json.loads("".join(pipeline.windows.dump()))
        slices, beats = 0, []
        pipeline.snapshot()
        pipeline.consume(messages(5, first=DEVICES + 1))
        pipeline.snapshot()  # of the same row: the one under way is it
        while pipeline.stats.snapshots == 0:
            slices += 1
            beats.append(pipeline.heartbeat)
            assert (pipeline.seq, windows(life)) == (DEVICES, 0)
            await asyncio.sleep(0)
        assert len(set(beats[1:])) == slices - 1
        await idle(life)
        assert (pipeline.seq, pipeline.stats.snapshots) == (DEVICES + 5, 1)
        await asyncio.to_thread(life.rig.settle)
        with Reader.open(tmp_path) as reader:
            seq, blob = reader.snapshot() or (0, b"")
        state = json.loads(zlib.decompress(blob))
        assert seq == DEVICES
        assert base64.b64decode(state["detector"]) == before
        assert state["windows"] == open_windows
        assert len(state["last_seq"]) == DEVICES
        return slices, blob

    slices, blob = live(tmp_path, body)
    assert slices > len(zlib.decompress(blob)) // MAX_SLICE_BYTES >= 5


def test_one_slice_of_a_snapshot_is_bounded(tmp_path: Path) -> None:
    """However many readings a window holds, and however many series there are."""

    async def body(life: Life) -> None:
        pipeline = life.pipeline
        readings = tuple(Reading("d", f"m{n % 50}", 1_700_000_000.0 + n, 20.0, None) for n in range(4_000))
        pipeline.windows.reconfigure(WindowSettings(max_readings=5_000, max_age_s=1e9))
        for seq in (1, 2):
            pipeline.consume([MessageRow(seq, 100.0, readings[:2_000], None)])
            await rest()
        assert max(len(text) for text in pipeline.windows.dump()) < 100 * MAX_DUMPED
        assert max(len(piece) for piece in pipeline.detector.dump_pieces()) < 100 * MAX_DUMPED
        dump = Dump(pipeline.detector, pipeline.windows, pipeline.review_queue.calm, {})
        packer, fed = dump._packer, [0]

        def compress(text: bytes) -> bytes:
            fed[-1] += len(text)
            return packer.compress(text)

        dump._packer = SimpleNamespace(compress=compress, flush=packer.flush)  # type: ignore[assignment]
        while dump.slice() is None:
            fed.append(0)
        assert len(fed) >= 3
        assert max(fed) < MAX_SLICE_BYTES + 100 * MAX_DUMPED

    live(tmp_path, body)


def test_the_last_snapshot_is_made_in_slices_too(tmp_path: Path) -> None:
    """One under way at the end is finished, and the next process has its rows."""

    async def leave(life: Life) -> int:
        await fill(life)
        turns, last = 0, asyncio.ensure_future(life.pipeline.last_snapshot())
        while not last.done():
            turns += 1
            await asyncio.sleep(0)
        await asyncio.to_thread(life.rig.settle)
        return turns

    async def look(life: Life) -> tuple[int, int]:
        return len(life.pipeline.windows), life.journal.recovered.snapshot_seq

    assert live(tmp_path, leave) > 5
    opened, seq = live(tmp_path, look)
    assert opened == DEVICES
    assert seq >= DEVICES


def test_windows_wait_while_the_journal_is_behind(tmp_path: Path) -> None:
    """Each makes two jobs: so many wait at most, and one turn more; the rest is sealed once they are done."""

    async def body(life: Life) -> None:
        await fill(life)
        seal_all(life)
        life.rig.settle()
        free = threading.Event()
        life.journal.write(lambda _store: free.wait(), urgent=True)
        life.pipeline.consume([row for row in life.rig.rows if row.seq > life.pipeline.seq])
        for _ in range(20):
            await rest()
            await asyncio.sleep(HELD_S)
        assert MAX_JOBS <= life.journal.inbox.jobs < MAX_JOBS + 2 * MAX_TURN_WINDOWS
        assert windows(life) < DEVICES
        free.set()
        await idle(life)
        assert windows(life) == DEVICES

    live(tmp_path, body)


async def fill(life: Life) -> None:
    """Have one reading of each device journaled and consumed."""
    life.rig.offer([link_up(1)])
    life.rig.offer(arrival(place, topic=f"sensors/d{place}/t", payload=b"20.5") for place in range(DEVICES))
    await life.feed()
    await rest()


def judged(folder: Path) -> tuple[dict[str, str], set[str], int]:
    """Return the windows by id, the ids of the verdicts, and how many publishes wait."""
    with Reader.open(folder) as reader:
        sealed = {one.window.id: encode_window(one.window) for one in reader.windows(limit=10 * DEVICES)}
        verdicts = {one.id for one in reader.verdicts(limit=10 * DEVICES)}
        return sealed, verdicts, reader.counts()["outbox"]


@pytest.mark.slow
def test_a_kill_amid_a_cut_tick_gives_the_same_windows(tmp_path: Path) -> None:
    """Killed before the row that seals all is taken, or after 200 of its windows: the same ids and bytes."""
    whole, uncut, cut = tmp_path / "whole", tmp_path / "uncut", tmp_path / "cut"

    async def die(life: Life) -> None:
        await fill(life)
        seal_all(life)
        life.rig.settle()  # the loop is idle: nothing more is sealed than the turn below does
        shutil.copytree(whole, uncut)
        life.pipeline.consume([row for row in life.rig.rows if row.seq > life.pipeline.seq])
        assert windows(life) == MAX_TURN_WINDOWS
        life.rig.settle()
        shutil.copytree(whole, cut)

    async def go_on(life: Life) -> None:
        await asyncio.to_thread(life.rig.settle)

    live(whole, die)
    assert len(judged(cut)[1]) == MAX_TURN_WINDOWS
    assert not judged(uncut)[0]
    live(uncut, go_on, age_s=0.0)
    live(cut, go_on, age_s=0.0)
    sealed, verdicts, waiting = judged(cut)
    assert (len(sealed), verdicts, waiting) == (DEVICES, set(sealed), DEVICES)
    assert (sealed, verdicts, waiting) == judged(uncut)


def test_windows_that_wait_at_the_start_are_concluded_in_turns(tmp_path: Path) -> None:
    """A thousand sealed and not judged: the loop is free again after each 200."""

    async def leave(life: Life) -> None:
        life.pipeline.review_queue.submit = lambda *_: None  # type: ignore[method-assign]  # killed before any verdict
        await fill(life)
        seal_all(life)
        await life.feed()
        await rest()

    async def restore() -> list[int]:
        life = Life(tmp_path, max_series=DEVICES, age_s=60.0)
        pipeline = life.pipeline = life.make_pipeline()
        start, counts = asyncio.ensure_future(pipeline.restore(life.journal.recovered)), []
        while not start.done():
            await asyncio.sleep(0)
            counts.append(sum(pipeline.conclusions.stats.verdicts.values()))
        for _ in range(50):
            await asyncio.sleep(0)
            counts.append(sum(pipeline.conclusions.stats.verdicts.values()))
        life.rig.start_thread()
        await asyncio.to_thread(life.rig.stop)
        return counts

    live(tmp_path, leave)
    counts = asyncio.run(restore())
    assert counts[-1] == DEVICES
    assert max(after - before for before, after in pairwise([0, *counts])) == MAX_TURN_WINDOWS
