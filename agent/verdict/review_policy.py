"""Review policy: whether a window is worth a model call."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from agent.domain.keys import Key
from agent.domain.record import record
from agent.domain.records import Finding, Incident, Kind, Purpose, Reason, Status, Trigger, Window
from agent.verdict.finding import RANK, akin, changed
from agent.verdict.local_opinion import SUSPECT_SCORE

REVIEW_AGAIN_S = 6 * 3600.0
DAY_S = 86_400.0
SUSPECT_AGAIN_S = 600.0  # a suspicion that the model did not share is not put to it again before
GROWN = 2.0  # unless its score has grown so many times
MAX_DOUBTS = 10_000
OF_INCIDENT = "the model has judged the incident that this belongs to"
AUDIT_MARGIN = 2.0  # the audit share may still rise between sealing and asking


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
    if window.trigger is Trigger.SILENCE:
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

    def settled(self, window: Window) -> bool:
        """Return whether the suspicion of ``window`` was judged lately and has not grown since."""
        judged = self._judged.get(window.device)
        if judged is None or window.local.status is Status.ANOMALY:
            return False
        clock, score = judged
        return window.sealed - clock < SUSPECT_AGAIN_S and window.local.score < GROWN * score


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

    def may_ask(self, window_id: str, score: float, clock: float) -> bool:
        """Return whether a window that seals now could be asked about, so that it needs a prompt section."""
        if self.settings.mode == "none":
            return False
        if self.settings.mode == "all" or score >= SUSPECT_SCORE:
            return True
        return draw(window_id) < self.margin * self.calm.share(self.settings.audits_per_day, clock)

    def decide(
        self, window: Window, finding: Finding | None, incident: Incident | None, *, audits: bool
    ) -> Decision:
        """Return who reviews ``window``; ``audits``: the money allows audits now."""
        clock = window.sealed
        share = self.calm.share(self.settings.audits_per_day if audits else 0, clock)
        settled = self.doubts.settled(window)
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
        return decision
