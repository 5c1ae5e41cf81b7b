"""The review desk: every window gets one outcome, in the order of its device's windows."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

from agent.desk import MAX_CONCLUDED, BatchSettings, Desk
from agent.prompt import render
from agent.records import Batch, Outcome, Reason, Status, Window
from agent.review import ReviewSettings
from tests.caller.kit import window as seen
from tests.support.make import answered, score, window


class Rig:
    """A desk with a caller whose answers the test releases."""

    def __init__(self, *, mode: str = "suspicious", batch: BatchSettings | None = None) -> None:
        self.concluded: list[tuple[str, Reason]] = []
        self.batches: list[Batch] = []
        self.started: list[str] = []
        self.suppressed: list[Reason] = []
        self.gate: asyncio.Event = asyncio.Event()
        self.gate.set()
        self.tasks: list[asyncio.Task[None]] = []
        self.desk = Desk(
            review=ReviewSettings(mode=mode, audits_per_day=0),
            batch=batch or BatchSettings(max_wait_s=0.01),
            caller=self,
            finding=lambda _device: None,
            start_batch=self.start_batch,
            conclude=self.conclude,
            suppressed=self.suppressed.append,
            audits_allowed=lambda: True,
            spawn=self.spawn,
        )

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def start_batch(self, batch: Batch) -> None:
        self.started.append(batch.id)

    async def ask(self, batch: Batch) -> list[Outcome]:
        assert batch.id in self.started
        self.batches.append(batch)
        await self.gate.wait()
        return [answered(win, Status.ANOMALY) for win in batch.windows]

    def cancelled(self, batch: Batch) -> list[Outcome]:
        return [Outcome(win.id, Reason.SHUTDOWN) for win in batch.windows]

    def conclude(self, win: Window, outcome: Outcome) -> None:
        self.concluded.append((win.id, outcome.reason))

    async def settle(self) -> None:
        for _ in range(200):
            await asyncio.sleep(0.005)
            if all(task.done() for task in self.tasks) and not self.desk.waiting:
                return


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(body())


def test_calm_windows_never_reach_the_model() -> None:
    """A calm window is concluded at once, locally."""

    async def body() -> None:
        rig = Rig()
        win = window(score(0.0))
        rig.desk.submit(win)
        assert rig.concluded == [(win.id, Reason.NOT_SUSPICIOUS)]
        assert rig.desk.pending == 0
        assert rig.suppressed == [Reason.NOT_SUSPICIOUS]

    run(body)


def test_a_devices_verdicts_keep_their_order() -> None:
    """A calm window waits behind the suspicious one that is with the model; other devices do not."""

    async def body() -> None:
        rig = Rig()
        rig.gate.clear()
        first, second = window(score(2.0), lo=1), window(score(0.0), lo=5)
        other = window(score(0.0), device="d2")
        rig.desk.submit(first)
        rig.desk.submit(second)
        rig.desk.submit(other)
        await asyncio.sleep(0.05)
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
            rig.desk.submit(window(score(2.0), device=f"d{number}"))
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
            rig.desk.submit(win)
        await rig.settle()
        assert [len(batch.windows) for batch in rig.batches] == [3]
        assert [win_id for win_id, _ in rig.concluded] == [win.id for win in wins]

    run(body)


def test_a_window_in_flight_at_crashes_is_split_then_poison() -> None:
    """After two crashes a window is asked about alone, after three it is concluded without a call."""

    async def body() -> None:
        rig = Rig()
        poison, split, fresh = (window(score(2.0), device=name) for name in ("a", "b", "c"))
        rig.desk.submit(poison, 3)
        rig.desk.submit(split, 2)
        rig.desk.submit(fresh, 1)
        await rig.settle()
        assert rig.concluded[0] == (poison.id, Reason.POISON)
        assert sorted(len(batch.windows) for batch in rig.batches) == [1, 1]
        assert {batch.attempt for batch in rig.batches} == {2, 3}

    run(body)


def test_shutdown_ends_calls_in_flight_locally_and_leaves_the_rest() -> None:
    """A cancelled call was perhaps billed: its windows end local. What waited stays for the next start."""

    async def body() -> None:
        rig = Rig(batch=BatchSettings(max_windows=1))
        rig.gate.clear()
        flying = window(score(2.0), device="a")
        rig.desk.submit(flying)
        await asyncio.sleep(0.02)
        rig.desk.close()
        rig.desk.submit(window(score(2.0), device="b"))
        for call in list(rig.desk.calls):
            call.cancel()
        await rig.settle()
        assert rig.concluded == [(flying.id, Reason.SHUTDOWN)]
        assert rig.desk.pending == 1
        assert len(rig.batches) == 1

    run(body)


def test_only_windows_that_may_be_asked_about_need_a_section() -> None:
    """A calm window is rendered for the prompt only if an audit may draw it; without a model none is."""

    async def body() -> None:
        rig = Rig()
        assert rig.desk.may_ask("f" * 32, 0.25, 0.0)
        assert not rig.desk.may_ask("f" * 32, 0.2, 0.0)
        assert Rig(mode="all").desk.may_ask("f" * 32, 0.0, 0.0)
        assert not Rig(mode="none").desk.may_ask("f" * 32, 9.0, 0.0)
        audited = ReviewSettings(audits_per_day=24)
        rig.desk.reconfigure(audited, BatchSettings(), rig)
        for minute in range(100):
            rig.desk.calm.count(60.0 * minute)
        assert rig.desk.may_ask("0" * 32, 0.0, 6000.0)
        assert not rig.desk.may_ask("f" * 32, 0.0, 6000.0)

    run(body)


def test_a_batch_is_not_so_long_that_its_context_is_trimmed() -> None:
    """The constant part counts too: what does not fit beside it waits for the next call."""

    async def story() -> Rig:
        rig = Rig(mode="all", batch=BatchSettings(max_wait_s=0.01, max_input_tokens=2500))
        for number in range(12):
            rig.desk.submit(seen(f"{number:016x}", device=f"d{number}"))
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
            rig.desk.submit(win)
        rig.gate.set()
        counts = [0]
        while rig.desk.pending:
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
            rig.desk.submit(win)
        rig.gate.set()
        for _ in range(50):
            if not rig.concluded:
                await asyncio.sleep(0)
        assert len(rig.concluded) == MAX_CONCLUDED
        last = replace(window(score(0.0)), id="fade0000fade00")
        rig.desk.submit(last)
        assert len(rig.concluded) == MAX_CONCLUDED
        await rig.settle()
        assert [name for name, _ in rig.concluded] == [*(win.id for win in lane), "fade0000fade00"]

    run(body)
