"""The review queue: sealed windows in, outcomes out, one lane per device.

It decides which windows the model is asked about, batches them, and hands the outcomes to ``conclude``.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from hashlib import blake2b
from typing import Annotated, Any, Protocol

from agent.domain.keys import Key
from agent.domain.records import Batch, Finding, Outcome, Reason, Recovered, Window
from agent.prompt import base_tokens, window_tokens
from agent.verdict.review_policy import CalmRate, Decision, Reviewer, ReviewSettings

POISON_AFTER = 3  # crashes with a request about the window on its way
SPLIT_AFTER = 2
MAX_CONCLUDED = 200  # windows in one turn of the loop


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Section ``review.batch`` of the configuration."""

    max_windows: Annotated[int, Key("windows in one call", ge=1, le=100)] = 20
    max_wait_s: Annotated[float, Key("how long the first window waits for others", ge=0, le=3600)] = 2.0
    max_input_tokens: Annotated[int, Key("tokens in one call, as estimated", ge=800, le=200_000)] = 4000


class Asks(Protocol):
    """The caller, as the review queue needs it."""

    async def ask(
        self, batch: Batch, sending: Callable[[Sequence[Window]], Awaitable[None]]
    ) -> list[Outcome]:
        """Return one outcome per window, always; raises only CancelledError.

        ``sending`` is awaited before a request goes out, with the windows that it holds.
        """
        ...

    def cancelled(self, batch: Batch) -> list[Outcome]:
        """Return the outcomes of a batch whose ``ask`` was cancelled, with their cost."""
        ...


class Batches(Protocol):
    """The batches on disk, as the review queue writes them."""

    async def plan(self, batch: Batch) -> None:
        """Commit which windows are asked together."""
        ...

    async def count(self, batch: Batch, windows: Collection[str]) -> None:
        """Commit an attempt for these windows of the batch."""
        ...

    def take_back(self, batch: Batch, windows: Collection[str]) -> None:
        """Uncount it."""
        ...


class Spawn(Protocol):
    """Runs work as a task of its own; an exception of it ends the process."""

    def __call__(self, work: Coroutine[Any, Any, None]) -> object:
        """Start ``work``."""


@dataclass(slots=True)
class _Case:
    window: Window
    attempts: int = 0
    asked: bool = False
    audit: bool = False
    overdue: bool = False  # waited too long over restarts to be asked
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Flight:
    """A batch in a call, and its windows that were in a request."""

    batch: Batch
    sent: set[str] = field(default_factory=set)


@dataclass(kw_only=True, eq=False)
class ReviewQueue:
    """Decides the reviewer of each window, and ensures that every window gets its outcome.

    ``batches`` commits which windows are asked together, and each attempt when its request is about to be
    sent; ``conclude`` takes window and outcome; ``finding`` gives a device's open one; ``paused`` whether a
    person wants no calls at a clock. All on the analyst's loop.
    """

    review: InitVar[ReviewSettings]
    batch: BatchSettings
    caller: Asks | None
    finding: Callable[[str], Finding | None]
    batches: Batches
    conclude: Callable[[Window, Outcome], None]
    suppressed: Callable[[Reason], None]
    audits_allowed: Callable[[], bool]
    paused: Callable[[float], bool]
    spawn: Spawn
    #: Those that wait for a slot included.
    calls: dict[asyncio.Task[list[Outcome]], _Flight] = field(default_factory=dict)
    _lanes: dict[str, deque[_Case]] = field(default_factory=dict)
    #: Devices whose lane may have an outcome at its head, in order.
    _moving: dict[str, None] = field(default_factory=dict)
    _turn_asked: bool = False
    _waiting: list[_Case] = field(default_factory=list)
    _waiting_tokens: int = 0
    _flush: asyncio.TimerHandle | None = None
    _closing: bool = False

    def __post_init__(self, review: ReviewSettings) -> None:
        """Make the policy."""
        self._reviewer = Reviewer(review)

    @property
    def calm(self) -> CalmRate:
        """The calm windows so far, which the snapshot keeps."""
        return self._reviewer.calm

    def reconfigure(self, review: ReviewSettings, batch: BatchSettings, caller: Asks | None) -> None:
        """Take new settings for later windows."""
        self._reviewer.settings, self.batch, self.caller = review, batch, caller

    def may_ask(self, window_id: str, score: float, clock: float) -> bool:
        """Return whether a window that seals now could be asked about, so that it needs a prompt section."""
        return self.caller is not None and self._reviewer.may_ask(window_id, score, clock)

    @property
    def _mode(self) -> str:
        return self._reviewer.settings.mode

    def submit(self, window: Window) -> None:
        """Take a sealed window."""
        case = _Case(window)
        self._lanes.setdefault(window.device, deque()).append(case)
        if self._mode == "all":
            self._route(case)
        self._advance([window.device])

    def resume(self, left: Recovered) -> None:
        """Take the windows that the last process left, and ask again those together that it had batched."""
        cases = {
            window.id: _Case(
                window,
                left.attempts.get(window.id, 0),
                audit=window.id in left.audits,
                overdue=window.id in left.overdue,
            )
            for window in left.pending
        }
        for case in cases.values():
            self._lanes.setdefault(case.window.device, deque()).append(case)
        for batch in left.batches:
            self._ask_again([cases[one] for one in batch if self._may_ask_again(cases[one])])
        for case in cases.values():
            if self._mode == "all" and not case.asked:
                self._route(case)
        self._advance(list(self._lanes))

    def _may_ask_again(self, case: _Case) -> bool:
        if self.caller is None or self._mode == "none":
            return False
        if case.attempts >= POISON_AFTER or case.overdue:
            return False
        return self._mode == "all" or self._lanes[case.window.device][0] is case

    def _ask_again(self, cases: list[_Case]) -> None:
        together = [case for case in cases if case.attempts < SPLIT_AFTER]
        for case in cases:
            case.asked = True
            if case.attempts >= SPLIT_AFTER:
                self._send([case])
        if together and self._fits(together):
            self._send(together)
        else:  # the settings of batches were changed meanwhile
            for case in together:
                self._wait(case)

    def _fits(self, cases: Sequence[_Case]) -> bool:
        tokens = base_tokens() + sum(window_tokens(case.window.section) for case in cases)
        return len(cases) == 1 or (
            len(cases) <= self.batch.max_windows and tokens <= self.batch.max_input_tokens
        )

    def _advance(self, devices: Iterable[str]) -> None:
        """Conclude the heads of these lanes as long as their outcomes are known."""
        self._moving.update(dict.fromkeys(devices))
        if not self._turn_asked:
            self._turn()

    def _turn(self) -> None:
        """Conclude so many windows and ask for another turn: behind one slow answer thousands may wait."""
        self._turn_asked = False
        left = MAX_CONCLUDED
        while self._moving and left > 0:
            device = next(iter(self._moving))
            if self._conclude_head(device):
                left -= 1
            else:
                del self._moving[device]
        if self._moving:
            self._turn_asked = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _conclude_head(self, device: str) -> bool:
        """Conclude the first window of a lane; false when there is none, or no outcome of it yet."""
        lane = self._lanes[device]
        case = lane[0]
        if case.outcome is None and not case.asked:
            self._route(case)
        if case.outcome is None:
            return False
        lane.popleft()
        self.conclude(case.window, case.outcome)
        if not lane:
            del self._lanes[device], self._moving[device]
        return True

    def _route(self, case: _Case) -> None:
        """Give the case its local outcome, or put it into the next batch."""
        decision = self._decide(case)
        if not decision.ask:
            case.outcome = Outcome(case.window.id, decision.reason)
            self.suppressed(decision.reason)
            return
        if self._closing:
            return  # it stays sealed in the journal; the next start asks
        case.asked = True
        case.audit = decision.audit
        if case.attempts >= SPLIT_AFTER:
            self._send([case])
            return
        self._wait(case)

    def _decide(self, case: _Case) -> Decision:
        window = case.window
        if case.attempts >= POISON_AFTER:
            return Decision(ask=False, reason=Reason.POISON)
        decision = self._reviewer.decide(window, self.finding(window.device), audits=self.audits_allowed())
        if decision.ask and self.paused(window.sealed):
            return Decision(ask=False, reason=Reason.REVIEW_OFF)
        if decision.ask and self.caller is None:
            return Decision(ask=False, reason=Reason.NO_ENDPOINT)
        if decision.ask and case.overdue:
            return Decision(ask=False, reason=Reason.TIMEOUT)
        return decision

    def _wait(self, case: _Case) -> None:
        tokens = window_tokens(case.window.section)
        # A batch that is too long would have its context trimmed, although another call could hold it.
        if self._waiting and base_tokens() + self._waiting_tokens + tokens > self.batch.max_input_tokens:
            self._flush_now()
        self._waiting.append(case)
        self._waiting_tokens += tokens
        if len(self._waiting) >= self.batch.max_windows:
            self._flush_now()
        elif self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(self.batch.max_wait_s, self._flush_now)

    def _flush_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        cases, self._waiting, self._waiting_tokens = self._waiting, [], 0
        if cases and not self._closing:
            self._send(cases)

    def _send(self, cases: Sequence[_Case]) -> None:
        self.spawn(self._ask(list(cases)))

    async def _ask(self, cases: list[_Case]) -> None:
        windows = tuple(case.window for case in cases)
        batch = Batch(
            id=blake2b("".join(window.id for window in windows).encode(), digest_size=8).hexdigest(),
            windows=windows,
            attempt=1 + max(case.attempts for case in cases),
            audit=frozenset(case.window.id for case in cases if case.audit),
        )
        await self.batches.plan(batch)
        if self._closing:
            return  # the next start asks
        caller = self.caller
        if caller is None:
            outcomes = [Outcome(window.id, Reason.NO_ENDPOINT) for window in windows]
        else:
            outcomes = await self._call(caller, batch)
        by_window = {outcome.window_id: outcome for outcome in outcomes}
        for case in cases:
            outcome = by_window.get(case.window.id)
            if outcome is None:
                continue  # it was in no request when the process was stopped: the next start asks
            if outcome.answer is not None:
                self._reviewer.doubts.note(case.window)
            if case.audit and outcome.reason is Reason.REVIEWED:
                outcome = replace(outcome, reason=Reason.AUDIT)
            case.outcome = outcome
        self._advance(window.device for window in windows)

    async def _call(self, caller: Asks, batch: Batch) -> list[Outcome]:
        """Ask the model; a call cancelled because the process stops ends local, reason ``shutdown``.

        A window that was in no request then has no outcome.
        """
        flight = _Flight(batch)
        call = asyncio.ensure_future(caller.ask(batch, lambda windows: self._count(flight, windows)))
        self.calls[call] = flight
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if not (self._closing and call.cancelled()):
                raise
            return [
                outcome
                for outcome in caller.cancelled(batch)
                if outcome.window_id in flight.sent or outcome.answer is not None
            ]
        finally:
            del self.calls[call]

    async def _count(self, flight: _Flight, windows: Sequence[Window]) -> None:
        """Commit the attempt of a request; a window's further requests for one verdict are the same one."""
        ids = [window.id for window in windows if window.id not in flight.sent]
        if ids:
            flight.sent.update(ids)
            await self.batches.count(flight.batch, ids)

    def close(self) -> None:
        """Start no more calls; windows in no request wait in the journal for the next start."""
        self._closing = True
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        for call, flight in self.calls.items():
            if flight.sent:
                self.batches.take_back(flight.batch, flight.sent)
            else:
                call.cancel()
