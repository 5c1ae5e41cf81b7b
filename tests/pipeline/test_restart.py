"""Restart after a kill: each window is cut, judged and reported once."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.detect import Detector, DetectSettings, Limit
from agent.domain.records import LinkDown, Outgoing, Row, TimerKind, TimerRow, Window
from agent.journal import JournalSettings
from agent.journal.reader import Reader
from agent.mqtt import LinkState
from agent.observe.traces import Span
from agent.pipeline.events import Subscribers
from agent.pipeline.judging import Judging
from agent.pipeline.loop import LoopBridge
from agent.pipeline.notices import Receiver
from agent.pipeline.pipeline import Pipeline, PipelineSettings
from agent.pipeline.review_queue import Asks, BatchSettings
from agent.pipeline.window import WindowSettings
from agent.sinks import Answer, Delivered, MessageKind, Route
from agent.verdict.review_policy import ReviewSettings
from tests.journal.rig import Rig, arrival, link_up

AGE_S = 0.05
QUICK = JournalSettings(commit_ms=1, ballast_bytes=0, keep_days=0)


def _spawn(work: Coroutine[Any, Any, None]) -> object:
    return asyncio.ensure_future(work)


def topic(device: str) -> str:
    return f"edge-agent/gw1/verdicts/{device}"


class Life:
    """One process: a real journal, the analyst's pipeline on a loop of its own, and a sink."""

    name = title = "list"
    pipelined = True

    def __init__(
        self,
        folder: Path,
        *,
        max_series: int = 100,
        age_s: float = AGE_S,
        later_s: float = 0.0,
        high: float | None = None,
        judging: Judging | None = None,
        model: Asks | None = None,
        receivers: Sequence[Receiver] = (),
        routes: Sequence[Route] = (Route(sink="list", kind=MessageKind.VERDICT, key=topic, settles=True),),
    ) -> None:
        self._routes = routes
        self._model, self._receivers = model, receivers
        judging = judging or Judging(WindowSettings(max_age_s=age_s), (Limit("*/*", high=high),))
        self._window = judging.window
        self.detector = Detector(DetectSettings(max_series=max_series), judging.limits, judging.tuning)
        self.rig = Rig(folder, settings=QUICK, auto_consume=False, wall=lambda: time.time() + later_s)
        self.journal = self.rig.open()
        self.sent: list[Outgoing] = []
        self.answers: list[Callable[[Answer], object]] = []
        self.errors: list[BaseException] = []
        self.events = Subscribers(note=self.errors.append)
        self._fed = 0

    def make_pipeline(self) -> Pipeline:
        return Pipeline(
            settings=PipelineSettings(
                agent="gw1",
                routes=self._routes,
                review=ReviewSettings(
                    mode="none" if self._model is None else "suspicious",
                    endpoint=self._model is not None,
                    audits_per_day=0,
                ),
                window=self._window,
                batch=BatchSettings(max_wait_s=0.0),
                receivers=self._receivers,
            ),
            journal=self.journal,
            detector=self.detector,
            caller=self._model,
            sinks=[self],
            post=asyncio.get_running_loop().call_soon_threadsafe,
            trace=lambda **_: Span(),
            events=self.events,
            suppressed=lambda _reason: None,
            audits_allowed=lambda: False,
            clock=self.journal.clock.now,
            wall=time.time,
            log=lambda *_, **__: None,
            spawn=_spawn,
            fail=self.errors.append,
        )

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        self.sent.append(message)
        self.answers.append(answer)

    async def begin(self) -> Pipeline:
        self.pipeline = pipeline = self.make_pipeline()
        await pipeline.restore(self.journal.recovered)
        await pipeline.replay(self.journal.rows_after(self.journal.recovered.snapshot_seq))
        self.rig.start_thread()
        return pipeline

    async def feed(self) -> list[Row]:
        """Let all that was handed to the journal come to the pipeline."""
        for _ in range(3):
            await asyncio.to_thread(self.rig.settle)
            await asyncio.sleep(0)
            rows = self.rig.rows[self._fed :]
            self._fed += len(rows)
            if rows:
                self.pipeline.consume(rows)
            while self.pipeline.busy:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0)
            self.pipeline.outbox.turn(self.journal.clock.now())
        return self.rig.rows


def in_a_life(folder: Path, body: Any, **settings: Any) -> Any:
    """Run ``body`` with a process that is then gone without its last snapshot."""

    async def run() -> Any:
        life = Life(folder, **settings)
        await life.begin()
        try:
            return await body(life)
        finally:
            with suppress(Exception):
                await asyncio.to_thread(life.rig.stop)
            assert life.errors == []

    return asyncio.run(run())


async def _seal_behind_a_snapshot(life: Life) -> list[Outgoing]:
    """Open a window, take a snapshot, then let its age seal it: no reading comes behind the snapshot."""
    life.rig.offer([link_up(1), arrival(1)])
    await life.feed()
    assert len(life.pipeline.windows) == 1
    life.pipeline.snapshot()
    await asyncio.sleep(2 * AGE_S)
    life.pipeline.note(TimerKind.TICK)
    await life.feed()
    assert sum(life.pipeline.stats.windows.values()) == 1
    return life.sent


async def _look(life: Life) -> tuple[int, int, list[Outgoing]]:
    await life.feed()
    pipeline = life.pipeline
    verdicts = sum(pipeline.conclusions.stats.verdicts.values())
    return sum(pipeline.stats.windows.values()), verdicts, life.sent


def test_a_window_sealed_behind_the_snapshot_is_not_judged_again(tmp_path: Path) -> None:
    """Its last reading is older than the snapshot, which still has it open."""
    first = in_a_life(tmp_path, _seal_behind_a_snapshot)
    windows, verdicts, sent = in_a_life(tmp_path, _look)
    assert (windows, verdicts) == (0, 0)
    assert [item.payload for item in sent] == [item.payload for item in first]


async def _seal_and_prune(life: Life) -> list[Outgoing]:
    sent = await _seal_behind_a_snapshot(life)
    for answer in life.answers:
        answer(Delivered())
    await life.feed()
    await asyncio.to_thread(life.rig.write, lambda store: store.prune())
    return sent


def test_nor_when_its_verdict_was_old_enough_to_be_pruned(tmp_path: Path) -> None:
    """It would be published again under the same id with other bytes."""
    in_a_life(tmp_path, _seal_and_prune)
    assert in_a_life(tmp_path, _look) == (0, 0, [])


async def _see_many_devices(life: Life) -> int:
    for start in range(0, 300, 100):
        life.rig.offer(
            arrival(number, topic=f"sensors/d{number}/temperature") for number in range(start, start + 100)
        )
        await life.feed()
        life.pipeline.snapshot()
    await life.feed()
    return len(life.detector.last_seen())


def test_a_snapshot_does_not_grow_with_devices_that_are_gone(tmp_path: Path) -> None:
    """Some radios give a sensor another id with each battery."""
    known = in_a_life(tmp_path, _see_many_devices, max_series=10)
    assert known <= 10
    pipeline = in_a_life(tmp_path, _pipeline)
    assert 1 <= len(pipeline._core.last_seq) <= 10


async def _pipeline(life: Life) -> Pipeline:
    return life.pipeline  # as restored


async def _lose_the_link_at_once(life: Life) -> float | None:
    """Have the loss journaled before the analyst has received the subscription."""
    bridge = LoopBridge(asyncio.get_running_loop(), fail=life.errors.append)
    bridge.connect(life.pipeline)
    life.rig.offer([link_up(1), LinkDown(1, "gone", time.monotonic())])
    await life.feed()
    bridge.on_link(LinkState(connected=True, subscribed=True, generation=1))
    bridge.on_link(LinkState(connected=False, subscribed=False, generation=1))
    await asyncio.sleep(0)
    await life.feed()
    assert [row.kind for row in life.rig.rows if isinstance(row, TimerRow)] == [
        TimerKind.DISCONNECTED,
        TimerKind.CONNECTED,
        TimerKind.DISCONNECTED,
    ]
    return life.detector.next_due()


def test_silence_is_not_judged_when_the_link_was_lost_right_after_the_subscription(tmp_path: Path) -> None:
    """The row of the loss comes first then, and would leave the silence clocks running."""
    assert in_a_life(tmp_path, _lose_the_link_at_once) is None


async def _open_and_prune_as_if_full(life: Life) -> None:
    life.rig.offer([link_up(1), *(arrival(10 * number) for number in range(30))])
    await life.feed()
    life.pipeline.snapshot()
    await life.feed()
    await asyncio.to_thread(
        life.rig.write, lambda store: store._pruner.step(store._connection, early=True, full=True)
    )
    await life.feed()


async def _seal_what_is_open(life: Life) -> list[int]:
    await asyncio.sleep(2 * AGE_S)
    life.pipeline.note(TimerKind.TICK)
    await life.feed()
    return [json.loads(item.payload)["window"]["readings"] for item in life.sent]


def test_rows_that_a_full_journal_dropped_are_in_the_open_window(tmp_path: Path) -> None:
    """The rows of an open window are gone; the next process has its readings from the snapshot."""
    in_a_life(tmp_path, _open_and_prune_as_if_full)
    with Reader.open(tmp_path) as reader:
        assert reader.counts()["messages"] == 0
    assert sum(in_a_life(tmp_path, _seal_what_is_open)) == 30


async def _next_turn(life: Life) -> None:
    """Wait for a turn of the timers to begin."""
    before = life.pipeline.heartbeat
    while life.pipeline.heartbeat == before:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)


async def _note_a_row(life: Life) -> int:
    timers = asyncio.ensure_future(life.pipeline.run_timers())
    life.rig.offer([link_up(1), arrival(1)])
    await life.feed()
    for _ in range(3):  # one may have begun before the rows came
        await _next_turn(life)
    await life.feed()
    timers.cancel()
    return life.pipeline.stats.snapshots


@pytest.mark.slow
def test_the_age_of_the_snapshot_is_carried_over_restarts(tmp_path: Path) -> None:
    """Processes that live for less than ten minutes each still take one every ten minutes."""
    assert [in_a_life(tmp_path, _note_a_row, later_s=400.0 * number) for number in range(5)] == [
        0,
        0,
        1,
        0,
        1,
    ]


async def _fail_to_seal(life: Life) -> None:
    """Seal without memory, then judge the window and take a snapshot that has it behind it."""
    life.rig.offer([link_up(1), arrival(1)])
    await life.feed()
    await asyncio.sleep(2 * AGE_S)
    life.pipeline.note(TimerKind.TICK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.journal.store.encode_window", _without_memory)
        await life.feed()
        life.pipeline.snapshot()
        await life.feed()
    assert isinstance(life.errors[0], MemoryError)
    life.errors.clear()


def _without_memory(_window: Window) -> str:
    raise MemoryError


def test_nothing_of_the_analyst_is_written_behind_a_job_that_failed(tmp_path: Path) -> None:
    """A snapshot would pass readings that no window has; the next process seals and judges them."""
    in_a_life(tmp_path, _fail_to_seal)
    with Reader.open(tmp_path) as reader:
        assert (list(reader.windows(limit=9)), list(reader.verdicts(limit=9))) == ([], [])
    windows, verdicts, sent = in_a_life(tmp_path, _look)
    assert (windows, verdicts, len(sent)) == (1, 1, 1)
