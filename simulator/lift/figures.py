"""The figures of a lift: an agent with a model against the same agent without one.

A labelled span is right if a finding opened in it (a fault) or none did (a normal event). F1 is of faults
found, faults missed, normal spans with a finding, and findings in no span. The lift is the difference of F1
to the agent without a model; its interval is the percentile bootstrap over spans and findings in none
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The interval of the share of right
spans is Wilson's (JASA 22, 1927).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.lift.gateway import Exchange
from simulator.lift.question import truth_of
from simulator.score import AgentVerdicts, match
from simulator.score.match import Opening, Score
from simulator.scrape import Samples
from simulator.trial.plan import WINDOW_S
from simulator.trial.run import Outcome

GRACE_S = 2 * WINDOW_S
RESAMPLES = 2000
_Z95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """One agent of a lift."""

    name: str
    model: str | None
    prompt: str | None
    spans: int
    right: int
    right_low: float
    right_high: float
    faults: int
    found: int
    normal: int
    false_alarms: int  # normal spans with a finding, and findings in no span
    precision: float | None
    recall: float | None
    f1: float
    lift: float
    lift_low: float
    lift_high: float
    removed: int  # false alarms of the agent without a model
    added: int  # false alarms that it did not have
    gained: int  # faults that it missed
    lost: int  # faults that it found
    incidents: int  # that it opened: the questions that a model is worth
    questions: Mapping[str, int]  # calls by purpose
    per_incident: float | None  # calls about one that opens
    answers: int
    ungrounded: int
    unexplained: int  # right answers on a span that cite none of the site's facts
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float | None  # of a call
    failed: int  # calls without an answer
    tokens_per_question: float | None
    by_scenario: Mapping[str, tuple[int, int]]  # right, spans

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Counted:
    """An agent's findings against the labels: per span whether one opened, and those in no span."""

    score: Score
    opened: tuple[bool, ...]
    strays: tuple[Opening, ...]

    @property
    def false(self) -> int:
        return len(self.strays) + len(self.score.fooled)


def _count(outcome: Outcome, verdicts: AgentVerdicts) -> _Counted:
    score = match(outcome.labels, verdicts.openings, grace_s=GRACE_S)
    normal = [one for one in outcome.labels if one.normal]
    strays = [
        one
        for one in score.false
        if not any(
            label.device == one.device and label.start <= one.seen <= label.end + GRACE_S for label in normal
        )
    ]
    return _Counted(score, tuple(one.opening is not None for one in score.matches), tuple(strays))


def lift_of(
    outcome: Outcome,
    name: str,
    *,
    origin: Mapping[str, str],
    exchanges: Sequence[Exchange] = (),
    base: str = "none",
) -> Lift:
    """Return the figures of the agent ``name`` against those of ``base`` in the same run.

    Args:
        outcome: of the trial.
        name: of the agent.
        origin: device -> its scenario.
        exchanges: what its model was asked and answered.
        base: the agent without a model.
    """
    mine, other = (_count(outcome, outcome.verdicts[one]) for one in (name, base))
    faults = [not label.normal for label in outcome.labels]
    pairs = list(zip(faults, mine.opened, other.opened, strict=True))
    right = sum(fault is opened for fault, opened, _ in pairs)
    low, high = wilson(right, len(pairs))
    found = mine.score.found
    units = [(_of_span(fault, one), _of_span(fault, two)) for fault, one, two in pairs]
    strays = [{(one.device, one.seen) for one in counted.strays} for counted in (mine, other)]
    units += [
        ((0, 0, int(one in strays[0])), (0, 0, int(one in strays[1])))
        for one in sorted(strays[0] | strays[1])
    ]
    spread = bootstrap(units)
    asked = outcome.status[name].get("counters", {}).get("questions", {})
    questions = {str(purpose): int(count) for purpose, count in asked.items()}
    incidents = len(outcome.verdicts[base].incidents)
    samples = outcome.metrics[name]
    tokens = {
        way: int(samples.total("ai_tokens_processed_total", direction=way)) for way in ("input", "output")
    }
    calls = samples.total("ai_api_call_duration_seconds_count")
    return Lift(
        name=name,
        model=outcome.status[name].get("ai", {}).get("model")
        if questions and any(questions.values())
        else None,
        prompt=outcome.status[name].get("ai", {}).get("prompt_version"),
        spans=len(pairs),
        right=right,
        right_low=low,
        right_high=high,
        faults=sum(faults),
        found=found,
        normal=len(pairs) - sum(faults),
        false_alarms=mine.false,
        precision=found / (found + mine.false) if found + mine.false else None,
        recall=found / sum(faults) if sum(faults) else None,
        f1=f1([one for one, _ in units]),
        lift=f1([one for one, _ in units]) - f1([two for _, two in units]),
        lift_low=spread[0],
        lift_high=spread[1],
        removed=sum(not fault and two and not one for fault, one, two in pairs) + len(strays[1] - strays[0]),
        added=sum(not fault and one and not two for fault, one, two in pairs) + len(strays[0] - strays[1]),
        gained=sum(fault and one and not two for fault, one, two in pairs),
        lost=sum(fault and two and not one for fault, one, two in pairs),
        incidents=incidents,
        questions=questions,
        per_incident=questions.get("opening", 0) / incidents if incidents and questions else None,
        answers=int(samples.total("ai_grounding_checks_total")),
        ungrounded=int(samples.total("ai_grounding_checks_total", result="ungrounded")),
        unexplained=_unexplained(outcome, exchanges),
        input_tokens=tokens["input"],
        output_tokens=tokens["output"],
        usd=samples.total("ai_estimated_cost_usd_total"),
        seconds=samples.total("ai_api_call_duration_seconds_sum") / calls if calls else None,
        failed=int(_failed(samples)),
        tokens_per_question=sum(tokens.values()) / sum(questions.values())
        if any(questions.values())
        else None,
        by_scenario=_by_scenario(outcome, mine, origin),
    )


def _failed(samples: Samples) -> float:
    return samples.total("ai_api_calls_total") - samples.total("ai_api_calls_total", status="success")


def _of_span(fault: bool, opened: bool) -> tuple[int, int, int]:  # noqa: FBT001 - two truths
    """Return true positives, false negatives and false positives of one span."""
    return (int(opened), int(not opened), 0) if fault else (0, 0, int(opened))


def _by_scenario(outcome: Outcome, mine: _Counted, origin: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    every: dict[str, tuple[int, int]] = {}
    for label, opened in zip(outcome.labels, mine.opened, strict=True):
        name = origin.get(label.device, "")
        right, spans = every.get(name, (0, 0))
        every[name] = (right + (label.normal is not opened), spans + 1)
    return dict(sorted(every.items()))


def _unexplained(outcome: Outcome, exchanges: Sequence[Exchange]) -> int:
    count = 0
    for one in exchanges:
        truth = truth_of(one.question, outcome.labels, outcome.start)
        if truth is None or one.answer is None or not one.question.facts:
            continue
        if one.answer.get("status") == ("normal" if truth.normal else "anomaly"):
            evidence = one.answer.get("evidence")
            count += not (isinstance(evidence, list) and one.question.facts.keys() & set(map(str, evidence)))
    return count


Unit = tuple[int, int, int]


def f1(units: Sequence[Unit]) -> float:
    """Return F1 of true positives, false negatives and false positives; 0 where nothing is there."""
    found, missed, false = (sum(unit[place] for unit in units) for place in range(3))
    whole = 2 * found + missed + false
    return 2 * found / whole if whole else 0.0


def bootstrap(
    pairs: Sequence[tuple[Unit, Unit]], *, resamples: int = RESAMPLES, seed: int = 1
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the difference of F1 of two agents on the same units."""
    if not pairs:
        return 0.0, 0.0
    rng = random.Random(seed)
    found = []
    for _ in range(resamples):
        drawn = rng.choices(pairs, k=len(pairs))
        found.append(f1([one for one, _ in drawn]) - f1([two for _, two in drawn]))
    found.sort()
    return found[int(0.025 * resamples)], found[math.ceil(0.975 * resamples) - 1]


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share."""
    if not trials:
        return 0.0, 1.0
    share, square = hits / trials, _Z95 * _Z95
    middle = share + square / (2 * trials)
    width = _Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    whole = 1 + square / trials
    return max(0.0, (middle - width) / whole), min(1.0, (middle + width) / whole)
