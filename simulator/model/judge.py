"""The simulator's model: reads the windows in a prompt and judges their marked candidates.

It knows the shape of the prompt (``{"w": 1, "candidates": [{"id": "r17", "value": ...}], ...}``) and nothing
else of the agent. Every number that it writes is copied, digit by digit, from the prompt.
"""

import json
from collections.abc import Iterator
from typing import Any, Self

KINDS = frozenset(
    {"none", "spike", "level_shift", "drift", "noise", "flatline", "out_of_range", "silence", "other"}
)
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
    if worst is None or _score(worst) < 1.0:
        return {
            "w": number,
            "status": "normal",
            "kind": "none",
            "severity": "info",
            "confidence": 3 if worst is None or _score(worst) < 0.5 else 2,  # noqa: PLR2004 - half the alarm line
            "evidence": [],
            "summary": "The readings stay within what is usual for this device.",
        }
    score = _score(worst)
    kind = _kind(window, worst)
    cited = [one for one in candidates if one.get("metric") == worst.get("metric") and _score(one) >= 1.0]
    return {
        "w": number,
        "status": "anomaly",
        "kind": kind,
        "severity": "critical" if score >= 3.0 else "warning",  # noqa: PLR2004 - as the rules in the prompt say
        "confidence": 3 if score >= 2.0 else 2,  # noqa: PLR2004 - twice the alarm line
        "evidence": [str(one["id"]) for one in sorted(cited, key=_score, reverse=True)[:3]],
        "summary": _summary(worst, kind),
    }


def _score(candidate: dict[str, Any]) -> float:
    """Return the printed score, else how many half-widths of the expected range the value lies outside."""
    score = candidate.get("score")
    if isinstance(score, Printed):
        return float(score)
    bounds, value = _bounds(candidate), candidate.get("value")
    if bounds is None or not isinstance(value, Printed):
        return 0.0
    low, high = bounds
    outside = max(low - value, value - high, 0.0)
    return 2.0 * outside / max(high - low, 1e-9)


def _bounds(candidate: dict[str, Any]) -> tuple[Printed, Printed] | None:
    for name in _RANGES:
        pair = candidate.get(name)
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, Printed) for end in pair):  # noqa: PLR2004 - low and high
            return pair[0], pair[1]
    return None


def _kind(window: dict[str, Any], worst: dict[str, Any]) -> str:
    local = window.get("local")
    named = [worst.get("kind"), worst.get("rule"), window.get("kind"), window.get("rule")]
    if isinstance(local, dict):
        named.append(local.get("kind"))
    return next((kind for kind in named if isinstance(kind, str) and kind in KINDS - {"none"}), "other")


def _summary(worst: dict[str, Any], kind: str) -> str:
    metric = str(worst.get("metric", "the value")).replace("_", " ")
    unit = worst.get("unit")
    value = worst.get("value")
    text = (
        f"{metric} {_WORDS.get(kind, 'is unusual at')} {value}{f' {unit}' if isinstance(unit, str) else ''}"
    )
    bounds = _bounds(worst)
    if bounds is not None:
        text += f", usual is {bounds[0]} to {bounds[1]}"
    return text[:290] + "."
