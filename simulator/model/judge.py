"""The simulator's model: judges the marked candidates of a prompt by fixed rules.

It knows the shape of the prompt (``{"w": 1, "series": [...], "candidates": [{"id": "r17", "value": ...}]}``)
and nothing else of the agent. It believes a score above the alarm line unless the value is one that the
series often has, and a suspicion below the line if the newest values are all far outside. Every number
that it writes is copied, digit by digit, from the prompt.
"""

import json
from collections.abc import Iterator
from typing import Any, Self

KINDS = frozenset({"spike", "level_shift", "drift", "noise", "flatline", "out_of_range", "other"})
MIN_STILL = 5
SUSPECT = 0.25
NEWEST = 5  # values that must have moved
FAR = 0.75  # widths of the usual range
NEAR = 0.1  # widths of the range of the last values
_RANGES = ("expected", "usual", "range")
_WORDS = {
    "spike": "jumped to",
    "level_shift": "has moved to",
    "drift": "has drifted to",
    "noise": "scatters and reached",
    "flatline": "is stuck at",
    "out_of_range": "is out of range at",
}


class Printed(float):
    """A number that remembers how it was printed."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def windows(prompt: str) -> list[dict[str, Any]]:
    """Return the windows in a prompt: every JSON object in it that holds ``w``, in order."""
    decoder = json.JSONDecoder(parse_float=Printed, parse_int=Printed)
    found: list[dict[str, Any]] = []
    place = 0
    while (place := _next_brace(prompt, place)) >= 0:
        try:
            value, place = decoder.raw_decode(prompt, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        found += _windows_in(value)
    return found


def answer(prompt: str) -> dict[str, Any]:
    """Return the answer to a prompt, in the form that the agent asks for."""
    return {"windows": [_judge(window) for window in windows(prompt)]}


def _next_brace(text: str, place: int) -> int:
    places = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
    return min(places, default=-1)


def _windows_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("w"), Printed):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _windows_in(item)


def _judge(window: dict[str, Any]) -> dict[str, Any]:
    number = int(window["w"])
    candidates = [
        one
        for one in window.get("candidates", ())
        if isinstance(one, dict) and isinstance(one.get("id"), str)
    ]
    worst = max(candidates, key=_score, default=None)
    series = _series(window, worst) if worst is not None else {}
    if worst is None or (_score(worst) < 1.0 and not (_score(worst) >= SUSPECT and _has_moved(series))):
        return _normal(number, worst, "The readings stay within what is usual for this device.", 3)
    kind = _kind(window, worst, series)
    if kind in {"spike", "level_shift"} and _familiar(worst, series):
        return _normal(number, worst, f"{_metric(worst)} has values like this one often.", 2)
    score = _score(worst)
    line = min(1.0, score)
    cited = [one for one in candidates if one.get("metric") == worst.get("metric") and _score(one) >= line]
    return {
        "w": number,
        "status": "anomaly",
        "kind": kind,
        "severity": "critical" if score >= 3.0 or kind == "out_of_range" else "warning",  # noqa: PLR2004 - far above the alarm line
        "confidence": 3 if score >= 2.0 else 2,  # noqa: PLR2004 - twice the alarm line
        "evidence": [str(one["id"]) for one in sorted(cited, key=_score, reverse=True)[:3]],
        "summary": _summary(worst, series, kind),
    }


def _normal(number: int, worst: dict[str, Any] | None, summary: str, confidence: int) -> dict[str, Any]:
    return {
        "w": number,
        "status": "normal",
        "kind": "none",
        "severity": "info",
        "confidence": confidence,
        "evidence": [] if worst is None else [str(worst["id"])],
        "summary": summary,
    }


def _score(candidate: dict[str, Any]) -> float:
    """Return the printed score, else how many half-widths of the expected range the value is outside."""
    score = candidate.get("score")
    if isinstance(score, Printed):
        return float(score)
    bounds, value = _bounds(candidate), candidate.get("value")
    if bounds is None or not isinstance(value, Printed):
        return 0.0
    low, high = bounds
    outside = max(low - value, value - high, 0.0)
    return 2.0 * outside / max(high - low, 1e-9)


def _bounds(item: dict[str, Any], names: tuple[str, ...] = _RANGES) -> tuple[Printed, Printed] | None:
    for name in names:
        pair = item.get(name)
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, Printed) for end in pair):  # noqa: PLR2004 - low and high
            return pair[0], pair[1]
    return None


def _series(window: dict[str, Any], candidate: dict[str, Any]) -> dict[str, Any]:
    """Return what is printed of the candidate's series."""
    every = window.get("series", ())
    same = [one for one in every if isinstance(one, dict) and one.get("metric") == candidate.get("metric")]
    return same[0] if same else {}


def _kind(window: dict[str, Any], worst: dict[str, Any], series: dict[str, Any]) -> str:
    """Return the suspected kind, if the printed values support it."""
    local = window.get("local")
    named = [worst.get("kind"), local.get("kind") if isinstance(local, dict) else None, window.get("kind")]
    kind = next((one for one in named if isinstance(one, str) and one in KINDS), "other")
    if kind == "flatline" and series.get("still", 0.0) < MIN_STILL:
        return "other"
    if kind == "out_of_range" and not _breaks_limits(worst, series):
        return "other"
    return kind


def _breaks_limits(worst: dict[str, Any], series: dict[str, Any]) -> bool:
    value, limits = worst.get("value"), series.get("limits")
    if not isinstance(value, Printed) or not isinstance(limits, list) or len(limits) != 2:  # noqa: PLR2004 - low and high
        return False
    low, high = limits
    return (isinstance(low, Printed) and value < low) or (isinstance(high, Printed) and value > high)


def _familiar(worst: dict[str, Any], series: dict[str, Any]) -> bool:
    """Return whether the series has such values in more than 2 of 100 readings, and had one in the last 30.

    A solar panel's night value is common, but not at noon.
    """
    low, high, value = series.get("p01"), series.get("p99"), worst.get("value")
    if not isinstance(low, Printed) or not isinstance(high, Printed) or not isinstance(value, Printed):
        return False
    earlier = _last(series)[:-NEWEST]
    if not low <= value <= high or not earlier:
        return low <= value <= high
    margin = NEAR * (max(earlier) - min(earlier))
    return min(earlier) - margin <= value <= max(earlier) + margin


def _last(series: dict[str, Any]) -> list[float]:
    """Return the last values as far as they are printed, oldest first."""
    scale, last = series.get("scale"), series.get("last")
    if not isinstance(last, list) or not isinstance(scale, list) or len(scale) != 2:  # noqa: PLR2004 - low and high
        return []
    return [scale[0] + (scale[1] - scale[0]) * one / 999.0 for one in last]


def _has_moved(series: dict[str, Any]) -> bool:
    """Return whether the newest values are all far outside the usual range, on one side."""
    usual = series.get("p01"), series.get("p99")
    values = _last(series)[-NEWEST:]
    if not all(isinstance(one, Printed) for one in usual) or len(values) < NEWEST:
        return False
    low, high = map(float, usual)  # type: ignore[arg-type]
    margin = FAR * (high - low)
    return margin > 0 and (min(values) > high + margin or max(values) < low - margin)


def _metric(candidate: dict[str, Any]) -> str:
    return str(candidate.get("metric", "the value")).replace("_", " ")


def _summary(worst: dict[str, Any], series: dict[str, Any], kind: str) -> str:
    unit = worst.get("unit") or series.get("unit")
    text = f"{_metric(worst)} {_WORDS.get(kind, 'is unusual at')} {worst.get('value')}"
    if isinstance(unit, str):
        text += f" {unit}"
    bounds = _bounds(worst) or _bounds(series)
    if bounds is not None:
        text += f", usual is {bounds[0]} to {bounds[1]}"
    return text[:290] + "."
