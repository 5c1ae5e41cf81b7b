"""The review queue: one outcome per window, in the order of the device's windows."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

from agent.domain.records import (
    Answer,
    Batch,
    Cause,
    Incident,
    Outcome,
    Purpose,
    Reason,
    Recovered,
    Severity,
    Status,
    Window,
)
from agent.pipeline.review_queue import MAX_CONCLUDED, BatchSettings, ReviewQueue
from agent.prompt import base_tokens, render, window_tokens
from agent.verdict.incident import Shared
from agent.verdict.review_policy import OF_INCIDENT, ReviewSettings
from tests.ai.kit import window as seen
from tests.support.make import answered, score, window

Sending = Callable[[Sequence[Window]], Awaitable[None]]


class Rig:
    """A queue with a caller whose answers the test releases."""

    def __init__(
        self,
        *,
        mode: Literal["suspicious", "all", "none"] = "suspicious",
        batch: BatchSettings | None = None,
        slots: int = 9,
    ) -> None:
        self.paused = False
        self.fits = True  # the facts of an earlier answer
        self.status = Status.ANOMALY  # of each answer
        self.waited: list[str] = []
        self.concluded: list[tuple[str, Reason]] = []
        self.silent: list[str] = []  # concluded without a message
        self.details: list[str | None] = []
        self.batches: list[Batch] = []
        self.planned: list[str] = []
        self.counted: list[list[str]] = []
        self.taken_back: list[list[str]] = []
        self.suppressed: list[Reason] = []
        self.shared: dict[str, Shared] = {}  # by device
        self.gate: asyncio.Event = asyncio.Event()
        self.gate.set()
        self.slots = asyncio.Semaphore(slots)
        self.tasks: list[asyncio.Task[None]] = []
        self.queue = ReviewQueue(
            review=ReviewSettings(mode=mode, audits_per_day=0),
            batch=batch or BatchSettings(max_wait_s=0.01),
            caller=self,
            finding=lambda _device: None,
            shared=lambda win: self.shared.get(win.device, Shared()),
            batches=self,
            conclude=self.conclude,
            waits=lambda win: self.waited.append(win.id),
            suppressed=self.suppressed.append,
            audits_allowed=lambda: True,
            paused=lambda _clock: self.paused,
            spawn=self.spawn,
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def plan(self, batch: Batch) -> None:
        self.planned.append(batch.id)

    async def count(self, batch: Batch, windows: Collection[str]) -> None:
        assert batch.id in self.planned
        self.counted.append(list(windows))

    def take_back(self, batch: Batch, windows: Collection[str]) -> None:
        assert batch.id in self.planned
        self.taken_back.append(sorted(windows))

    async def ask(self, batch: Batch, sending: Sending) -> list[Outcome]:
        self.batches.append(batch)
        await self.slots.acquire()
        try:
            await sending(batch.windows)
            await sending(batch.windows)  # another model, within the same question
            await self.gate.wait()
        finally:
            self.slots.release()
        return [answered(win, self.status) for win in batch.windows]

    def facts_fit(self, _answer: Answer, _window: Window) -> bool:
        return self.fits

    def cancelled(self, batch: Batch) -> list[Outcome]:
        return [Outcome(win.id, Reason.SHUTDOWN) for win in batch.windows]

    def conclude(self, win: Window, outcome: Outcome, *, silent: bool = False) -> None:
        self.concluded.append((win.id, outcome.reason))
        self.silent += [win.id] if silent else []
        self.details.append(outcome.detail)

    @property
    def pending(self) -> int:
        """Windows without a verdict yet."""
        return sum(map(len, self.queue._lanes.values()))

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop go on until ``condition`` holds."""
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - the condition sets no event
                await asyncio.sleep(0.005)

    async def settle(self) -> None:
        """Let everything come to its end."""
        await self.until(lambda: all(task.done() for task in self.tasks) and not self.pending)

    async def ended(self) -> None:
        """Let the calls come to their ends."""
        await self.until(lambda: all(task.done() for task in self.tasks))


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(body())


def left(*windows: Window, attempts: dict[str, int] | None = None, batches: Any = ()) -> Recovered:
    """Return what a process that was killed left of these windows."""
    return Recovered(
        None, 0, pending=windows, attempts=attempts or {}, batches=tuple(batches), audits=frozenset()
    )


def test_calm_windows_never_reach_the_model() -> None:
    """A calm window is concluded at once, locally."""

    async def body() -> None:
        rig = Rig()
        win = window(score(0.0))
        rig.queue.submit(win)
        assert rig.concluded == [(win.id, Reason.NOT_SUSPICIOUS)]
        assert rig.pending == 0
        assert rig.suppressed == [Reason.NOT_SUSPICIOUS]

    run(body)


def test_a_paused_model_is_not_asked() -> None:
    """Until it is resumed, in each mode; the reason of the verdict is that of a review that is off."""

    async def body() -> None:
        rig = Rig(mode="all")
        rig.paused = True
        rig.queue.submit(window(score(2.0), device="d1"))
        rig.paused = False
        rig.queue.submit(window(score(2.0), device="d2"))
        await rig.settle()
        assert [reason for _, reason in rig.concluded] == [Reason.REVIEW_OFF, Reason.REVIEWED]
        assert len(rig.batches) == 1

    run(body)


def test_a_devices_verdicts_keep_their_order() -> None:
    """A calm window waits behind the suspicious one that is with the model; other devices do not."""

    async def body() -> None:
        rig = Rig()
        rig.gate.clear()
        first, second = window(score(2.0), lo=1), window(score(0.0), lo=5)
        other = window(score(0.0), device="d2")
        rig.queue.submit(first)
        rig.queue.submit(second)
        rig.queue.submit(other)
        await rig.until(lambda: rig.counted)
        assert rig.concluded == [(other.id, Reason.NOT_SUSPICIOUS)]
        rig.gate.set()
        await rig.settle()
        assert [win_id for win_id, _ in rig.concluded] == [other.id, first.id, second.id]

    run(body)


def test_windows_share_a_call() -> None:
    """Windows of many devices that come together go out in one batch, at most max_windows of them."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=4, max_wait_s=0.01))
        for number in range(6):
            rig.queue.submit(window(score(2.0), device=f"d{number}"))
        await rig.settle()
        assert sorted(len(batch.windows) for batch in rig.batches) == [2, 4]
        assert {reason for _, reason in rig.concluded} == {Reason.REVIEWED}

    run(body)


def test_mode_all_asks_about_every_window() -> None:
    """In mode `all` a device's windows need not wait for each other to be asked about."""

    async def body() -> None:
        rig = Rig(mode="all")
        wins = [window(score(0.0), lo=number) for number in (1, 5, 9)]
        for win in wins:
            rig.queue.submit(win)
        await rig.settle()
        assert [len(batch.windows) for batch in rig.batches] == [3]
        assert [win_id for win_id, _ in rig.concluded] == [win.id for win in wins]

    run(body)


def test_a_window_in_flight_at_crashes_is_split_then_poison() -> None:
    """After two crashes a window is asked about alone, after three it is concluded without a call."""

    async def body() -> None:
        rig = Rig()
        poison, split, fresh = (window(score(2.0), device=name) for name in ("a", "b", "c"))
        rig.queue.resume(left(poison, split, fresh, attempts={poison.id: 3, split.id: 2, fresh.id: 1}))
        await rig.settle()
        assert rig.concluded[0] == (poison.id, Reason.POISON)
        assert sorted(len(batch.windows) for batch in rig.batches) == [1, 1]
        assert {batch.attempt for batch in rig.batches} == {2, 3}

    run(body)


def test_shutdown_ends_calls_in_flight_locally_and_leaves_the_rest() -> None:
    """A cancelled call was perhaps billed: its windows end local. Waiting windows stay for the next start."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=1))
        rig.gate.clear()
        flying = window(score(2.0), device="a")
        rig.queue.submit(flying)
        await rig.until(lambda: rig.counted)
        rig.queue.close()
        rig.queue.submit(window(score(2.0), device="b"))
        for call in list(rig.queue.calls):
            call.cancel()
        await rig.ended()
        assert rig.concluded == [(flying.id, Reason.SHUTDOWN)]
        assert rig.pending == 1
        assert len(rig.batches) == 1

    run(body)


def test_an_attempt_counts_when_its_request_goes_out() -> None:
    """A batch that waits for a slot has none; further requests for the same verdict count no further one."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=2), slots=1)
        rig.gate.clear()
        wins = [window(score(2.0), device=name) for name in "abcd"]
        for win in wins:
            rig.queue.submit(win)
        await rig.until(lambda: len(rig.planned) == 2 and rig.counted)
        assert rig.counted == [[wins[0].id, wins[1].id]]
        rig.gate.set()
        await rig.settle()
        assert rig.counted == [[wins[0].id, wins[1].id], [wins[2].id, wins[3].id]]

    run(body)


def test_a_stop_takes_attempts_back_and_leaves_what_was_in_no_request() -> None:
    """In flight: local, reason shutdown, its attempt is taken back. Behind it: left to the next start."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=1), slots=1)
        rig.gate.clear()
        flying, waiting = (window(score(2.0), device=name) for name in "ab")
        rig.queue.submit(flying)
        rig.queue.submit(waiting)
        await rig.until(lambda: rig.counted)
        rig.queue.close()
        await asyncio.sleep(0.02)
        assert len(rig.queue.calls) == 1
        for call in list(rig.queue.calls):
            call.cancel()
        await rig.ended()
        assert rig.counted == rig.taken_back == [[flying.id]]
        assert rig.concluded == [(flying.id, Reason.SHUTDOWN)]
        assert rig.pending == 1

    run(body)


def test_the_next_process_asks_the_same_batches() -> None:
    """A batch stays together, also after one crash; a batch that the model crashed on is split."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_wait_s=0.01, max_windows=3))
        wins = [window(score(2.0), device=name) for name in "abcdefgh"]
        ids = [win.id for win in wins]
        rig.queue.resume(
            left(*wins, attempts={ids[4]: 2, ids[5]: 2, ids[0]: 1}, batches=[(ids[2], ids[0]), ids[4:7]])
        )
        await rig.settle()
        asked = [[win.id for win in batch.windows] for batch in rig.batches]
        assert asked == [[ids[2], ids[0]], [ids[4]], [ids[5]], [ids[6]], [ids[1], ids[3], ids[7]]]
        assert {reason for _, reason in rig.concluded} == {Reason.REVIEWED}

    run(body)


def test_windows_that_waited_too_long_over_restarts_are_not_asked() -> None:
    """They end local, reason ``timeout``, also where their batch was put together; the others are asked."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_wait_s=0.01))
        wins = [window(score(2.0), device=name) for name in "abc"]
        ids = [win.id for win in wins]
        rig.queue.resume(replace(left(*wins, batches=[ids]), overdue=frozenset(ids[:1])))
        await rig.settle()
        assert [[win.id for win in batch.windows] for batch in rig.batches] == [ids[1:]]
        assert dict(rig.concluded) == {
            ids[0]: Reason.TIMEOUT,
            ids[1]: Reason.REVIEWED,
            ids[2]: Reason.REVIEWED,
        }

    run(body)


def test_only_windows_that_may_be_asked_about_need_a_section() -> None:
    """A calm window is rendered for the prompt only if an audit may draw it; without a model none is."""

    async def body() -> None:
        rig = Rig()
        assert rig.queue.may_ask("f" * 32, 0.25, 0.0)
        assert not rig.queue.may_ask("f" * 32, 0.2, 0.0)
        assert Rig(mode="all").queue.may_ask("f" * 32, 0.0, 0.0)
        assert not Rig(mode="none").queue.may_ask("f" * 32, 9.0, 0.0)
        audited = ReviewSettings(audits_per_day=24)
        rig.queue.reconfigure(audited, BatchSettings(), rig)
        for minute in range(100):
            rig.queue.calm.count(60.0 * minute)
        assert rig.queue.may_ask("0" * 32, 0.0, 6000.0)
        assert not rig.queue.may_ask("f" * 32, 0.0, 6000.0)

    run(body)


def test_a_batch_is_not_so_long_that_its_context_is_trimmed() -> None:
    """The constant part counts too: windows that do not fit with it wait for the next call."""

    async def story() -> Rig:
        rig = Rig(mode="all", batch=BatchSettings(max_wait_s=0.01, max_input_tokens=2500))
        for number in range(12):
            rig.queue.submit(seen(f"{number:016x}", device=f"d{number}"))
        await rig.settle()
        return rig

    rig = asyncio.run(story())
    assert sum(len(batch.windows) for batch in rig.batches) == 12
    for batch in rig.batches:
        assert 1 < len(batch.windows) < 12
        whole = render(batch, 10**6, delimiter="0" * 16)
        assert render(batch, 2500, delimiter="0" * 16) == whole
        assert whole.estimated_tokens <= 2500


def test_windows_behind_a_slow_answer_are_concluded_in_turns() -> None:
    """Five hundred of one device wait for the model: then 200 in a turn of the loop, in their order."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=1))
        rig.gate.clear()
        lane = [window(score(2.0)), *(replace(window(score(0.0)), id=str(place)) for place in range(500))]
        for win in lane:
            rig.queue.submit(win)
        rig.gate.set()
        counts = [0]
        while rig.pending:
            await asyncio.sleep(0)
            counts.append(len(rig.concluded))
        assert max(after - before for before, after in pairwise(counts)) == MAX_CONCLUDED
        assert [name for name, _ in rig.concluded] == [win.id for win in lane]

    run(body)


def test_a_window_that_seals_between_two_turns_keeps_its_place() -> None:
    """The lane is not at its end yet: the newcomer is concluded last."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=1))
        rig.gate.clear()
        lane = [window(score(2.0)), *(replace(window(score(0.0)), id=str(place)) for place in range(300))]
        for win in lane:
            rig.queue.submit(win)
        rig.gate.set()
        for _ in range(50):
            if not rig.concluded:
                await asyncio.sleep(0)
        assert len(rig.concluded) == MAX_CONCLUDED
        last = replace(window(score(0.0)), id="fade0000fade00")
        rig.queue.submit(last)
        assert len(rig.concluded) == MAX_CONCLUDED
        await rig.settle()
        assert [name for name, _ in rig.concluded] == [*(win.id for win in lane), "fade0000fade00"]

    run(body)


# ----------------------------------------------------------------------------- one cause, one call

KINDRED = ("site", "inlet_temperature", "up")


def test_an_alarm_that_the_model_found_normal_goes_on_without_a_call() -> None:
    """Each window has its verdict, from the answer to the first."""

    async def body() -> None:
        rig = Rig()
        rig.status = Status.NORMAL
        windows = [window(score(2.0), lo=lo) for lo in (1, 5, 9)]
        for one in windows:
            rig.queue.submit(one)
        await rig.settle()
        assert [[one.id for one in batch.windows] for batch in rig.batches] == [[windows[0].id]]
        assert [reason for _, reason in rig.concluded] == [Reason.REVIEWED, Reason.CACHED, Reason.CACHED]
        assert rig.suppressed == [Reason.CACHED, Reason.CACHED]
        assert rig.queue.asked == {Purpose.OPENING: 1}

    run(body)


def test_an_alarm_whose_facts_no_longer_fit_is_asked_about_again() -> None:
    """The planned hour is over."""

    async def body() -> None:
        rig = Rig()
        rig.status = Status.NORMAL
        for lo, rig.fits in ((1, True), (5, True), (9, False)):
            rig.queue.submit(window(score(2.0), lo=lo))
            await rig.settle()
        assert [reason for _, reason in rig.concluded] == [Reason.REVIEWED, Reason.CACHED, Reason.REVIEWED]
        assert rig.queue.asked == {Purpose.OPENING: 1, Purpose.AGAIN: 1}

    run(body)


def racks(rig: Rig, *numbers: int) -> list[Window]:
    """Submit an anomaly of each rack, of which all may have one cause."""
    windows = []
    for number in numbers:
        device = f"rack-{number}"
        rig.shared.setdefault(device, Shared(None, KINDRED))
        windows.append(window(score(2.0), device=device))
        rig.queue.submit(windows[-1])
    return windows


def test_anomalies_of_one_cause_are_asked_in_one_call_next_to_each_other() -> None:
    """Others that wait for the same call are behind them."""

    async def body() -> None:
        rig = Rig()
        racks(rig, 1)
        rig.queue.submit(window(score(2.0), device="pump"))
        racks(rig, 2, 3)
        await rig.settle()
        (batch,) = rig.batches
        assert [one.device for one in batch.windows] == ["rack-1", "rack-2", "rack-3", "pump"]
        assert rig.queue.asked == {Purpose.OPENING: 1}
        assert len(rig.concluded) == 4

    run(body)


def test_an_anomaly_waits_for_the_call_about_its_kindred_and_needs_none() -> None:
    """The call opens an incident that it belongs to; an anomaly of another cause does not wait."""

    async def body() -> None:
        rig = Rig()
        rig.gate.clear()
        (first,) = racks(rig, 1)
        await rig.until(lambda: rig.counted)
        second, third = racks(rig, 2, 3)
        pump = window(score(2.0), device="pump")
        rig.queue.submit(pump)
        await rig.until(lambda: len(rig.batches) == 2)
        opened = Incident("i", first.sealed, Cause.DEVICE, Severity.WARNING, reviewed=first.sealed)
        rig.shared |= {f"rack-{number}": Shared(opened, KINDRED) for number in (2, 3, 4)}
        rig.gate.set()
        await rig.settle()
        racks(rig, 4)
        await rig.settle()
        assert [[one.id for one in batch.windows] for batch in rig.batches] == [[first.id], [pump.id]]
        reasons = dict(rig.concluded)
        assert (reasons[second.id], reasons[third.id]) == (Reason.OPEN_FINDING, Reason.OPEN_FINDING)
        assert OF_INCIDENT in rig.details
        assert rig.queue.asked == {Purpose.OPENING: 2}

    run(body)


def test_if_the_call_opened_nothing_the_others_are_asked() -> None:
    """In one call of their own."""

    async def body() -> None:
        rig = Rig()
        rig.gate.clear()
        racks(rig, 1)
        await rig.until(lambda: rig.counted)
        racks(rig, 2, 3)
        rig.gate.set()
        await rig.settle()
        assert [[one.device for one in batch.windows] for batch in rig.batches] == [
            ["rack-1"],
            ["rack-2", "rack-3"],
        ]

    run(body)


def test_one_call_is_bounded_all_the_same() -> None:
    """As many as a call may have; the others wait for its answer, and none is lost."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=4, max_wait_s=0.01))
        racks(rig, *range(10))
        await rig.settle()
        assert [len(batch.windows) for batch in rig.batches] == [4, 4, 2]
        assert len(rig.concluded) == 10

    run(body)


def test_kindred_share_a_call_whose_context_is_trimmed() -> None:
    """Their prompt keeps to the size of one call; windows of different causes would be two."""

    async def body() -> None:
        recent = tuple(20.0 + 0.1 * place for place in range(30))
        warm = [seen(f"w{number}", device=f"rack-{number}", recent=recent) for number in range(6)]
        room = base_tokens() + 5 * window_tokens(warm[0].section)
        for one_cause in (True, False):
            rig = Rig(batch=BatchSettings(max_wait_s=0.01, max_input_tokens=room))
            for one in warm:
                rig.shared[one.device] = Shared(None, KINDRED if one_cause else None)
                rig.queue.submit(one)
            await rig.settle()
            assert [len(batch.windows) for batch in rig.batches] == ([6] if one_cause else [5, 1])
            for batch in rig.batches:
                assert render(batch, room, delimiter="x").estimated_tokens <= room

    run(body)


def test_windows_that_wait_for_their_kindred_are_left_to_the_next_process() -> None:
    """A stop while the call is on its way loses none: they are sealed, and asked at the next start."""

    async def body() -> None:
        rig = Rig()
        rig.gate.clear()
        racks(rig, 1)
        await rig.until(lambda: rig.counted)
        (second,) = racks(rig, 2)
        rig.queue.close()
        rig.gate.set()
        await rig.ended()
        assert second.id not in dict(rig.concluded)
        again = Rig()
        again.queue.resume(left(second))
        await again.settle()
        assert [one.id for batch in again.batches for one in batch.windows] == [second.id]

    run(body)
