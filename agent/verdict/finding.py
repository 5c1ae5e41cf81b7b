"""Findings: anomalies that open, are updated and clear, one per device at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b

from agent.domain.records import (
    Finding,
    FindingEvent,
    FindingState,
    Kind,
    Seen,
    Severity,
    Status,
    Trigger,
    Verdict,
    Window,
)
from agent.verdict.local_opinion import CRITICAL_SCORE, MAX_CANDIDATES

CLEAR_AFTER = 3  # normal windows in a row
BACK_S = 86_400.0  # an anomaly that comes back so soon after its end was not over
PAUSES = 2.0  # then it is over after a calm of so many times the pause; that of a limit after BACK_S
WORSE = 2.0  # times as far beyond a limit as ever in a finding
GONE_S = 7 * 86_400.0  # without a value of its metrics, while others of the device come
MAX_CLOSED = 1000
MAX_SEEN = 5
RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Findings(dict[str, Finding]):
    """The open findings, one per device, and the last ones that are over.

    ``maintained`` returns whether a device is under maintenance at a clock.
    """

    def __init__(self, maintained: Callable[[str, float], bool] = lambda _device, _clock: False) -> None:
        super().__init__()
        self.closed: dict[str, Finding] = {}  # by id, oldest first
        self.snoozed: dict[str, float] = {}  # device -> clock of the end
        self._maintained = maintained
        #: Device -> the last row when a person closed its finding, and whether it is gone.
        self._closed_to: dict[str, tuple[int, bool]] = {}

    def move(
        self, verdict: Verdict, window: Window, *, reviewed: bool, early: bool = False
    ) -> tuple[Finding | None, FindingEvent | None]:
        """Take one more verdict; return the device's finding, also one that this clears, and the change.

        ``early``: it is what a window with a broken limit shows by itself, and its verdict will follow.
        """
        device, clock = verdict.device, window.sealed
        before = self.get(device)
        if before is not None and before.awaits is not None:
            return self._arrive(before, verdict, reviewed_at=clock if reviewed else None)
        limit = breaks_limit(window)
        if before is None and self._is_behind(window, limit=limit):
            return None, None
        status, absent_since = verdict.status, None
        if status is not Status.ANOMALY and before is not None and not _shows(window, before):
            status = Status.UNCERTAIN  # it is about other metrics
            absent_since = clock if before.absent_since is None else before.absent_since
        finding, event = advance(
            before,
            device=device,
            status=status,
            kind=verdict.kind,
            severity=verdict.severity,
            verdict_id=verdict.id,
            clock=clock,
            reviewed=reviewed,
        )
        if finding is None:
            return None, None
        finding = replace(finding, absent_since=absent_since)
        if absent_since is not None and clock - absent_since >= GONE_S:
            finding = replace(finding, state=FindingState.FORGOTTEN, until=None, ended=clock)
            self.put(finding)
            return finding, FindingEvent.CLEARED
        if absent_since is not None and verdict.status is Status.NORMAL:
            finding, event = _without_others(finding, event, window)
        if verdict.status is Status.ANOMALY:
            maintenance = self._maintained(device, clock)
            finding, event = _note(
                finding, event, before, verdict, window, limit=limit, maintenance=maintenance
            )
            if before is None:
                finding = replace(finding, calm_s=self._calm_s(finding))
        elif finding.silent_since is not None and finding.silent_to is None:
            finding = replace(finding, silent_to=window.opened)
        if event is FindingEvent.CLEARED:
            until = finding.snoozed_to(clock)  # it holds for findings that open before it
            finding = replace(finding, state=FindingState.CLEARED, until=until, ended=clock)
        if early:
            finding = replace(finding, awaits=verdict.id, verdicts=0 if before is None else before.verdicts)
        self.put(finding)
        return finding, event

    def _calm_s(self, finding: Finding) -> float:
        """Return how long an opening finding has to be calm: longer if its anomaly has come back."""
        last = next((one for one in reversed(self.closed.values()) if one.device == finding.device), None)
        if last is None or last.ended is None or not _is_same(last, finding):
            return 0.0
        pause_s = finding.opened - last.ended
        if not 0.0 <= pause_s <= max(BACK_S, last.calm_s):
            return 0.0
        return BACK_S if finding.limit else min(BACK_S, max(last.calm_s, PAUSES * pause_s))

    def _arrive(
        self, finding: Finding, verdict: Verdict, *, reviewed_at: float | None
    ) -> tuple[Finding, FindingEvent | None]:
        """Take the verdict that a finding awaits; one of an earlier window of its device changes nothing."""
        if verdict.id != finding.awaits:
            return finding, None
        event = FindingEvent.UPDATED if finding.verdicts else FindingEvent.OPENED
        finding = replace(
            finding,
            awaits=None,
            verdicts=finding.verdicts + 1,
            seen=_merge(finding.seen, verdict),
            last_reviewed=finding.last_reviewed if reviewed_at is None else reviewed_at,
        )
        self.put(finding)
        return finding, event

    def _is_behind(self, window: Window, *, limit: bool) -> bool:
        """Whether a window began before a person closed the finding of its device.

        It may hold the same event once more. A broken limit is news all the same, except of a device that is
        gone.
        """
        seq, gone = self._closed_to.get(window.device, (0, False))
        return window.lo <= seq and (gone or not limit)

    def put(self, finding: Finding) -> None:
        """Take a finding as it is now, among the open ones or those that are over."""
        self.snoozed.pop(finding.device, None)
        if finding.state is FindingState.SNOOZED:
            self.snoozed[finding.device] = finding.until or 0.0
        if not finding.state.closed:
            self[finding.device] = finding
            return
        if self.get(finding.device, finding).id == finding.id:
            self.pop(finding.device, None)
        self.closed.pop(finding.id, None)
        self.closed[finding.id] = finding
        if len(self.closed) > MAX_CLOSED:
            del self.closed[next(iter(self.closed))]

    def end_snoozes(self, clock: float) -> list[Finding]:
        """Open the findings again whose snooze is over; return them."""
        over = [device for device, until in self.snoozed.items() if until <= clock]
        opened = [replace(self[device], state=FindingState.OPEN, until=None) for device in over]
        for finding in opened:
            self.put(finding)
        return opened

    def shut(self, device: str, seq: int, *, gone: bool) -> None:
        """Let windows of ``device`` up to the row ``seq`` open no finding any more."""
        self._closed_to.pop(device, None)
        self._closed_to[device] = (seq, gone)
        if len(self._closed_to) > MAX_CLOSED:
            del self._closed_to[next(iter(self._closed_to))]

    def find(self, beginning: str) -> Finding | None:
        """Return the finding with this id, or the only one whose id begins so."""
        found = [one for one in self._every() if one.id.startswith(beginning)]
        exact = [one for one in found if one.id == beginning]
        return (exact or found)[0] if len(exact or found) == 1 else None

    def last_of(self, device: str) -> Finding | None:
        """Return the open finding of a device, else its last one."""
        return self.get(device) or next(
            (one for one in reversed(self.closed.values()) if one.device == device), None
        )

    def _every(self) -> Iterator[Finding]:
        yield from self.values()
        yield from self.closed.values()


def breaks_limit(window: Window) -> bool:
    """Return whether a value of a window is beyond a configured limit."""
    return any(reading.score.limit for reading in window.local.evidence)


def _shows(window: Window, finding: Finding) -> bool:
    """Return whether a window counts for the calm of a finding.

    The first one has to hold a metric of the anomaly: what is sent once an hour is not over because others
    of its device are usual every minute. One about metrics that have fallen away is over when one is back.
    """
    if finding.normal_streak:
        return True
    present = _present(window)
    if absent := _absent(finding):
        return not absent.isdisjoint(present)
    if len(window.candidates) >= MAX_CANDIDATES:
        return True
    metrics = {one.metric for one in finding.seen if not finding.limit or one.kind is Kind.OUT_OF_RANGE}
    return not metrics or not metrics.isdisjoint(present)


def _present(window: Window) -> set[str]:
    """Return the metrics of a window, as far as it names them."""
    return {one.metric for one in window.candidates}.union(window.back)


def _absent(finding: Finding) -> set[str]:
    """Return the metrics that have fallen away in a finding."""
    return {one.metric for one in finding.seen if one.kind is Kind.SILENCE}


def _is_same(last: Finding, finding: Finding) -> bool:
    """Return whether a finding is about an anomaly that the last one of its device was about."""
    if last.limit is not finding.limit:
        return False
    if last.kind is not finding.kind and not akin(last.kind, finding.kind):
        return False
    return bool({one.metric for one in last.seen} & {one.metric for one in finding.seen})


def _without_others(
    finding: Finding, event: FindingEvent | None, window: Window
) -> tuple[Finding, FindingEvent | None]:
    """Return a finding about absent metrics alone, once the others of it were usual for long enough.

    A broken limit is over then, though a metric of its device is still away.
    """
    absent = _absent(finding)
    rest = {one.metric for one in finding.seen if one.kind is not Kind.SILENCE}
    if not absent or not rest or (not finding.calm and rest.isdisjoint(_present(window))):
        return finding, event
    if finding.calm + 1 < CLEAR_AFTER:
        return replace(finding, calm=finding.calm + 1), event
    seen = tuple(one for one in finding.seen if one.kind is Kind.SILENCE)
    alone = replace(finding, kind=Kind.SILENCE, severity=Severity.WARNING, limit=False, seen=seen, calm=0)
    return replace(alone, score=1.0), FindingEvent.UPDATED


def falls_silent(finding: Finding, before: Finding) -> bool:
    """Return whether the device is silent, or metrics of it have fallen away, for the first time."""
    whole = finding.silent_since is not None and before.silent_since is None
    return whole or (bool(_absent(finding)) and not _absent(before))


def is_another(finding: Finding, before: Finding) -> bool:
    """Return whether an anomaly after a calm is more than the return of that of its open finding.

    It is of a metric that the finding was not about, or far more beyond its limit. Where metrics have fallen
    away the others were usual all along.
    """
    if finding.normal_streak or (before.normal_streak < CLEAR_AFTER and not _absent(before)):
        return False
    known = {one.metric for one in before.seen}
    if len(known) < MAX_SEEN and any(one.metric not in known for one in finding.seen):
        return True
    beyond = before.score - CRITICAL_SCORE
    return finding.limit and before.limit and finding.score - CRITICAL_SCORE >= WORSE * beyond


def _note(
    finding: Finding,
    event: FindingEvent | None,
    before: Finding | None,
    verdict: Verdict,
    window: Window,
    *,
    limit: bool,
    maintenance: bool,
) -> tuple[Finding, FindingEvent | None]:
    """Note the values that an anomaly cites, and whether it is news for people."""
    since = finding.silent_since
    if window.trigger is Trigger.SILENCE:
        since = window.sealed - (window.end - window.start)
    noted = replace(
        finding,
        seen=_merge(finding.seen, verdict),
        score=max(finding.score, verdict.score),
        limit=finding.limit or limit,
        maintenance=maintenance,
        silent_since=since,
        silent_to=None if window.trigger is Trigger.SILENCE else finding.silent_to,
    )
    silent_now = falls_silent(noted, finding)
    if ((limit and not finding.limit) or silent_now) and event is not FindingEvent.OPENED:
        # The person knew of another anomaly.
        return replace(noted, state=FindingState.OPEN, until=None), FindingEvent.UPDATED
    if before is not None and is_another(noted, before):
        state = FindingState.OPEN if noted.state is FindingState.ACKNOWLEDGED else noted.state
        noted, event = replace(noted, state=state), FindingEvent.UPDATED
    if finding.maintenance and not maintenance and event is None:
        event = FindingEvent.UPDATED  # it has outlasted the work
    return noted, event


def _merge(seen: Sequence[Seen], verdict: Verdict) -> tuple[Seen, ...]:
    """Return the cited values so far with those of one more verdict."""
    if verdict.trigger is Trigger.SILENCE:
        return tuple(seen)
    found = {(one.metric, one.kind): one for one in seen}
    for reading in verdict.evidence:
        key = (reading.metric, verdict.kind)
        known = found.get(key)
        low = high = reading.value
        if known is not None:
            low, high = min(low, known.low), max(high, known.high)
        elif len(found) >= MAX_SEEN:
            continue
        found[key] = Seen(reading.metric, verdict.kind, low, high)
    return tuple(found.values())


def advance(
    finding: Finding | None,
    *,
    device: str,
    status: Status,
    kind: Kind,
    severity: Severity,
    verdict_id: str,
    clock: float,
    reviewed: bool,
) -> tuple[Finding | None, FindingEvent | None]:
    """Return the device's finding after one more verdict, and what happened to it.

    A cleared finding is returned with the event ``CLEARED``; the caller drops it after use. The severity
    of a finding only rises, so that a fluctuating anomaly is not reported again and again.
    """
    if finding is None:
        if status is not Status.ANOMALY:
            return None, None
        identity = blake2b(verdict_id.encode(), digest_size=8).hexdigest()
        return Finding(identity, device, kind, severity, clock, clock), FindingEvent.OPENED
    finding = replace(finding, last_reviewed=clock if reviewed else finding.last_reviewed)
    if status is Status.UNCERTAIN:
        return replace(finding, verdicts=finding.verdicts + 1), None
    if status is Status.NORMAL:
        streak = finding.normal_streak + 1
        since = clock if finding.calm_since is None else finding.calm_since
        over = streak >= CLEAR_AFTER and clock - since >= finding.calm_s
        finding = replace(finding, normal_streak=streak, calm_since=since, verdicts=finding.verdicts + 1)
        return finding, FindingEvent.CLEARED if over else None
    event = FindingEvent.UPDATED if changed(finding, kind, severity) else None
    return (
        replace(
            finding,
            kind=kind if renamed(finding.kind, kind) else finding.kind,
            severity=max(severity, finding.severity, key=RANK.__getitem__),
            normal_streak=0,
            calm_since=None,
            calm=0,
            verdicts=finding.verdicts + 1,
        ),
        event,
    )


def changed(finding: Finding, kind: Kind, severity: Severity) -> bool:
    """Return whether an anomaly of ``kind`` and ``severity`` is news for an open finding."""
    return renamed(finding.kind, kind) or RANK[severity] > RANK[finding.severity]


def renamed(before: Kind, now: Kind) -> bool:
    """Return whether ``now`` is another anomaly than ``before``, or a surer name of the same one.

    A spike that lasts becomes a shift or noise, and either may become a drift, but not back again: a pump's
    duty cycle would have its finding reported under two names in turn.
    """
    known, sureness = before.traits.sureness, now.traits.sureness
    if known is None or sureness is None:
        return now is not before
    return sureness > known


def akin(before: Kind, now: Kind) -> bool:
    """Return whether both are names of a moved or restless value."""
    return before.traits.sureness is not None and now.traits.sureness is not None
