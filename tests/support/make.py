"""Builders of records for tests: only what matters is spelled out."""

from agent.domain.records import (
    Answer,
    Grounding,
    Kind,
    Outcome,
    Reading,
    Reason,
    Score,
    Severity,
    Source,
    Status,
    Trigger,
    Window,
)
from agent.pipeline.window import identify
from agent.verdict.local_opinion import opine, pick_candidates

T0 = 1_700_000_000.0


def reading(value: float = 20.0, at: float = T0, device: str = "d1", metric: str = "temperature") -> Reading:
    """A reading in degC."""
    return Reading(device, metric, at, value, "degC")


def score(value: float, kind: Kind = Kind.SPIKE, *, limit: bool = False) -> Score:
    """A score with an expected range."""
    return Score(value, kind if value else Kind.NONE, (19.0, 21.0) if value else None, limit)


def window(
    *scores: Score, device: str = "d1", lo: int = 1, trigger: Trigger = Trigger.AGE, sealed: float = T0 + 60
) -> Window:
    """A sealed window with one reading per score."""
    readings = [(reading(20.0 + index, T0 + index, device), item) for index, item in enumerate(scores)]
    hi = lo + max(len(readings) - 1, 0)
    return Window(
        id=identify(
            journal="j",
            agent="gw",
            device=device,
            trigger=trigger,
            lo=lo,
            hi=hi,
            last_seq=hi,
            count=len(readings),
        ),
        device=device,
        trigger=trigger,
        lo=lo,
        hi=hi,
        count=len(readings),
        start=T0,
        end=T0 + len(readings),
        opened=T0,
        sealed=sealed,
        local=opine(readings),
        candidates=pick_candidates(readings),
        section="{}",
    )


def answered(
    window: Window,
    status: Status,
    *,
    kind: Kind = Kind.SPIKE,
    grounding: Grounding = Grounding.GROUNDED,
    evidence: tuple[str, ...] = ("r1",),
    source: Source = Source.AI,
) -> Outcome:
    """An outcome in which the model answered."""
    answer = Answer(
        status,
        kind if status is Status.ANOMALY else Kind.NONE,
        Severity.CRITICAL,
        2,
        evidence,
        "As the model says.",
    )
    return Outcome(
        window.id,
        Reason.REVIEWED,
        answer,
        grounding,
        source=source,
        model="m",
        prompt_version="1",
        latency_ms=12.0,
    )
