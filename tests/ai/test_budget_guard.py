"""The budget guard: the caller's own sums refuse, even if the ledger would not."""

import asyncio
from collections.abc import Mapping

import pytest

from agent.ai.budget_guard import BudgetGuard, state_of
from agent.ai.stats import CallerStats, Faults
from agent.domain.model_calls import BudgetWindow, Spend
from tests.ai.kit import Notes

NANO = 1_000_000_000


class Generous:
    """A ledger whose own check is broken: it grants everything. ``news`` are seen after a refresh."""

    def __init__(self, spend: Mapping[BudgetWindow, Spend]) -> None:
        self.periods = dict(spend)
        self.news: dict[BudgetWindow, Spend] = {}
        self.booked: list[float] = []
        self.settlements: list[tuple[int, float]] = []
        self.refreshed = 0
        self.broken = False
        self.grants = True

    async def reserve(self, amount_usd: float, purpose: str) -> int | None:
        """Book."""
        if self.broken:
            raise OSError(purpose)
        if not self.grants:
            return None
        self.booked.append(amount_usd)
        return len(self.booked)

    async def settle(self, reservation: int, actual_usd: float) -> None:
        """Settle."""
        if self.broken:
            raise OSError
        self.settlements.append((reservation, actual_usd))

    def spend(self) -> Mapping[BudgetWindow, Spend]:
        """Return the periods."""
        return self.periods

    async def refresh(self) -> None:
        """Read again."""
        self.refreshed += 1
        if self.broken:
            raise OSError
        self.periods |= self.news


def ample() -> dict[BudgetWindow, Spend]:
    """Return periods with 1 USD each, of which 0.5 is spent and 0.2 reserved."""
    return dict.fromkeys(BudgetWindow, Spend(1.0, 0.5, 0.2))


def made(ledger: Generous) -> tuple[BudgetGuard, Notes]:
    """Return a budget on it, and what it reports."""
    notes = Notes()
    faults = Faults(stats=CallerStats(), recorder=notes, model="m")
    return BudgetGuard(ledger=ledger, recorder=notes, faults=faults), notes


def can(budget: BudgetGuard, usd: float) -> bool:
    """Ask for an amount in USD."""
    return asyncio.run(budget.can_afford(round(usd * NANO)))


@pytest.mark.parametrize("tight", list(BudgetWindow))
def test_each_period_alone_refuses(tight: BudgetWindow) -> None:
    """One period that is too small is enough, though the others have room and the ledger would grant it."""
    ledger = Generous(ample() | {tight: Spend(0.75, 0.5, 0.2)})
    budget, _ = made(ledger)
    assert can(budget, 0.05)
    assert not can(budget, 0.050000001)
    assert ledger.booked == []


def test_spent_and_reserved_both_count() -> None:
    """The booking is their sum, to the nano-USD; the cap itself may be reached."""
    budget, _ = made(Generous(ample()))
    assert can(budget, 0.3)
    assert not can(budget, 0.300000001)
    assert budget.remaining_usd() == pytest.approx(0.3)
    assert budget.limit(BudgetWindow.DAY) == NANO


def test_nothing_is_left_of_an_overdrawn_period() -> None:
    """Below zero is zero, of the tightest period."""
    budget, _ = made(Generous(ample() | {BudgetWindow.MONTH: Spend(1.0, 0.9, 0.4)}))
    assert budget.remaining_usd() == 0.0
    assert not can(budget, 1e-9)


@pytest.mark.parametrize("amount", [0, -1])
def test_what_is_free_is_never_refused_nor_booked(amount: int) -> None:
    """A call that costs nothing goes even where every period is overdrawn."""
    ledger = Generous(dict.fromkeys(BudgetWindow, Spend(0.0, 1.0, 0.0)))
    budget, _ = made(ledger)
    assert asyncio.run(budget.can_afford(amount))
    assert asyncio.run(budget.reserve(amount, "review")) == 0
    assert (ledger.booked, ledger.refreshed) == ([], 0)


def test_the_smallest_amount_is_booked() -> None:
    """One nano-USD is money: it is asked for, refused where it does not fit, and booked where it does."""
    ledger = Generous(ample())
    budget, _ = made(ledger)
    assert asyncio.run(budget.reserve(1, "review")) == 1
    assert ledger.booked == [1e-9]
    full, _ = made(Generous(ample() | {BudgetWindow.HOUR: Spend(0.7, 0.5, 0.2)}))
    assert not asyncio.run(full.can_afford(1))


def test_the_file_is_read_again_before_a_refusal_only() -> None:
    """Another process may have reset the spend; an amount that fits costs no read."""
    ledger = Generous(ample())
    ledger.news = dict.fromkeys(BudgetWindow, Spend(1.0, 0.0, 0.0))
    budget, _ = made(ledger)
    assert can(budget, 0.2)
    assert ledger.refreshed == 0
    assert can(budget, 0.9)
    assert ledger.refreshed == 1


def test_a_file_that_cannot_be_read_refuses() -> None:
    """The figures in memory remain, and a booking that fails is not spent."""
    ledger = Generous(ample())
    ledger.broken = True
    budget, _ = made(ledger)
    assert not can(budget, 0.4)
    assert asyncio.run(budget.reserve(NANO // 10, "review")) is None


def test_a_booking_is_settled_by_its_cost() -> None:
    """The cost of the call replaces its booking; a booking of nothing needs none."""

    async def story() -> None:
        booking = await budget.reserve(NANO // 10, "review")
        assert booking == 1
        await budget.settle(booking, NANO // 50)
        await budget.settle(0, NANO)
        await budget.settled()

    ledger = Generous(ample())
    budget, _ = made(ledger)
    asyncio.run(story())
    assert (ledger.booked, ledger.settlements) == ([0.1], [(1, 0.02)])


@pytest.mark.parametrize(
    ("booked", "short", "state"),
    [
        (0.0, 0, "ok"), (0.799999999, 0, "ok"), (0.8, 0, "soft"), (0.999999999, 0, "soft"), (1.0, 0, "hard"),
        (0.9, 100_000_000, "soft"), (0.9, 100_000_001, "hard"), (0.2, 900_000_000, "hard"),
    ],
)  # fmt: skip
def test_the_state_of_a_period(booked: float, short: int, state: str) -> None:
    """Soft from 80 % on, hard where the smallest amount that was refused does not fit."""
    for reserved in (0.0, booked / 2):
        assert state_of(Spend(1.0, booked - reserved, reserved), short=short) == state


def test_a_refusal_is_exhaustion_until_that_much_fits_again() -> None:
    """The smallest refused amount decides; it ends when as much is booked, not when less is."""
    ledger = Generous(ample())
    budget, notes = made(ledger)
    for usd in (0.5, 0.4, 0.45):
        assert not can(budget, usd)
    assert set(budget.states().values()) == {"hard"}
    ledger.periods = dict.fromkeys(BudgetWindow, Spend(1.0, 0.65, 0.0))
    assert set(budget.states().values()) == {"hard"}  # 0.4 does not fit
    assert asyncio.run(budget.reserve(NANO // 10, "review")) is not None
    assert set(budget.states().values()) == {"hard"}
    ledger.periods = dict.fromkeys(BudgetWindow, Spend(1.0, 0.1, 0.0))
    assert asyncio.run(budget.reserve(4 * NANO // 10, "review")) is not None
    ledger.periods = dict.fromkeys(BudgetWindow, Spend(1.0, 0.65, 0.0))
    assert set(budget.states().values()) == {"ok"}
    hours = [state for window, state, *_ in notes.budget if window is BudgetWindow.HOUR]
    assert hours == ["hard", "ok"]


def test_a_ledger_that_refuses_is_obeyed_and_reported() -> None:
    """The ledger's check is the first line: its refusal is one, whatever the sums in memory are."""
    ledger = Generous(ample())
    ledger.grants = False
    ledger.periods = dict.fromkeys(BudgetWindow, Spend(1.0, 0.9, 0.05))
    budget, notes = made(ledger)
    assert asyncio.run(budget.reserve(NANO // 10, "review")) is None
    told = {(state, round(spent, 9), limit) for _, state, spent, limit in notes.budget}
    assert told == {("hard", 0.95, 1.0)}
    assert len(notes.budget) == len(BudgetWindow)
