"""Review policy: whether a window is worth a model call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from agent.domain.keys import Key
from agent.domain.record import record
from agent.domain.records import (
    Answer,
    Finding,
    Grounding,
    Incident,
    Kind,
    Outcome,
    Purpose,
    Reason,
    Severity,
    Source,
    Status,
    Window,
)
from agent.verdict.finding import CLEAR_AFTER, RANK, akin, changed
from agent.verdict.local_opinion import SUSPECT_SCORE

REVIEW_AGAIN_S = 6 * 3600.0
DAY_S = 86_400.0
SUSPECT_AGAIN_S = 600.0  # a suspicion that the model did not share is not put to it again before
GROWN = 2.0  # unless its score has grown so many times
MAX_DOUBTS = 10_000
DISMISSED_S = 1800.0  # an alarm that the model found normal is put to it again then, and after twice as long
OF_INCIDENT = "the model has judged the incident that this belongs to"
AUDIT_MARGIN = 2.0  # the audit share may still rise between sealing and asking


Holds = Callable[[Answer, Window], bool]


def _always(_answer: Answer, _window: Window) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """Keys of section ``review`` of the configuration, and whether there is a model to ask."""

    mode: Annotated[
        Literal["suspicious", "all", "none"],
        Key("which windows a model reviews; `none`: no model, and its library is never loaded"),
    ] = "suspicious"
    audits_per_day: Annotated[int, Key("calm windows that are reviewed all the same", ge=0, le=10_000)] = 24
    endpoint: bool = True


@record(frozen=True, slots=True)
class Decision:
    """Whether to ask the model, and why; ``reason`` is the verdict's reason when not (or AUDIT)."""

    ask: bool
    reason: Reason
    purpose: Purpose | None = None
    detail: str | None = None  # where the reason alone would mislead
    served: Outcome | None = None  # an earlier answer that covers the window, if the model is not asked

    @property
    def audit(self) -> bool:
        """A calm window, sent to check the local detector."""
        return self.purpose is Purpose.AUDIT


def decide(
    window: Window,
    finding: Finding | None,
    *,
    settings: ReviewSettings,
    audit_share: float,
    clock: float,
    settled: bool = False,
    incident: Incident | None = None,
) -> Decision:
    """Return who reviews ``window``.

    Args:
        window: it was sealed.
        finding: the device's open one.
        settings: who reviews at all.
        audit_share: the probability that a calm window is audited.
        clock: agent time, seconds.
        settled: the model has judged the device's suspicion lately.
        incident: that of the finding, or the one that a finding of the window would join.
    """
    if not window.count:
        return Decision(ask=False, reason=Reason.NO_READINGS)
    if settings.mode == "none":
        return Decision(ask=False, reason=Reason.REVIEW_OFF)
    if not settings.endpoint:
        return Decision(ask=False, reason=Reason.NO_ENDPOINT)
    if settings.mode == "all":
        return _ask(Purpose.EVERY)
    if window.local.score >= SUSPECT_SCORE:
        if finding is None and settled:
            return Decision(ask=False, reason=Reason.NOT_SUSPICIOUS)
        answered = None if incident is None else incident.reviewed
        early = finding is not None and finding.awaits == window.id
        if early and finding is not None and not finding.verdicts:
            finding = None  # it is what this window has opened
        if finding is not None:
            again = early or _news(window, finding, clock, answered)
            return _ask(Purpose.AGAIN) if again else Decision(ask=False, reason=Reason.OPEN_FINDING)
        if window.local.status is not Status.ANOMALY:
            return _ask(Purpose.SUSPECT)
        if incident is None or answered is None:
            return _ask(Purpose.OPENING)
        worse = RANK[window.local.severity] > RANK[incident.severity]
        if worse or clock - answered >= REVIEW_AGAIN_S:
            return _ask(Purpose.AGAIN)
        return Decision(ask=False, reason=Reason.OPEN_FINDING, detail=OF_INCIDENT)
    if draw(window.id) < audit_share:
        return Decision(ask=True, reason=Reason.AUDIT, purpose=Purpose.AUDIT)
    return Decision(ask=False, reason=Reason.NOT_SUSPICIOUS)


def _ask(purpose: Purpose) -> Decision:
    return Decision(ask=True, reason=Reason.REVIEWED, purpose=purpose)


def _news(window: Window, finding: Finding, clock: float, answered: float | None) -> bool:
    local = window.local
    if local.status is not Status.ANOMALY:
        return False
    kind = finding.kind if _named_better(local.kind, finding) else local.kind
    if changed(finding, kind, local.severity):
        return True
    return clock - max(finding.last_reviewed, answered or 0.0) >= REVIEW_AGAIN_S


def _named_better(kind: Kind, finding: Finding) -> bool:
    """Return whether ``kind`` is only a surer name of the finding's anomaly.

    That is reported, as any change of kind is, but the model has judged the same anomaly. After a normal
    window it is another anomaly.
    """
    return finding.normal_streak == 0 and akin(finding.kind, kind)


def draw(window_id: str) -> float:
    """Return a number in [0, 1) that depends on the window's id alone."""
    return int(window_id[:13], 16) / 16**13


class Doubts:
    """Suspicions that the model was asked about and did not share, by device: it is not asked again soon.

    Records a little beyond the last ones are suspicious minute after minute. Kept in memory only: after a
    restart each may be asked once more.
    """

    def __init__(self) -> None:
        self._judged: dict[str, tuple[float, float]] = {}  # device -> clock, score

    def note(self, window: Window) -> None:
        """Remember that the model judged ``window``."""
        self._judged.pop(window.device, None)
        if window.local.status is Status.ANOMALY:
            return
        if len(self._judged) >= MAX_DOUBTS:
            del self._judged[next(iter(self._judged))]
        self._judged[window.device] = (window.sealed, window.local.score)

    def settled(self, device: str, score: float, clock: float) -> bool:
        """Return whether a suspicion (not an alarm) was judged lately and has not grown since."""
        judged = self._judged.get(device)
        return judged is not None and clock - judged[0] < SUSPECT_AGAIN_S and score < GROWN * judged[1]


@dataclass(slots=True)
class _Dismissal:
    """An alarm that the model found normal, as it is until three windows without it."""

    window: Window  # that was judged
    outcome: Outcome
    rests_s: float
    calm: int = 0

    def covers(self, window: Window) -> bool:
        """Return whether a later alarm is still the same, and its rest not over.

        The rest is in event time, so that the same readings bring the same questions; twice as long in agent
        time where the clock of a device does not move.
        """
        before, local = self.window.local, window.local
        if RANK[local.severity] > RANK[before.severity] or local.kind.traits.hard:
            return False
        over = window.end - self.window.end >= self.rests_s
        if over or window.sealed - self.window.sealed >= 2.0 * self.rests_s:
            return False
        return local.kind is before.kind or akin(before.kind, local.kind)


class Dismissals:
    """Alarms that the model found normal, by device: what goes on is not a new question with each window.

    It is asked again when the alarm becomes critical or of another kind, when the facts that the answer
    cites no longer fit, and after a time that doubles. Kept in memory only: after a restart each is asked
    about once more.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Dismissal] = {}

    def note(self, window: Window, outcome: Outcome) -> None:
        """Remember the model's answer to the alarm of ``window``."""
        answer, local = outcome.answer, window.local
        normal = answer is not None and answer.status is Status.NORMAL
        if local.status is not Status.ANOMALY or local.kind.traits.hard:
            return
        before = self._known.pop(window.device, None)
        if not normal or outcome.grounding is not Grounding.GROUNDED:
            return
        if len(self._known) >= MAX_DOUBTS:
            del self._known[next(iter(self._known))]
        rests_s = DISMISSED_S if before is None else min(2.0 * before.rests_s, REVIEW_AGAIN_S)
        self._known[window.device] = _Dismissal(window, outcome, rests_s)

    def pass_by(self, device: str) -> None:
        """Count a window without an alarm: after a few the next alarm is another one."""
        known = self._known.get(device)
        if known is None:
            return
        known.calm += 1
        if known.calm >= CLEAR_AFTER:
            del self._known[device]

    def known(self, window: Window) -> bool:
        """Return whether the alarm of ``window`` is one that the model has judged."""
        return window.device in self._known and window.local.status is Status.ANOMALY

    def serve(self, window: Window, holds: Holds) -> Outcome | None:
        """Return the outcome of ``window`` if its alarm is still the one that the model found normal."""
        known = self._known.get(window.device)
        if known is None or window.local.status is not Status.ANOMALY or not known.covers(window):
            return None
        answer = known.outcome.answer
        if answer is None or not holds(answer, window):
            return None
        known.calm = 0
        return _serve(window, known.outcome)


def _serve(window: Window, outcome: Outcome) -> Outcome:
    """Return an earlier answer for a later window, without its claims: those hold in its own window only."""
    assert outcome.answer is not None
    answer = Answer(
        status=Status.NORMAL,
        kind=Kind.NONE,
        severity=Severity.INFO,
        confidence=outcome.answer.confidence,
        evidence=(),
        summary=f"The model judged the begin of this as normal in verdict {outcome.window_id}.",
    )
    return Outcome(
        window.id,
        Reason.CACHED,
        answer=answer,
        grounding=Grounding.GROUNDED,
        source=Source.CACHE,
        model=outcome.model,
        prompt_version=outcome.prompt_version,
        cost_usd=0.0,
    )


class CalmRate:
    """Counts calm windows by the hour of agent time, for the audit share of the last 24 h."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._hours: dict[int, int] = {}
        self._day = (0, 0)  # an hour, and the windows of the 24 hours up to it

    def count(self, clock: float) -> None:
        """Count one calm window."""
        if self._since is None:
            self._since = clock
        seen = self._seen(hour := int(clock // 3600))
        self._hours[hour] = self._hours.get(hour, 0) + 1
        self._day = (hour, seen + 1)
        if len(self._hours) > 24:  # noqa: PLR2004 - hours in a day
            del self._hours[min(self._hours)]

    def _seen(self, hour: int) -> int:
        """Return the calm windows of an hour and the 23 before it."""
        if self._day[0] != hour:
            self._day = (hour, sum(count for one, count in self._hours.items() if one > hour - 24))
        return self._day[1]

    def share(self, audits_per_day: int, clock: float) -> float:
        """Return the probability that makes ``audits_per_day`` audits out of a day's calm windows."""
        seen = self._seen(int(clock // 3600))
        if self._since is None or not seen:
            return 0.0
        elapsed_s = min(max(clock - self._since, 60.0), DAY_S)
        return min(1.0, audits_per_day / (seen * DAY_S / elapsed_s))

    def dump(self) -> dict[str, object]:
        """Return the state as JSON values."""
        return {"since": self._since, "hours": [[hour, count] for hour, count in self._hours.items()]}

    def load(self, state: dict[str, object]) -> None:
        """Take back what :meth:`dump` gave."""
        since, hours = state["since"], state["hours"]
        self._since = float(since) if isinstance(since, (int, float)) else None
        self._hours = {int(hour): int(count) for hour, count in hours} if isinstance(hours, list) else {}
        self._day = (0, 0)


@dataclass(slots=True)
class Reviewer:
    """Decides about sealed windows in order, and keeps the state that this needs."""

    settings: ReviewSettings
    margin: float = AUDIT_MARGIN
    calm: CalmRate = field(default_factory=CalmRate)
    doubts: Doubts = field(default_factory=Doubts)
    dismissals: Dismissals = field(default_factory=Dismissals)

    def may_ask(self, window_id: str, score: float, clock: float) -> bool:
        """Return whether a window that seals now could be asked about, so that it needs a prompt section."""
        if self.settings.mode == "none":
            return False
        if self.settings.mode == "all" or score >= SUSPECT_SCORE:
            return True
        return draw(window_id) < self.margin * self.calm.share(self.settings.audits_per_day, clock)

    def passes(self, window_id: str, device: str, score: float, clock: float) -> bool:
        """Return whether a window is calm and nobody is asked about it; count it if so, as deciding does.

        Its device has no finding, and the margin is that of deciding.
        """
        if score >= SUSPECT_SCORE or self.may_ask(window_id, score, clock):
            return False
        self.dismissals.pass_by(device)
        if self.settings.mode != "none" and not self.doubts.settled(device, score, clock):
            self.calm.count(clock)
        return True

    def decide(
        self,
        window: Window,
        finding: Finding | None,
        incident: Incident | None,
        *,
        audits: bool,
        holds: Holds = _always,
    ) -> Decision:
        """Return who reviews ``window``.

        Args:
            window: it was sealed.
            finding: the device's open one.
            incident: that of the finding, or the one that a finding of the window would join.
            audits: the money allows audits now.
            holds: whether the facts of an earlier answer still fit.
        """
        clock = window.sealed
        share = self.calm.share(self.settings.audits_per_day if audits else 0, clock)
        settled = False
        if window.local.status is not Status.ANOMALY:
            settled = self.doubts.settled(window.device, window.local.score, clock)
            self.dismissals.pass_by(window.device)
        if finding is None and self.settings.mode == "suspicious" and self.settings.endpoint:
            served = self.dismissals.serve(window, holds)
            if served is not None:
                return Decision(ask=False, reason=Reason.CACHED, served=served)
        decision = decide(
            window,
            finding,
            settings=self.settings,
            audit_share=share,
            clock=clock,
            settled=settled,
            incident=incident,
        )
        if decision.reason in (Reason.NOT_SUSPICIOUS, Reason.AUDIT) and not settled:
            self.calm.count(clock)
        if decision.purpose is Purpose.OPENING and self.dismissals.known(window):
            return _ask(Purpose.AGAIN)
        return decision

    def note(self, window: Window, outcome: Outcome) -> None:
        """Remember the outcome of ``window``, so as not to ask the same again."""
        if outcome.answer is not None:
            self.doubts.note(window)
            self.dismissals.note(window, outcome)
