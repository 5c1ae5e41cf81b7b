"""The notice before a request goes out, with its windows."""

import asyncio
from collections.abc import Sequence

import pytest

from agent.domain.model_calls import ErrorType
from agent.domain.records import Reason, Window
from tests.ai.kit import Kit, batch, kit, two_windows, window
from tests.ai.test_caller import Model, fails, reasons


class Journal:
    """Notes what is about to be sent, and how many requests the model had then."""

    def __init__(self, model: Model) -> None:
        self.noted: list[tuple[list[str], int]] = []
        self.hangs = False
        self._model = model

    async def sending(self, windows: Sequence[Window]) -> None:
        self.noted.append(([one.id for one in windows], len(self._model.requests)))
        if self.hangs:
            await asyncio.Event().wait()


def test_it_is_said_before_the_first_byte() -> None:
    """For the windows of the request, while the model has none yet."""

    async def story() -> None:
        model = Model()
        journal, parts = Journal(model), kit(model)
        assert reasons(await parts.caller.ask(two_windows(), journal.sending)) == [Reason.REVIEWED] * 2
        assert journal.noted == [(["w1", "w2"], 0)]

    asyncio.run(story())


def test_nothing_is_said_without_a_request() -> None:
    """A kept answer, no money, an open breaker and no free slot send nothing."""

    async def story() -> None:
        model = Model()
        journal, parts = Journal(model), kit(model, cache_ttl_s=600)
        await parts.caller.ask(batch(window("w1")))
        assert reasons(await parts.caller.ask(batch(window("w2")), journal.sending)) == [Reason.CACHED]
        parts.purse.limit = 0.0
        other = window("w3", value=91.0)
        assert reasons(await parts.caller.ask(batch(other), journal.sending)) == [Reason.BUDGET]

        down = Model(fails(*[ErrorType.CONNECTION] * 9))
        parts = kit(down, max_retries=0, cache_ttl_s=0)
        for number in range(3):
            await parts.caller.ask(batch(name=f"b{number}"))
        assert reasons(await parts.caller.ask(batch(), journal.sending)) == [Reason.BREAKER]

        busy = Model()
        busy.gate = asyncio.Event()
        parts = kit(busy, max_concurrent=1, cache_ttl_s=0)
        first = asyncio.ensure_future(parts.caller.ask(batch(name="first")))
        await busy.busy.wait()
        behind = asyncio.ensure_future(parts.caller.ask(batch(name="behind"), journal.sending))
        await asyncio.sleep(0.05)
        assert journal.noted == []
        busy.gate.set()
        await asyncio.gather(first, behind)
        assert journal.noted == [(["w1"], 1)]

    asyncio.run(story())


def test_an_attempt_that_cannot_be_journaled_is_not_made() -> None:
    """At the deadline the windows are local, nothing is spent, and the endpoint is not blamed."""

    async def story() -> Kit:
        model = Model()
        journal, parts = Journal(model), kit(model, deadline_s=0.1)
        journal.hangs = True
        assert reasons(await parts.caller.ask(batch(), journal.sending)) == [Reason.TIMEOUT]
        assert model.requests == []
        return parts

    parts = asyncio.run(story())
    assert (parts.purse.spent, parts.purse.open) == (0.0, {})
    assert list(parts.caller._admission.breaker._results) == []


@pytest.mark.slow
def test_loading_is_not_part_of_the_deadline() -> None:
    """The SDK takes longer than the deadline to import; the first call has all of its time nevertheless."""

    async def story() -> None:
        loads = 0

        async def load() -> None:
            nonlocal loads
            loads += 1
            await asyncio.sleep(1.2)

        parts = kit(Model(), deadline_s=1.0, load=load)
        assert reasons(await parts.caller.ask(batch())) == [Reason.REVIEWED]
        parts.purse.limit = 0.0
        await parts.caller.ask(batch(window("w2", value=91.0)))
        assert loads == 1  # it is not loaded for a call that no money is left for

    asyncio.run(story())
