"""The review desk: sealed windows in, verdicts out, one lane per device so that verdicts keep their order.

Gate, batch, model call and conclusion happen here; what is decided is handed on through ``conclude``.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

from agent.opinion import SUSPECT_SCORE
from agent.prompt import base_tokens, window_tokens
from agent.records import Batch, Finding, Outcome, Reason, Window
from agent.review import CalmRate, Decision, Doubts, ReviewSettings, decide, draw

POISON_AFTER = 3  # crashes with the window in flight
SPLIT_AFTER = 2
MAX_CONCLUDED = 200  # windows in one turn of the loop
AUDIT_MARGIN = 2.0  # the audit share may still rise between sealing and asking


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How many windows share a call, and how long the first one waits for others."""

    max_windows: int = 20
    max_wait_s: float = 2.0
    max_input_tokens: int = 4000


class Asks(Protocol):
    """The caller, as the desk sees it."""

    async def ask(self, batch: Batch) -> list[Outcome]:
        """Return one outcome per window, always; raises only CancelledError."""
        ...

    def cancelled(self, batch: Batch) -> list[Outcome]:
        """Return the outcomes of a batch whose ``ask`` was cancelled, with what they cost."""
        ...


class Spawn(Protocol):
    """Runs work as a task of its own; what it raises ends the process."""

    def __call__(self, work: Coroutine[Any, Any, None]) -> object:
        """Start ``work``."""


@dataclass(slots=True)
class _Case:
    window: Window
    attempts: int = 0
    asked: bool = False
    audit: bool = False
    outcome: Outcome | None = None


class Desk:
    """Decides who reviews each window and sees to it that every window gets its outcome.

    ``start_batch`` commits the attempt before the call; ``conclude`` takes window and outcome and returns
    the device's finding afterwards; ``finding`` gives the open one. All on the analyst's loop.
    """

    def __init__(
        self,
        *,
        review: ReviewSettings,
        batch: BatchSettings,
        caller: Asks | None,
        finding: Callable[[str], Finding | None],
        start_batch: Callable[[Batch], Awaitable[None]],
        conclude: Callable[[Window, Outcome], None],
        suppressed: Callable[[Reason], None],
        audits_allowed: Callable[[], bool],
        spawn: Spawn,
    ) -> None:
        self._review = review
        self._batch = batch
        self._caller = caller
        self._finding = finding
        self._start_batch = start_batch
        self._conclude = conclude
        self._suppressed = suppressed
        self._audits_allowed = audits_allowed
        self._spawn = spawn
        self._lanes: dict[str, deque[_Case]] = {}
        self._moving: dict[str, None] = {}  # devices whose lane may have an outcome at its head, in order
        self._turn_asked = False
        self._waiting: list[_Case] = []
        self._waiting_tokens = 0
        self._flush: asyncio.TimerHandle | None = None
        self._closing = False
        self.calls: set[asyncio.Task[list[Outcome]]] = set()  # in flight
        self.calm = CalmRate()
        self._doubts = Doubts()

    @property
    def pending(self) -> int:
        """Windows without a verdict yet."""
        return sum(map(len, self._lanes.values()))

    @property
    def waiting(self) -> int:
        """Windows that wait for company in a batch."""
        return len(self._waiting)

    def reconfigure(self, review: ReviewSettings, batch: BatchSettings, caller: Asks | None) -> None:
        """Take new settings for windows that come from now on."""
        self._review, self._batch, self._caller = review, batch, caller

    def may_ask(self, window_id: str, score: float, clock: float) -> bool:
        """Say whether a window that seals now could be asked about, so that it needs a prompt section."""
        review = self._review
        if review.mode == "none" or self._caller is None:
            return False
        if review.mode == "all" or score >= SUSPECT_SCORE:
            return True
        return draw(window_id) < AUDIT_MARGIN * self.calm.share(review.audits_per_day, clock)

    def submit(self, window: Window, attempts: int = 0) -> None:
        """Take a sealed window; ``attempts`` counts the crashes that it was in flight in."""
        lane = self._lanes.setdefault(window.device, deque())
        case = _Case(window, attempts)
        lane.append(case)
        if self._review.mode == "all":
            self._gate(case)
        self._advance([window.device])

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
            self._gate(case)
        if case.outcome is None:
            return False
        lane.popleft()
        self._conclude(case.window, case.outcome)
        if not lane:
            del self._lanes[device], self._moving[device]
        return True

    def _gate(self, case: _Case) -> None:
        """Give the case its local outcome, or put it into the next batch."""
        decision = self._decide(case)
        if not decision.ask:
            case.outcome = Outcome(case.window.id, decision.reason)
            self._suppressed(decision.reason)
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
        clock = window.sealed
        finding = self._finding(window.device)
        allowed = self._review.audits_per_day if self._audits_allowed() else 0
        share = self.calm.share(allowed, clock)
        settled = self._doubts.settled(window)
        decision = decide(
            window, finding, settings=self._review, audit_share=share, clock=clock, settled=settled
        )
        if decision.reason in (Reason.NOT_SUSPICIOUS, Reason.AUDIT) and not settled:
            self.calm.count(clock)
        if decision.ask and self._caller is None:
            return Decision(ask=False, reason=Reason.NO_ENDPOINT)
        return decision

    def _wait(self, case: _Case) -> None:
        tokens = window_tokens(case.window.section)
        # A batch that is too long would have its context trimmed, although another call could hold it.
        if self._waiting and base_tokens() + self._waiting_tokens + tokens > self._batch.max_input_tokens:
            self._flush_now()
        self._waiting.append(case)
        self._waiting_tokens += tokens
        if len(self._waiting) >= self._batch.max_windows:
            self._flush_now()
        elif self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(self._batch.max_wait_s, self._flush_now)

    def _flush_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        cases, self._waiting, self._waiting_tokens = self._waiting, [], 0
        if cases and not self._closing:
            self._send(cases)

    def _send(self, cases: Sequence[_Case]) -> None:
        self._spawn(self._ask(list(cases)))

    async def _ask(self, cases: list[_Case]) -> None:
        windows = tuple(case.window for case in cases)
        batch = Batch(
            id=blake2b("".join(window.id for window in windows).encode(), digest_size=8).hexdigest(),
            windows=windows,
            attempt=1 + max(case.attempts for case in cases),
            audit=frozenset(case.window.id for case in cases if case.audit),
        )
        await self._start_batch(batch)
        caller = self._caller
        if caller is None:
            outcomes = [Outcome(window.id, Reason.NO_ENDPOINT) for window in windows]
        else:
            outcomes = await self._call(caller, batch)
        by_window = {outcome.window_id: outcome for outcome in outcomes}
        for case in cases:
            outcome = by_window[case.window.id]
            if outcome.answer is not None:
                self._doubts.note(case.window)
            if case.audit and outcome.reason is Reason.REVIEWED:
                outcome = replace(outcome, reason=Reason.AUDIT)
            case.outcome = outcome
        self._advance(window.device for window in windows)

    async def _call(self, caller: Asks, batch: Batch) -> list[Outcome]:
        """Ask the model; a call cancelled because the process stops ends local, reason ``shutdown``."""
        call = asyncio.ensure_future(caller.ask(batch))
        self.calls.add(call)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if not (self._closing and call.cancelled()):
                raise
            return caller.cancelled(batch)
        finally:
            self.calls.discard(call)

    def close(self) -> None:
        """Start no more calls; what is not in flight waits in the journal for the next start."""
        self._closing = True
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
