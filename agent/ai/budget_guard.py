"""The budget guard: whether a call is affordable, and the state of each period."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from agent.ai.protocols import Ledger, Recorder
from agent.ai.stats import Faults
from agent.budget.pricing import NANO, usd
from agent.domain.model_calls import BudgetWindow, Spend
from agent.domain.records import AgentError

SOFT = 0.8
MAX_SETTLE_S = 0.2  # a verdict waits no longer for the disk
BudgetState = Literal["ok", "soft", "hard"]
OK: BudgetState = "ok"
SOFT_STATE: BudgetState = "soft"
HARD: BudgetState = "hard"


class BudgetGuard:
    """Books calls in the ledger, in nano-USD, and reports each change of a period's state to the recorder.

    A call that costs nothing is not booked. An exception of the ledger is an error of its disk, which it
    reports itself, or a fault for ``faults``; the caller goes on in both cases.
    """

    def __init__(self, *, ledger: Ledger, recorder: Recorder, faults: Faults) -> None:
        self._ledger = ledger
        self._faults = faults
        self._recorder = recorder
        self._settling: set[asyncio.Task[None]] = set()
        self._short = 0  # the smallest amount that was refused and still is
        self._states: dict[BudgetWindow, BudgetState] = dict.fromkeys(BudgetWindow, OK)

    async def can_afford(self, amount: int) -> bool:
        """Return whether ``amount`` fits in every period; the file is read before a refusal."""
        if amount <= 0 or self._fits(amount):
            return True
        try:
            await self._ledger.refresh()
        except Exception as error:  # noqa: BLE001 - the figures in memory remain
            self._note(error)
        if self._fits(amount):
            return True
        self._refused(amount)
        return False

    def _fits(self, amount: int) -> bool:
        periods = self._ledger.spend().values()
        return all(_booked(one) + amount <= _limit(one) for one in periods)

    async def reserve(self, amount: int, purpose: str) -> int | None:
        """Book ``amount``; return the booking, 0 when it is free, None when a cap would be passed."""
        if amount <= 0:
            return 0
        try:
            booking = await self._ledger.reserve(usd(amount), purpose)
        except Exception as error:  # noqa: BLE001 - unbooked means not spent
            self._note(error)
            return None
        if booking is None:
            self._refused(amount)
            return None
        if amount >= self._short:
            self._short = 0
        self._report()
        return booking

    def _refused(self, amount: int) -> None:
        """Remember the smallest refused amount: a period is exhausted as long as it does not fit."""
        self._short = min(amount, self._short or amount)
        self._report()

    async def settle(self, booking: int, actual: int) -> None:
        """Replace a booking by the cost of the call, without waiting for a slow disk."""
        if not booking:
            return
        task = asyncio.create_task(self._settle(booking, actual))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.wait({task}, timeout=MAX_SETTLE_S)

    async def _settle(self, booking: int, actual: int) -> None:
        try:
            await self._ledger.settle(booking, usd(actual))
        except Exception as error:  # noqa: BLE001 - the booking remains as spent
            self._note(error)
            return
        self._report()

    def _note(self, error: Exception) -> None:
        """Report an exception that is not an error of the disk."""
        if not isinstance(error, AgentError | OSError):
            self._faults.note(error)

    async def settled(self) -> None:
        """Wait until everything is settled."""
        while self._settling:
            await asyncio.wait(self._settling)

    def remaining_usd(self) -> float:
        """Return what is left in the tightest period, USD."""
        periods = self._ledger.spend().values()
        return max(0.0, min(one.limit - one.spent - one.reserved for one in periods))

    def states(self) -> Mapping[BudgetWindow, BudgetState]:
        """Return ok, soft (80 % is gone) or hard (too little is left for a call) of each period."""
        return {window: self._state(one) for window, one in self._ledger.spend().items()}

    def _state(self, one: Spend) -> BudgetState:
        return state_of(one, short=self._short)

    def limit(self, window: BudgetWindow) -> int:
        """Return the cap of a period, nano-USD."""
        return _limit(self._ledger.spend()[window])

    def _report(self) -> None:
        """Report each period whose state has changed."""
        for window, one in self._ledger.spend().items():
            state = self._state(one)
            if state != self._states[window]:
                self._states[window] = state
                self._recorder.budget_changed(window, state, one.spent + one.reserved, one.limit)


def state_of(one: Spend, *, short: int = 0) -> BudgetState:
    """Return the state of a period: ok, soft (80 % is gone), hard where not even ``short`` nano-USD fit."""
    booked, limit = _booked(one), _limit(one)
    if booked + max(short, 1) > limit:
        return HARD
    return SOFT_STATE if booked >= SOFT * limit else OK


def _booked(one: Spend) -> int:
    return round((one.spent + one.reserved) * NANO)


def _limit(one: Spend) -> int:
    return round(one.limit * NANO)
