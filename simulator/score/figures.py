"""The figures of one run: found faults, delays, false findings and cost.

Precision is found findings / (those + false ones), where a fault's second and later findings count for
neither and show as findings per fault. Of one kind it shows how far a finding with the kind's name can
be believed: the share of the findings so named that belong to any fault. Where nothing was there to be
divided by, a figure is None.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.faults import FINDING_KINDS, FaultKind, Label
from simulator.score.match import Match, Score, match
from simulator.score.verdicts import AgentVerdicts

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFigures:
    """One kind of fault, or all of them; delays in seconds of event time."""

    faults: int
    found: int
    named: int  # found, and with the right name
    findings: int  # that opened for them
    recall: float | None
    precision: float | None
    f1: float | None
    delay_median_s: float | None
    delay_p95_s: float | None
    findings_per_fault: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run of one agent."""

    total: KindFigures
    kinds: Mapping[str, KindFigures]
    device_days: float
    false_findings: int
    false_per_device_day: float | None
    normal_events: int  # hard negatives, and faults that count as normal
    fooled: int
    fooled_by: Mapping[str, int]  # kind of the normal event
    verdicts: int
    sources: Mapping[str, float]  # share of the verdicts
    calls: int
    tokens: int
    cost_usd: float
    calls_per_device_day: float | None
    tokens_per_device_day: float | None
    cost_per_device_day_usd: float | None
    calls_per_detection: float | None
    tokens_per_detection: float | None
    cost_per_detection_usd: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


def figures(
    labels: Sequence[Label],
    run: AgentVerdicts,
    *,
    window_s: float,
    devices: int | None = None,
    span_s: float = 0.0,
) -> Figures:
    """Return the figures of a run.

    Args:
        labels: what was really so; normal events among them.
        run: the agent's verdicts in one run.
        window_s: length of the agent's windows; a finding may open two of them after a fault's end.
        devices: how many devices there were; None for those with verdicts.
        span_s: how long they were watched; 0 for the span of the verdicts' windows.
    """
    score = match(labels, run.openings, grace_s=2 * window_s)
    known = run.devices | {label.device for label in labels}
    span = span_s or max(0.0, run.last - run.first)
    days = (len(known) if devices is None else devices) * (span if math.isfinite(span) else 0.0) / DAY_S
    found = score.found
    return Figures(
        total=_total(score),
        kinds={str(kind): _of_kind(kind, score) for kind in _kinds(score)},
        device_days=days,
        false_findings=len(score.false),
        false_per_device_day=ratio(len(score.false), days),
        normal_events=len(score.normal),
        fooled=len(score.fooled),
        fooled_by=_count([str(one.label.kind) for one in score.fooled]),
        verdicts=run.verdicts,
        sources={name: count / run.verdicts for name, count in sorted(run.sources.items())},
        calls=run.calls,
        tokens=run.tokens,
        cost_usd=run.cost_usd,
        calls_per_device_day=ratio(run.calls, days),
        tokens_per_device_day=ratio(run.tokens, days),
        cost_per_device_day_usd=ratio(run.cost_usd, days),
        calls_per_detection=ratio(run.calls, found),
        tokens_per_detection=ratio(run.tokens, found),
        cost_per_detection_usd=ratio(run.cost_usd, found),
    )


def _total(score: Score) -> KindFigures:
    first = {one.opening.finding_id for one in score.faults if one.opening is not None}
    precision = ratio(len(first), len(first) + len(score.false))
    return _rows(score.faults, precision, len(score.true))


def _of_kind(kind: FaultKind, score: Score) -> KindFigures:
    names = FINDING_KINDS[kind]
    true = sum(bool(one.kinds & names) for one in score.true)
    false = sum(bool(one.kinds & names) for one in score.false)
    matches = [one for one in score.faults if one.label.kind is kind]
    return _rows(matches, ratio(true, true + false), sum(one.findings for one in matches))


def _rows(matches: Sequence[Match], precision: float | None, findings: int) -> KindFigures:
    found = sum(one.opening is not None for one in matches)
    recall = ratio(found, len(matches))
    delays = sorted(one.delay_s for one in matches if one.delay_s is not None)
    return KindFigures(
        faults=len(matches),
        found=found,
        named=sum(one.named_rightly for one in matches),
        findings=findings,
        recall=recall,
        precision=precision,
        f1=_f1(precision, recall),
        delay_median_s=_rank(delays, 0.5),
        delay_p95_s=_rank(delays, 0.95),
        findings_per_fault=ratio(findings, found),
    )


def _kinds(score: Score) -> list[FaultKind]:
    met = {one.label.kind for one in score.faults}
    return [kind for kind in FaultKind if kind in met]


def _count(names: Sequence[str]) -> dict[str, int]:
    return {name: names.count(name) for name in sorted(set(names))}


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``, None where the whole is nothing."""
    return part / whole if whole else None


def _f1(precision: float | None, recall: float | None) -> float | None:
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _rank(ordered: Sequence[float], share: float) -> float | None:
    """Return a quantile by nearest rank, a value that was really there."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
