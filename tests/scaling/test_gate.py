"""Windows that wait while another agent publishes, and windows that it covers."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from agent.domain.records import Reason
from agent.pipeline import review_queue
from agent.pipeline.review_queue import Gate
from tests.pipeline.test_review_queue import Rig
from tests.support.make import score, window


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test."""

    @wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))

    return run


@on_a_loop
async def test_windows_wait_at_the_gate() -> None:
    """No outcome, no call, in either mode; once it opens they are concluded in order."""
    for rig in (Rig(mode="suspicious"), Rig(mode="all"), Rig(mode="none")):
        rig.queue.gate = lambda _window: Gate.HELD
        windows = [window(score(2.0), lo=lo) for lo in (1, 2, 3)]
        for one in windows:
            rig.queue.submit(one)
        await asyncio.sleep(0.05)
        assert (rig.concluded, rig.batches, rig.queue.waiting) == ([], [], 3)
        rig.queue.gate = lambda _window: Gate.OPEN
        rig.queue.look_again("another")
        assert rig.concluded == []
        rig.queue.look_again(None)
        await rig.settle()
        assert [one for one, _ in rig.concluded] == [one.id for one in windows]
        assert (rig.silent, rig.queue.waiting) == ([], 0)


@on_a_loop
async def test_a_covered_window_is_concluded_silently() -> None:
    """Another agent has published about it: no call is made."""
    rig = Rig(mode="all")
    rig.queue.gate = lambda win: Gate.COVERED if win.lo == 1 else Gate.HELD
    first, second = window(score(2.0)), window(score(2.0), lo=2)
    rig.queue.submit(first)
    rig.queue.submit(second)
    assert rig.concluded == [(first.id, Reason.REVIEW_OFF)]
    assert (rig.silent, rig.batches) == ([first.id], [])


@on_a_loop
async def test_a_window_in_a_call_is_concluded_once_it_is_answered() -> None:
    """Silently, if another agent took over meanwhile."""
    rig = Rig(mode="all")
    rig.gate.clear()
    win = window(score(2.0))
    rig.queue.submit(win)
    await asyncio.sleep(0.05)
    rig.queue.gate = lambda _window: Gate.COVERED
    rig.queue.look_again(None)
    assert rig.concluded == []
    rig.gate.set()
    await rig.settle()
    assert rig.silent == [win.id]


@on_a_loop
async def test_the_windows_at_the_gate_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest of a device goes, silently and counted."""
    monkeypatch.setattr(review_queue, "MAX_HELD", 2)
    rig = Rig(mode="none")
    rig.queue.gate = lambda _window: Gate.HELD
    windows = [window(score(0), lo=lo) for lo in range(1, 6)]
    for one in windows:
        rig.queue.submit(one)
    assert rig.silent == [one.id for one in windows[:3]]
    assert (rig.queue.waiting, rig.queue.given_up) == (2, 3)
