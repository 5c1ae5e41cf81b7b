"""The verdict on one window: the local opinion against the model's answer."""

from agent.domain.records import (
    Answer,
    Evidence,
    Grounding,
    Kind,
    LocalOpinion,
    Outcome,
    Reason,
    Severity,
    Source,
    Status,
    Verdict,
    Window,
    WindowReading,
)
from agent.verdict.local_opinion import MAX_SUMMARY

LATE_AFTER_S = 60.0
_CONFIDENCE = {1: 0.33, 2: 0.67, 3: 1.0}


def conclude(
    window: Window, outcome: Outcome, *, agent: str, created: float, finding_id: str | None = None
) -> Verdict:
    """Return the verdict on ``window`` after its review (or without one).

    Limits, flatline and silence cannot be overruled, other alarms not without a reason; an ungrounded answer
    changes nothing but ``normal`` into ``uncertain``; an anomaly that only the model sees is a warning at
    most (design, "Who wins").
    """
    local, answer = window.local, outcome.answer
    status, kind, severity = local.status, local.kind, local.severity
    summary, evidence = local.summary, local.evidence
    source, reason = Source.LOCAL, outcome.reason
    if answer is not None and outcome.grounding is Grounding.UNGROUNDED:
        reason = Reason.UNGROUNDED
        if status is Status.NORMAL:
            status = Status.UNCERTAIN
    elif answer is not None and (not outcome.overrules or _overruled(local, answer)):
        reason = Reason.REVIEWED
    elif answer is not None:
        source = outcome.source
        status, kind, severity = _agreed(local, answer)
        summary = _told(status, local, answer)
        evidence = _cited(window, answer) or evidence
    return Verdict(
        id=window.id,
        agent=agent,
        device=window.device,
        status=status,
        severity=severity,
        score=local.score,
        confidence=_CONFIDENCE.get(answer.confidence) if answer else None,
        kind=kind,
        summary=clean(summary),
        advice=kind.traits.advice,
        evidence=tuple(_evidence(reading) for reading in evidence),
        source=source,
        reason=reason,
        grounded=None if answer is None else outcome.grounding is Grounding.GROUNDED,
        model=outcome.model if answer else None,
        prompt_version=outcome.prompt_version if answer else None,
        start=window.start,
        end=window.end,
        readings=window.count,
        trigger=window.trigger,
        local=local,
        tokens=outcome.tokens,
        cost_usd=outcome.cost_usd,
        latency_ms=outcome.latency_ms,
        finding_id=finding_id,
        late=created - window.end > LATE_AFTER_S,
        trace_id=outcome.trace_id,
        created=created,
        request_id=outcome.request_id,
        reason_detail=outcome.detail,
    )


def _told(status: Status, local: LocalOpinion, answer: Answer) -> str:
    """Return the model's words, unless nothing is wrong with readings that could not be judged.

    No model can know the usual values of a series that is still learning, so its "normal" is not news.
    """
    unsure = local.learning is not None or local.unchecked
    if status is Status.ANOMALY or not unsure:
        return clean(answer.summary) or local.summary
    return local.summary if status is Status.NORMAL else f"{local.summary} {answer.summary}"


def _overruled(local: LocalOpinion, answer: Answer) -> bool:
    """Return whether the local opinion prevails against this grounded answer."""
    if local.status is not Status.ANOMALY or answer.status is Status.ANOMALY:
        return False
    return local.kind.traits.hard or answer.status is Status.UNCERTAIN


def _agreed(local: LocalOpinion, answer: Answer) -> tuple[Status, Kind, Severity]:
    if answer.status is not Status.ANOMALY:
        return answer.status, Kind.NONE, Severity.INFO
    if local.status is Status.ANOMALY:
        return Status.ANOMALY, local.kind, local.severity
    kind = answer.kind if answer.kind is not Kind.NONE else Kind.OTHER
    return Status.ANOMALY, kind, Severity.WARNING


def disagreement(window: Window, outcome: Outcome) -> str | None:
    """Return who alone saw an anomaly: ``ai_only`` or ``local_only``; None when both or neither did.

    Only an answer whose claims hold is a second opinion; its ``uncertain`` is none.
    """
    answer = outcome.answer
    if answer is None or outcome.grounding is not Grounding.GROUNDED or answer.status is Status.UNCERTAIN:
        return None
    seen, local = answer.status is Status.ANOMALY, window.local.status is Status.ANOMALY
    return None if seen is local else "ai_only" if seen else "local_only"


def _cited(window: Window, answer: Answer) -> tuple[WindowReading, ...]:
    by_ref = {reading.ref: reading for reading in window.candidates}
    return tuple(by_ref[ref] for ref in dict.fromkeys(answer.evidence) if ref in by_ref)


def _evidence(reading: WindowReading) -> Evidence:
    return Evidence(reading.ref, reading.metric, reading.at, reading.value, reading.score.expected)


def clean(text: str) -> str:
    """Return ``text`` on one line, printable, at most 300 characters."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= MAX_SUMMARY else one_line[: MAX_SUMMARY - 3] + "..."
