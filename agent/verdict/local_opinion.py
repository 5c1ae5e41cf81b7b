"""The local opinion of a window: its summary, and the readings worth citing."""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter

from agent.domain.metric_names import MetricClass, look_up, name_for_people
from agent.domain.records import (
    CALM,
    Kind,
    Learning,
    LocalOpinion,
    Partner,
    Progress,
    Reading,
    Score,
    Severity,
    Silence,
    Status,
    WindowReading,
)

MAX_CANDIDATES = 12
MAX_EVIDENCE = 5
SUSPECT_SCORE = 0.25
CRITICAL_SCORE = 3.0
MAX_SUMMARY = 300
MAX_DECIMALS = 6
LARGE, HUGE = 1e6, 1e15  # values with no decimals, with three digits only
MAX_NAME, MAX_UNIT = 60, 16  # of a metric and a unit inside a sentence

Scored = tuple[Reading, Score]


def pick_candidates(readings: Sequence[Scored]) -> tuple[WindowReading, ...]:
    """Choose at most 12 readings worth citing, in order of arrival.

    The highest suspicious scores come first, then the newest reading of each metric.
    """
    suspects = [index for index, (_, score) in enumerate(readings) if score.value >= SUSPECT_SCORE]
    suspects.sort(key=lambda index: -readings[index][1].value)
    newest = {reading.metric: index for index, (reading, _) in enumerate(readings)}
    chosen = dict.fromkeys(suspects[:MAX_CANDIDATES])
    for index in sorted(newest.values(), reverse=True):
        if len(chosen) >= MAX_CANDIDATES:
            break
        chosen[index] = None
    return tuple([_cited(index, *readings[index]) for index in sorted(chosen)])


def _cited(index: int, reading: Reading, score: Score) -> WindowReading:
    ref = f"r{index + 1}"
    return WindowReading(ref, reading.metric, reading.at, reading.value, reading.unit, score, reading.word)


def opine(readings: Sequence[Scored], silence: Progress | None = None) -> LocalOpinion:
    """Return the local detector's opinion of a window from its readings' scores.

    ``silence`` is how far the device is from being judged by its silence.
    """
    marked = [(reading, score) for reading, score in readings if score is not CALM]
    unjudged = find_unjudged(marked)
    learning = least_learnt(unjudged)
    foreign = _in_other_units(marked)
    top = highest(marked)
    if top < 1.0:
        return LocalOpinion(
            Status.NORMAL,
            bounded(top),
            Kind.NONE,
            Severity.INFO,
            (),
            _tell_calm(learning, len(unjudged), foreign, readings, silence),
            learning,
            bool(foreign),
        )
    ranked = sorted(
        ((i, score.limit, score.value) for i, (_, score) in enumerate(readings) if score.value >= 1.0),
        key=itemgetter(1, 2),
        reverse=True,
    )
    evidence = tuple(_cited(index, *readings[index]) for index, _, _ in ranked[:MAX_EVIDENCE])
    lead = evidence[0]
    critical = lead.score.limit or top >= CRITICAL_SCORE
    severity = Severity.CRITICAL if critical else Severity.WARNING
    return LocalOpinion(
        Status.ANOMALY,
        bounded(top),
        lead.score.kind,
        severity,
        evidence,
        _tell(lead, len(ranked)),
        learning,
        bool(foreign),
    )


def highest(readings: Sequence[Scored]) -> float:
    """Return the highest score of readings."""
    return max([score.value for _, score in readings], default=0.0)


def find_unjudged(readings: Sequence[Scored]) -> dict[str, Progress]:
    """Return the progress of each metric of which a reading was not judged, as far as it had come."""
    found: dict[str, Progress] = {}
    for reading, score in readings:
        if score.progress is not None:
            found[reading.metric] = score.progress
    return found


def least_learnt(unjudged: Mapping[str, Progress]) -> Learning | None:
    """Return the series that is farthest from being judged, None when all are."""
    if not unjudged:
        return None
    metric = min(unjudged, key=lambda name: (unjudged[name].seen / unjudged[name].needed, name))
    return Learning(metric, unjudged[metric])


def learning_words(progress: Progress) -> str:
    """Return in words how far a series has come; the first words are the same everywhere."""
    what = " different values" if progress.of == "values" else ""
    return f"still learning ({progress.seen} of {progress.needed}{what})"


def _in_other_units(readings: Sequence[Scored]) -> list[str]:
    """Return a sentence on the first changed unit, and one on the first limit that does not hold."""
    parts: dict[str, str] = {}
    for reading, score in readings:
        name, unit = name_for_people(reading.metric, MAX_NAME), (reading.unit or "no unit")[:MAX_UNIT]
        if score.unit_was is not None and "changed" not in parts:
            was = score.unit_was[:MAX_UNIT] or "no unit"
            parts["changed"] = f"The unit of {name} changed from {was} to {unit}: it learns again."
        if score.unchecked is not None and "limit" not in parts:
            parts["limit"] = (
                f"The limit of {name} is in {score.unchecked[:MAX_UNIT]}, the readings are in {unit}:"
                " it is not checked."
            )
    return list(parts.values())


def _tell_calm(
    learning: Learning | None,
    unjudged: int,
    foreign: list[str],
    readings: Sequence[Scored],
    silence: Progress | None,
) -> str:
    """Return a summary of calm readings, of values that were not judged at all, and of the silence."""
    text = _tell_values(learning, unjudged, foreign, readings)
    if silence is None:
        return text
    unknown = f" Its silence is not judged yet ({silence.seen} of {silence.needed} {silence.of})."
    return text + unknown if len(text) + len(unknown) <= MAX_SUMMARY else text


def _tell_values(
    learning: Learning | None, unjudged: int, foreign: list[str], readings: Sequence[Scored]
) -> str:
    parts = []
    if learning is not None:
        more = f" and {unjudged - 1} more cannot" if unjudged > 1 else " cannot"
        name = name_for_people(learning.metric, MAX_NAME)
        parts.append(
            f"{learning_words(learning.progress)}: {name}{more} be judged yet, only configured limits alarm."
        )
    parts += foreign
    if parts:
        return " ".join(parts)[:MAX_SUMMARY]
    if all(score.ignored for _, score in readings):
        return "Not judged: the configuration ignores these metrics (tuning), only limits are checked."
    if all(look_up(reading.metric).kind is not MetricClass.READING for reading, _ in readings):
        return "Diagnostic values only, which are not judged."
    return "Readings are within their usual range."


def opine_silence(silence: Silence) -> LocalOpinion:
    """Return the opinion of a window that has no readings."""
    evidence: tuple[WindowReading, ...] = ()
    if silence.last_metric is not None and silence.last_at is not None and silence.last_value is not None:
        score = Score(bounded(silence.score), Kind.SILENCE)
        evidence = (
            WindowReading("r0", silence.last_metric, silence.last_at, silence.last_value, None, score),
        )
    score_value = bounded(silence.score)
    severity = Severity.CRITICAL if score_value >= CRITICAL_SCORE else Severity.WARNING
    text = (
        f"No reading for {_duration(silence.silent_s)}; at this hour it usually sends every "
        f"{_duration(silence.expected_interval_s)}."
    )
    if silence.on_events:
        text = (
            f"No reading for {_duration(silence.silent_s)}; the device sends when something happens, but"
            " seldom pauses for so long."
        )
    if silence.usually:
        text += f" It is usually off {silence.usually}."
    if silence.lacking:
        text = (
            f"It sends, but no value for {_duration(silence.silent_s)}: its sensor reports none or an error."
        )
    if silence.absent:
        evidence = _last_of(silence)
        text = _tell_absent(silence)
    if silence.offline:
        text = f"The device is reported offline; its last reading is {_duration(silence.silent_s)} old."
    return LocalOpinion(Status.ANOMALY, score_value, Kind.SILENCE, severity, evidence, text)


def _last_of(silence: Silence) -> tuple[WindowReading, ...]:
    """Return the last readings of the series that fell away."""
    score = Score(bounded(silence.score), Kind.SILENCE)
    return tuple(
        WindowReading(f"r{place}", one.metric, one.at, one.value, one.unit, score)
        for place, one in enumerate(silence.absent[:MAX_CANDIDATES])
    )


def _tell_absent(silence: Silence) -> str:
    first, *others = silence.absent
    unit = f" {first.unit[:MAX_UNIT]}" if first.unit else ""
    name = name_for_people(first.metric, MAX_NAME)
    more = f" and {len(others)} more" if others else ""
    return (
        f"No value of {name}{more} for {_duration(silence.silent_s)}, while other values of the device go on;"
        f" {name} was last {_number(first.value)}{unit}."
    )


def _tell(lead: WindowReading, alarms: int) -> str:
    unit = f" {lead.unit}" if lead.unit else ""
    if lead.score.partner is not None and lead.score.expected is not None:
        return _tell_parted(lead, lead.score.partner, lead.score.expected)
    said = lead.score.said
    as_sent = f"{said[0]:.6g} {said[1]}" if said else lead.word
    sent = f" (sent as {as_sent})" if as_sent else ""
    name = name_for_people(lead.metric)
    text = f"{name} {_number(lead.value)}{unit}{sent} {lead.score.kind.traits.summary}"
    if lead.score.expected is not None:
        low, high = lead.score.expected
        words = "allowed" if lead.score.limit else "usual at this time"
        span, though = _range(low, high, lead.value), lead.score.kind.traits.though
        if span and (lead.score.limit or not low <= lead.value <= high):
            text += f"; {words} is {span}{unit}"
        elif span and though:
            text += f"; {words} is {span}{unit}, {though}"
    if alarms > 1:
        text += f" ({alarms} readings)"
    return text[: MAX_SUMMARY - 1] + "."


def _tell_parted(lead: WindowReading, partner: Partner, expected: tuple[float, float]) -> str:
    """Return how a series does not go with another one any more."""
    unit, other = (f" {one[:MAX_UNIT]}" if one else "" for one in (lead.unit, partner.unit))
    name, mate = (name_for_people(one, MAX_NAME) for one in (lead.metric, partner.metric))
    mean = float(f"{partner.mean:.4g}")
    span = _range(*expected, mean)
    usual = f"; usual is then {span}{unit}" if span else ""
    return (
        f"{name} has not gone with {mate} since {partner.since}: it was {_number(mean)}{unit} on average in"
        f" the last hour, the other {partner.given:.4g}{other}{usual}."
    )[:MAX_SUMMARY]


def _number(value: float) -> str:
    """Return a value with six digits, a large one with all before its point."""
    return f"{value:.6g}" if abs(value) < LARGE else f"{value:.0f}" if abs(value) < HUGE else f"{value:.3g}"


def _range(low: float, high: float, value: float) -> str:
    """Return a range in words, as exact as the value is, or as it takes; empty when it is a point, the value.

    A limit may have one side only. The ends are rounded so that a value beyond stays beyond, and one within
    stays within.
    """
    if not math.isfinite(low):
        return f"up to {_number(high)}"
    if not math.isfinite(high):
        return f"{_number(low)} and more"
    fewest = _decimals(value)
    for decimals in range(fewest, MAX_DECIMALS if max(abs(low), abs(high)) < LARGE else fewest + 1):
        step = 10.0**-decimals
        first_low, last_high = math.ceil(low / step) * step, math.floor(high / step) * step
        if low <= value <= high:
            first_low, last_high = math.floor(low / step) * step, math.ceil(high / step) * step
        if first_low < last_high:
            low, high = first_low, last_high
            break
    first, last = (_number(float(f"{end:.12g}")) for end in (low, high))
    if first != last:
        return f"{first} to {last}"
    return "" if first == _number(value) else f"about {first}"


def _decimals(value: float) -> int:
    """Return how many decimals a value is shown with."""
    text = _number(value)
    return 0 if "e" in text else len(text.partition(".")[2])


def _duration(seconds: float) -> str:
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.0f} s"
    if seconds < 7200:  # noqa: PLR2004 - two hours
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def bounded(score: float) -> float:
    """Return a score as an opinion states it."""
    return round(min(score, 1000.0), 4)
