"""Calls of other threads come to the loop in their order, with few wake-ups."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from agent.pipeline.loop import LoopBridge


class Loop:
    """Keeps the wake-ups until they are run."""

    def __init__(self) -> None:
        self.wakes: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, work: Callable[[], None]) -> None:
        self.wakes.append(work)


def bridge_on(loop: Any) -> LoopBridge:
    """Return a bridge to a loop."""

    def fail(error: BaseException) -> None:
        raise error

    return LoopBridge(cast("asyncio.AbstractEventLoop", loop), fail=fail)


def test_one_wake_up_serves_all_that_waits() -> None:
    """And the next call wakes again."""
    loop, taken = Loop(), list[int]()
    bridge = bridge_on(loop)
    for number in range(100):
        bridge.post(taken.append, number)
    (wake,) = loop.wakes
    wake()
    assert taken == list(range(100))
    bridge.post(taken.append, 100)
    assert len(loop.wakes) == 2


def test_a_call_that_posts_has_its_own_wake_up() -> None:
    """So that a loop of calls leaves others their turn."""
    loop, taken = Loop(), list[int]()
    bridge = bridge_on(loop)
    bridge.post(lambda: bridge.post(taken.append, 1))
    bridge.post(taken.append, 0)
    loop.wakes[0]()
    assert taken == [0]
    loop.wakes[1]()
    assert taken == [0, 1]


def test_no_call_of_many_threads_is_lost() -> None:
    """Those of each thread keep their order."""
    taken: list[tuple[int, int]] = []

    async def body() -> None:
        bridge = bridge_on(asyncio.get_running_loop())

        def post(thread: int) -> None:
            for number in range(2000):
                bridge.post(taken.append, (thread, number))

        await asyncio.gather(*(asyncio.to_thread(post, thread) for thread in range(4)))
        await asyncio.sleep(0)

    asyncio.run(body())
    assert len(taken) == 8000
    for thread in range(4):
        assert [number for own, number in taken if own == thread] == list(range(2000))
