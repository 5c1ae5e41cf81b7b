"""One turn of the analyst's loop is bounded, and where it ends decides nothing."""

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.journal import JournalClosedError, Reader
from agent.journal.codec import encode_window
from agent.pipeline import MAX_TURN_ROWS, MAX_TURN_WINDOWS
from agent.records import MessageRow, Reading, Row, TimerKind, TimerRow
from tests.journal.rig import arrival, link_up
from tests.test_restart import Life

DEVICES = 1_000
Body = Callable[[Life], Coroutine[Any, Any, Any]]


def live(folder: Path, body: Body) -> Any:
    """Run ``body`` in a process that then ends without a last snapshot."""

    async def run() -> Any:
        life = Life(folder, max_series=2 * DEVICES, age_s=60.0)
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


async def rest() -> None:
    """Give the loop more turns than these tests need."""
    for _ in range(50):
        await asyncio.sleep(0)


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
    """200 windows a turn; no later row is taken before the last of them, and no snapshot lies between."""

    async def body(life: Life) -> None:
        pipeline = life.pipeline
        for start in range(0, DEVICES, MAX_TURN_ROWS):
            pipeline.consume(messages(DEVICES)[start : start + MAX_TURN_ROWS])
            await rest()
        after = MessageRow(DEVICES + 2, 500.0, (Reading("late", "t", 1_700_000_400.0, 1.0, None),), None)
        pipeline.consume([TimerRow(DEVICES + 1, 400.0, TimerKind.TICK, None), after])
        counts = []
        while pipeline.busy:
            counts.append(windows(life))
            assert pipeline.seq == DEVICES
            assert "late" not in pipeline.detector.devices()
            pipeline.snapshot()
            assert pipeline.stats.snapshots == 0
            await asyncio.sleep(0)
        assert counts == [MAX_TURN_WINDOWS * turn for turn in range(1, 6)]
        assert (windows(life), pipeline.seq, pipeline.stats.snapshots) == (DEVICES, DEVICES + 2, 1)

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


def test_a_kill_amid_a_cut_tick_gives_the_same_windows(tmp_path: Path) -> None:
    """Killed before the row that seals all is taken, or after 200 of its windows: the same ids and bytes."""
    whole, uncut, cut = tmp_path / "whole", tmp_path / "uncut", tmp_path / "cut"

    async def die(life: Life) -> None:
        await fill(life)
        life.pipeline.note(TimerKind.DRAIN)
        life.rig.settle()  # the loop stands still: nothing more is sealed than the turn below does
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
    live(uncut, go_on)
    live(cut, go_on)
    sealed, verdicts, waiting = judged(cut)
    assert (len(sealed), verdicts, waiting) == (DEVICES, set(sealed), DEVICES)
    assert (sealed, verdicts, waiting) == judged(uncut)


def test_windows_that_wait_at_the_start_are_concluded_in_turns(tmp_path: Path) -> None:
    """A thousand sealed and not judged: the loop is free again after each 200."""

    async def leave(life: Life) -> None:
        life.pipeline.desk.submit = lambda *_: None  # type: ignore[method-assign]  # killed before any verdict
        await fill(life)
        life.pipeline.note(TimerKind.DRAIN)
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
