"""The review queue: sealed windows in, outcomes out, one lane per device.

It decides which windows the model is asked about, batches them, and hands the outcomes to ``conclude``.
Anomalies that may have one cause are asked in one call, and one that is cut while that call is on its way
waits for it: if it belongs to the incident that the call opens, it needs none of its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from enum import Enum, auto
from hashlib import blake2b
from typing import Annotated, Any, Protocol

from agent.domain.keys import Key
from agent.domain.records import Answer, Batch, Finding, Outcome, Purpose, Reason, Recovered, Window
from agent.prompt import base_tokens, least_tokens, window_tokens
from agent.verdict.incident import Key as Kindred, Shared
from agent.verdict.review_policy import CalmRate, Decision, Reviewer, ReviewSettings

POISON_AFTER = 3  # crashes with a request about the window on its way
SPLIT_AFTER = 2
MAX_CONCLUDED = 200  # windows in one turn of the loop
MAX_HELD = 10_000  # windows that wait for the gate; beyond it the oldest of a device is concluded silently


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Section ``review.batch`` of the configuration."""

    max_windows: Annotated[int, Key("windows in one call", ge=1, le=100)] = 20
    max_wait_s: Annotated[float, Key("how long the first window waits for others", ge=0, le=3600)] = 2.0
    max_input_tokens: Annotated[int, Key("tokens in one call, as estimated", ge=800, le=200_000)] = 4000


class Gate(Enum):
    """The next step of a sealed window, where another agent may publish in place of this one."""

    OPEN = auto()
    HELD = auto()  # it waits
    COVERED = auto()  # another agent has published about it: it is concluded without a message


def always_open(_window: Window) -> Gate:
    """Return the gate of an agent without a standby."""
    return Gate.OPEN


class Conclude(Protocol):
    """Takes a window and its outcome; ``silent``: nothing is published about it."""

    def __call__(self, window: Window, outcome: Outcome, /, *, silent: bool = False) -> None:
        """Conclude the window."""


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

    def facts_fit(self, answer: Answer, window: Window) -> bool:
        """Return whether the facts of an earlier answer fit a later window of the same device."""
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
    """A window under review."""

    window: Window
    attempts: int = 0
    asked: bool = False
    purpose: Purpose | None = None
    kindred: Kindred | None = None  # of an anomaly that is not known yet
    held: bool = False  # until a call about its kindred is over
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
    sent; ``conclude`` takes window and outcome; ``finding`` gives a device's open one, ``shared`` the
    incident that a window belongs to and the key of its kindred; ``paused`` whether a person wants no calls
    at a clock. ``waits`` gets each window that has no verdict at once. All on the analyst's loop.
    """

    review: InitVar[ReviewSettings]
    batch: BatchSettings
    caller: Asks | None
    finding: Callable[[str], Finding | None]
    shared: Callable[[Window], Shared]
    batches: Batches
    conclude: Conclude
    waits: Callable[[Window], None]
    suppressed: Callable[[Reason], None]
    audits_allowed: Callable[[], bool]
    paused: Callable[[float], bool]
    spawn: Spawn
    gate: Callable[[Window], Gate] = always_open
    given_up: int = 0  # windows that were concluded silently because too many waited at the gate
    waiting: int = 0  # windows without a verdict
    #: Batches of this process, by the first of their purposes.
    asked: Counter[Purpose] = field(default_factory=Counter)
    #: Those that wait for a slot included.
    calls: dict[asyncio.Task[list[Outcome]], _Flight] = field(default_factory=dict)
    _lanes: dict[str, deque[_Case]] = field(default_factory=dict)
    #: Devices whose lane may have an outcome at its head, in order.
    _moving: dict[str, None] = field(default_factory=dict)
    _turn_asked: bool = False
    _waiting: list[_Case] = field(default_factory=list)
    _waiting_tokens: int = 0
    #: Kindred with a call on its way: the cases that wait for it.
    _held: dict[Kindred, list[_Case]] = field(default_factory=dict)
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
        self.waiting += 1
        self._lanes.setdefault(window.device, deque()).append(case)
        if self._mode == "all" and self.gate(window) is Gate.OPEN:
            self._route(case)
        self._advance([window.device])
        lane = self._lanes.get(window.device)
        if lane and lane[-1] is case and self.gate(window) is Gate.OPEN:
            self.waits(window)

    def look_again(self, device: str | None) -> None:
        """Conclude windows of a device, or of all, that the gate lets through now."""
        self._advance(list(self._lanes) if device is None else [device] if device in self._lanes else [])
        if device is None:
            self._announce_waiting()

    def _announce_waiting(self) -> None:
        """Report the windows that wait for a call."""
        for case in [case for lane in self._lanes.values() for case in lane]:
            if self.gate(case.window) is Gate.OPEN:
                self.waits(case.window)

    def resume(self, left: Recovered) -> None:
        """Take the windows that the last process left, and ask again those together that it had batched."""
        cases = {
            window.id: _Case(
                window,
                left.attempts.get(window.id, 0),
                purpose=Purpose.AUDIT if window.id in left.audits else None,
                overdue=window.id in left.overdue,
            )
            for window in left.pending
        }
        self.waiting += len(cases)
        for case in cases.values():
            self._lanes.setdefault(case.window.device, deque()).append(case)
        for batch in left.batches:
            self._ask_again([cases[one] for one in batch if self._may_ask_again(cases[one])])
        for case in cases.values():
            if self._mode == "all" and not case.asked and self.gate(case.window) is Gate.OPEN:
                self._route(case)
        self._advance(list(self._lanes))
        self._announce_waiting()

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
            if case.purpose is None:
                case.kindred = self.shared(case.window).key
            if case.attempts >= SPLIT_AFTER:
                self._send([case])
        if together and self._fits(together):
            self._send(together)
        else:  # the settings of batches were changed meanwhile
            for case in together:
                self._wait(case)

    def _holds(self, answer: Answer, window: Window) -> bool:
        return self.caller is None or self.caller.facts_fit(answer, window)

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
        gate = self.gate(case.window)
        if gate is Gate.HELD and self.waiting <= MAX_HELD:
            return False
        silent = gate is not Gate.OPEN
        if silent and not case.asked:
            case.outcome = case.outcome or Outcome(case.window.id, Reason.REVIEW_OFF)
        if case.outcome is None and not case.asked and not case.held:
            self._route(case)
        if case.outcome is None:
            return False
        lane.popleft()
        self.waiting -= 1
        self.given_up += gate is Gate.HELD
        self.conclude(case.window, case.outcome, silent=silent)
        if not lane:
            del self._lanes[device], self._moving[device]
        return True

    def _route(self, case: _Case) -> None:
        """Give the case its local outcome, or put it into the next batch."""
        decision = self._decide(case)
        if not decision.ask:
            local = Outcome(case.window.id, decision.reason, detail=decision.detail)
            case.outcome = decision.served or local
            self.suppressed(decision.reason)
            return
        if self._closing:
            return  # it stays sealed in the journal; the next start asks
        case.purpose = decision.purpose
        if self._hold(case):
            return
        case.asked = True
        if case.attempts >= SPLIT_AFTER:
            self._send([case])
            return
        self._wait(case)

    def _decide(self, case: _Case) -> Decision:
        window = case.window
        if case.attempts >= POISON_AFTER:
            return Decision(ask=False, reason=Reason.POISON)
        case.kindred = None
        shared = self.shared(window)
        decision = self._reviewer.decide(
            window,
            self.finding(window.device),
            shared.incident,
            audits=self.audits_allowed(),
            holds=self._holds,
        )
        if decision.ask and self.paused(window.sealed):
            return Decision(ask=False, reason=Reason.REVIEW_OFF)
        if decision.purpose is Purpose.OPENING:
            case.kindred = shared.key
        if decision.ask and self.caller is None:
            return Decision(ask=False, reason=Reason.NO_ENDPOINT)
        if decision.ask and case.overdue:
            return Decision(ask=False, reason=Reason.TIMEOUT)
        return decision

    def _hold(self, case: _Case) -> bool:
        """Let a case wait for the call about its kindred, if there is one on its way."""
        held = None if case.kindred is None else self._held.get(case.kindred)
        if held is None:
            return False
        case.held = True
        held.append(case)
        return True

    def _wait(self, case: _Case) -> None:
        tokens = window_tokens(case.window.section)
        # A batch that is too long has its context trimmed: not where another call can hold it.
        too_long = base_tokens() + self._waiting_tokens + tokens > self.batch.max_input_tokens
        if self._waiting and too_long and not self._fits_trimmed(case):
            self._flush_now()
            if self._hold(case):
                case.asked = False
                return
        self._waiting.append(case)
        self._waiting_tokens += tokens
        if len(self._waiting) >= self.batch.max_windows:
            self._flush_now()
        elif self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(self.batch.max_wait_s, self._flush_now)

    def _fits_trimmed(self, case: _Case) -> bool:
        """Return whether a case has kindred in the next batch, and that fits with all of them."""
        if case.kindred is None or all(one.kindred != case.kindred for one in self._waiting):
            return False
        windows = [one.window for one in (*self._waiting, case)]
        return base_tokens() + sum(map(least_tokens, windows)) <= self.batch.max_input_tokens

    def _flush_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        cases, self._waiting, self._waiting_tokens = self._waiting, [], 0
        if cases and not self._closing:
            self._send(cases)

    def _send(self, cases: Sequence[_Case]) -> None:
        """Ask about these, kindred next to each other."""
        places: dict[Kindred | str, int] = {}
        for case in cases:
            places.setdefault(case.kindred or case.window.id, len(places))
            if case.kindred is not None:
                self._held.setdefault(case.kindred, [])
        purposes = {case.purpose for case in cases}
        self.asked[next((one for one in Purpose if one in purposes), Purpose.OPENING)] += 1
        self.spawn(self._ask(sorted(cases, key=lambda case: places[case.kindred or case.window.id])))

    async def _ask(self, cases: list[_Case]) -> None:
        windows = tuple(case.window for case in cases)
        batch = Batch(
            id=blake2b("".join(window.id for window in windows).encode(), digest_size=8).hexdigest(),
            windows=windows,
            attempt=1 + max(case.attempts for case in cases),
            audit=frozenset(case.window.id for case in cases if case.purpose is Purpose.AUDIT),
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
            self._reviewer.note(case.window, outcome)
            if case.purpose is Purpose.AUDIT and outcome.reason is Reason.REVIEWED:
                outcome = replace(outcome, reason=Reason.AUDIT)
            case.outcome = outcome
        self._advance([*(window.device for window in windows), *self._release(cases)])

    def _release(self, cases: Iterable[_Case]) -> list[str]:
        """Let the cases that waited for these be decided; return their devices."""
        kindred = dict.fromkeys(case.kindred for case in cases if case.kindred is not None)
        held = [case for key in kindred for case in self._held.pop(key, ())]
        for case in held:
            case.held = False
        return [case.window.device for case in held]

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
