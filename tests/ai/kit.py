"""Parts for the tests of the caller: windows, a recorder, a ledger in memory."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.ai.protocols import Transport
from agent.ai.settings import CallerSettings
from agent.budget.pricing import Price, Pricing
from agent.domain.model_calls import BreakerState, BudgetWindow, CallRecord, Request, Retry, Spend
from agent.domain.records import (
    Batch,
    Check,
    Grounding,
    Kind,
    LocalOpinion,
    Past,
    Reason,
    Score,
    SeriesView,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)
from agent.prompt import render_section

RECENT = tuple(71 + 0.01 * step for step in range(30))
PRICING = Pricing({"m": Price(1.0, 4.0, 0.5), "cheap": Price(0.1, 0.4), "free": Price(0.0, 0.0)})


def window(
    name: str = "w1",
    *,
    device: str = "kitchen/th1",
    value: float = 98.66,
    score: float = 1.7,
    kind: Kind = Kind.SPIKE,
    metric: str = "temperature",
    unit: str | None = "°C",
    limits: tuple[float | None, float | None] = (-40.0, 85.0),
    recent: tuple[float, ...] = RECENT,
    first_ref: int = 1,
    past: tuple[Past, ...] = (),
    others: tuple[SeriesView, ...] = (),
) -> Window:
    """Return a window of 60 readings with one suspicious candidate and two calm ones."""
    calm = [
        WindowReading(f"r{first_ref + place}", metric, 1000.0 + place, 71.1 + 0.1 * place, unit, Score(0.0))
        for place in range(2)
    ]
    suspect = WindowReading(
        f"r{first_ref + 16}", metric, 1016.0, value, unit, Score(score, kind, (70.1, 72.3))
    )
    candidates = (*calm, suspect)
    anomaly = score >= 1.0
    local = LocalOpinion(
        Status.ANOMALY if anomaly else Status.NORMAL,
        score,
        kind if anomaly else Kind.NONE,
        Severity.WARNING if anomaly else Severity.INFO,
        (suspect,) if anomaly else (),
        "local summary",
    )
    view = SeriesView(
        device, metric, unit, 5000, True, 71.2, 70.1, 72.3, 0.4, (70.1, 72.3), limits, recent, 1016.0, value,
        past=past,
    )  # fmt: skip
    section = render_section(
        candidates=candidates,
        views=[view],
        start=1000.0,
        end=1060.0,
        count=60,
        local=local,
        others=others,
    )
    return Window(
        id=name,
        device=device,
        trigger=Trigger.SUSPICION,
        lo=1,
        hi=60,
        count=60,
        start=1000.0,
        end=1060.0,
        opened=0.0,
        sealed=1.0,
        local=local,
        candidates=candidates,
        section=section,
    )


def batch(*windows: Window, name: str = "b1", audit: tuple[str, ...] = ()) -> Batch:
    """Return a batch, of one window if none is given."""
    return Batch(name, windows or (window(),), audit=frozenset(audit))


def two_windows() -> Batch:
    """Return a batch of two devices whose windows do not look alike."""
    return batch(window("w1"), window("w2", device="cellar/p1", value=55.0, metric="pressure", unit="kPa"))


@dataclass(slots=True)
class Scope:
    """A call as the recorder saw it."""

    request: Request
    retries: list[Retry] = field(default_factory=list)
    record: CallRecord | None = None
    trace_id: str | None = "t" * 32
    span_id: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def retried(self, retry: Retry) -> None:
        self.retries.append(retry)

    def finish(self, record: CallRecord) -> None:
        assert self.record is None
        self.record = record


@dataclass(slots=True)
class Notes:
    """A recorder that remembers everything."""

    scopes: list[Scope] = field(default_factory=list)
    suppressions: list[tuple[Reason, int]] = field(default_factory=list)
    cache: list[str] = field(default_factory=list)
    grounding: list[tuple[Grounding, tuple[Check, ...]]] = field(default_factory=list)
    breaker: list[tuple[str, BreakerState, str, float]] = field(default_factory=list)
    budget: list[tuple[BudgetWindow, str, float, float]] = field(default_factory=list)
    injections: list[str] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)
    faults: list[tuple[BaseException, str, bool]] = field(default_factory=list)

    def call(self, request: Request) -> Scope:
        self.scopes.append(Scope(request))
        return self.scopes[-1]

    def share_used_up(self, device: str) -> None:
        self.shares.append(device)

    def suppressed(self, reason: Reason, windows: int) -> None:
        self.suppressions.append((reason, windows))

    def cache_looked_up(self, result: str) -> None:
        self.cache.append(result)

    def grounding_checked(self, result: Grounding, checks: tuple[Check, ...]) -> None:
        self.grounding.append((result, checks))

    def breaker_changed(self, provider: str, state: BreakerState, why: str, open_s: float) -> None:
        self.breaker.append((provider, state, why, open_s))

    def budget_changed(self, window: BudgetWindow, state: str, spent: float, limit: float) -> None:
        self.budget.append((window, state, spent, limit))

    def injection_suspected(self, rule: str, origin: str) -> None:
        assert origin
        self.injections.append(rule)

    def faulted(self, error: BaseException, *, model: str, recorded: bool) -> None:
        self.faults.append((error, model, recorded))

    @property
    def record(self) -> CallRecord:
        """The record of the last call."""
        record = self.scopes[-1].record
        assert record is not None
        return record

    @property
    def records(self) -> list[CallRecord]:
        """The records of all calls."""
        return [scope.record for scope in self.scopes if scope.record is not None]


class Purse:
    """A ledger in memory with one limit for all periods, USD."""

    def __init__(self, limit: float = 1.0) -> None:
        self.limit = limit
        self.spent = 0.0
        self.open: dict[int, float] = {}
        self.purposes: list[str] = []
        self._ids = itertools.count(1)

    async def reserve(self, amount_usd: float, purpose: str) -> int | None:
        await asyncio.sleep(0)
        if round((self.spent + sum(self.open.values()) + amount_usd - self.limit) * 1e9) > 0:
            return None
        self.purposes.append(purpose)
        booking = next(self._ids)
        self.open[booking] = amount_usd
        return booking

    async def settle(self, reservation: int, actual_usd: float) -> None:
        await asyncio.sleep(0)
        del self.open[reservation]
        self.spent += actual_usd

    async def refresh(self) -> None:
        pass

    def spend(self) -> Mapping[BudgetWindow, Spend]:
        one = Spend(self.limit, self.spent, sum(self.open.values()))
        return dict.fromkeys(BudgetWindow, one)


class Clock:
    """A clock that only its owner moves; sleeping moves it too."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def settings(**changes: Any) -> CallerSettings:
    """Return settings for the model ``m`` without a cache, unless changed."""
    return CallerSettings(**{"agent": "gw1", "model": "m", "pricing": PRICING, "cache_ttl_s": 0.0, **changes})


@dataclass(slots=True)
class Kit:
    """A caller with everything around it."""

    caller: Caller
    notes: Notes
    purse: Purse


def kit(
    transport: Transport | str,
    *,
    limit: float = 1.0,
    clock: Clock | None = None,
    seed: int = 1,
    hasty: bool = False,
    transcribe: Callable[[CallRecord], None] = lambda _record: None,
    load: Callable[[], Awaitable[None]] | None = None,
    **changes: Any,
) -> Kit:
    """Return a caller for a transport or an endpoint's address; a hasty one does not wait to retry."""
    notes, purse = Notes(), Purse(limit)
    if isinstance(transport, str):
        transport = OpenAIChat(base_url=transport, api_key="sk-canary-key")
    timing: dict[str, Any] = {"clock": time.monotonic}
    if load is not None:
        timing["load"] = load
    if hasty:
        timing["sleep"] = lambda _seconds: asyncio.sleep(0)
    if clock is not None:
        timing |= {"clock": clock, "sleep": clock.sleep}
    caller = Caller(
        settings=settings(**changes),
        transport=transport,
        ledger=purse,
        recorder=notes,
        rng=random.Random(seed),
        transcribe=transcribe,
        **timing,
    )
    return Kit(caller, notes, purse)
