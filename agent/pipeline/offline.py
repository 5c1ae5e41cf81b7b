"""The path offline: core, review policy and findings, in the readings' time.

Nothing is journaled or published, and no model is asked: each answer is taken to agree with the local
opinion, so that suspicions are not counted again and again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from agent.detect import Detector
from agent.domain.records import (
    Arrival,
    Finding,
    FindingEvent,
    MessageRow,
    Outcome,
    Row,
    Silence,
    TimerKind,
    Trigger,
    Verdict,
    Window,
)
from agent.journal.offline import OfflineIntake
from agent.pipeline.causes import Causes, Step
from agent.pipeline.core import Core, Judge
from agent.pipeline.window import Draft, WindowSettings
from agent.verdict.finding import Findings
from agent.verdict.incident import Surroundings
from agent.verdict.local_opinion import bounded, highest
from agent.verdict.review_policy import Decision, Reviewer, ReviewSettings
from agent.verdict.verdict import conclude

NAME = "offline"  # of agent and journal in the ids, so that the same input gives the same ids
TICK_S = 0.1  # from due time to timer row: the live agent looks every 0.2 s


class Concluded(NamedTuple):
    """A window with all that was decided about it."""

    window: Window
    decision: Decision
    verdict: Verdict
    step: Step

    @property
    def finding(self) -> Finding | None:
        """The finding of its device, also one that it clears."""
        return self.step.finding

    @property
    def event(self) -> FindingEvent | None:
        """The change of that finding, None without one."""
        return self.step.event


class OfflinePath:
    """Takes rows in order and gives ``concluded`` each window with its verdict.

    ``passed`` gets trigger and clock of each calm window of a device without a finding that nobody is asked
    about: it is not made then, as nearly all of them need not be. Without ``passed`` they are concluded too.
    ``around`` returns the surroundings of the device of a window, which decide what shares an incident.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        window: WindowSettings,
        review: ReviewSettings,
        concluded: Callable[[Concluded], None],
        passed: Callable[[Trigger, float], None] | None = None,
        judge: Judge | None = None,
        around: Callable[[Window], Surroundings] = lambda _window: Surroundings(),
    ) -> None:
        self._reviewer = Reviewer(replace(review, endpoint=True), margin=1.0)  # decides as it seals
        self._concluded = concluded
        self._passed = passed
        self.causes = Causes(Findings(), around)
        self.core = Core(
            journal=NAME,
            agent=NAME,
            detector=detector,
            window=window,
            may_ask=self._reviewer.may_ask,
            judge=judge,
        )

    def take(self, row: Row) -> None:
        """Take the next row, and conclude the windows that it seals."""
        if isinstance(row, MessageRow) and row.seed:
            return
        core = self.core
        core.take(row)
        while core.cut:
            if self._passed is not None and self._pass(core.cut[0], self._passed):
                continue
            for window in core.seal_next():
                self._conclude(window)

    def _pass(self, cut: Draft | Silence, passed: Callable[[Trigger, float], None]) -> bool:
        """Pass the next window by if nobody needs it; return whether that is so."""
        if not isinstance(cut, Draft) or cut.device in self.causes.findings:
            return False
        score = bounded(highest(cut.readings))
        if not self._reviewer.passes(self.core.identify(cut), cut.device, score, cut.sealed):
            return False
        self.core.pass_next()
        passed(cut.trigger, cut.sealed)
        return True

    def _conclude(self, window: Window) -> None:
        causes = self.causes
        finding, shared = causes.findings.get(window.device), causes.shared(window)
        decision = self._reviewer.decide(window, finding, shared.incident, audits=True)
        if decision.ask:
            self._reviewer.doubts.note(window)
        outcome = Outcome(window.id, decision.reason)
        verdict = conclude(window, outcome, agent=NAME, created=window.sealed)
        step = causes.move(verdict, window, reviewed=decision.ask)
        if step.finding is not None and decision.ask:
            causes.incidents.note_review(step.finding.incident, window.sealed)
        self._concluded(Concluded(window, decision, verdict, step))


@dataclass(slots=True, kw_only=True)
class EventTime:
    """Gives ``take`` the rows of arrivals, and the timer rows that fall due between them.

    ``next_due`` returns the clock at which a timer row has something to do, any later one if that is after
    the clock that it is given. The row is ``tick_s`` later.
    """

    intake: OfflineIntake
    take: Callable[[Row], None]
    next_due: Callable[[float], float | None]
    tick_s: float = TICK_S

    def arrive(self, arrival: Arrival) -> None:
        """Take an arrival, not earlier than the one before."""
        self.pass_time(arrival.mono)
        for row in self.intake.accept(arrival):
            self.take(row)

    def row(self, row: Row) -> None:
        """Take a row of another journal."""
        self.pass_time(row.clock)
        seq, clock = self.intake.place(row.clock)
        self.take(replace(row, seq=seq, clock=clock))

    def link(self, clock: float, *, up: bool) -> None:
        """Let the silence clocks run from now on, or stop them."""
        self.pass_time(clock)
        self.take(self.intake.timer(TimerKind.CONNECTED if up else TimerKind.DISCONNECTED, clock))

    def pass_time(self, clock: float) -> None:
        """Let windows and silences that are due before ``clock`` come about."""
        while (due := self.next_due(clock)) is not None and due + self.tick_s <= clock:
            self.take(self.intake.timer(TimerKind.TICK, due + self.tick_s))
