"""Findings: anomalies that open, are updated and clear, one per device at a time."""

from dataclasses import replace
from hashlib import blake2b

from agent.domain.records import Finding, FindingEvent, Kind, Severity, Status, Verdict

CLEAR_AFTER = 3  # normal windows in a row
_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class Findings(dict[str, Finding]):
    """The open findings, one per device."""

    def move(
        self, verdict: Verdict, *, clock: float, reviewed: bool
    ) -> tuple[Finding | None, FindingEvent | None]:
        """Take one more verdict; return the device's finding, also one that this clears, and the change."""
        device = verdict.device
        finding, event = advance(
            self.get(device),
            device=device,
            status=verdict.status,
            kind=verdict.kind,
            severity=verdict.severity,
            verdict_id=verdict.id,
            clock=clock,
            reviewed=reviewed,
        )
        if finding is None or event is FindingEvent.CLEARED:
            self.pop(device, None)
        else:
            self[device] = finding
        return finding, event


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
        finding = replace(finding, normal_streak=streak, verdicts=finding.verdicts + 1)
        return finding, FindingEvent.CLEARED if streak >= CLEAR_AFTER else None
    event = FindingEvent.UPDATED if changed(finding, kind, severity) else None
    return (
        replace(
            finding,
            kind=kind if renamed(finding.kind, kind) else finding.kind,
            severity=max(severity, finding.severity, key=_RANK.__getitem__),
            normal_streak=0,
            verdicts=finding.verdicts + 1,
        ),
        event,
    )


def changed(finding: Finding, kind: Kind, severity: Severity) -> bool:
    """Return whether an anomaly of ``kind`` and ``severity`` is news for an open finding."""
    return renamed(finding.kind, kind) or _RANK[severity] > _RANK[finding.severity]


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
