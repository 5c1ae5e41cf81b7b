"""One window as canonical JSON: for the model, and for the check of its claims.

It has no name of its device or of a place. The names of other devices stay here unless a prompt may share
them. A section is made once, at sealing, and never changes.
"""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from agent.domain.records import LocalOpinion, SeriesView, Window, WindowReading
from agent.prompt.words import name_metrics, unit_word
from agent.verdict.local_opinion import MAX_CANDIDATES, SUSPECT_SCORE

MAX_SERIES = 12
MAX_CONTEXTS = 6  # series that show their last values; the others are summarised
MAX_PAST = 3  # earlier anomalies of a series that people have judged
OTHERS_LAST = 10  # newest values of a series of another device
SCALE = 999
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_ANY_TEXT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def render_section(
    *,
    candidates: tuple[WindowReading, ...],
    views: Sequence[SeriesView],
    start: float,
    end: float,
    count: int,
    local: LocalOpinion,
    others: Sequence[SeriesView] = (),
    zone: tzinfo | None = None,
) -> str:
    """Return the prompt section of a window as canonical JSON, without device name or alias.

    Args:
        candidates: the readings that may be cited, at most 12.
        views: the device's series as the detector knows them.
        start: earliest event time, Unix seconds.
        end: latest event time, Unix seconds.
        count: readings in the window.
        local: the local opinion, given to the model as the reason for the question.
        others: series of other devices, of metrics that the window has.
        zone: the site's, UTC if left out.
    """
    candidates = candidates[:MAX_CANDIDATES]
    by_metric = {view.metric: view for view in views}
    ranked = sorted(candidates, key=lambda reading: -reading.score.value)
    metrics = list(dict.fromkeys([reading.metric for reading in candidates] + sorted(by_metric)))
    words = name_metrics(metrics)
    contexts = set(_suspects(ranked, metrics)[:MAX_CONTEXTS])
    section = {
        "at": clock_words(end, zone),
        "readings": count,
        "span_s": _short(max(0.0, end - start)),
        "local": {
            "status": str(local.status),
            "kind": str(local.kind),
            "score": round(min(local.score, 99.0), 2),
        },
        "series": [
            _series(
                words[metric], by_metric.get(metric), _unit(metric, candidates), context=metric in contexts
            )
            for metric in metrics[:MAX_SERIES]
        ],
        "candidates": [
            _candidate(reading, words, start, by_metric.get(reading.metric)) for reading in candidates
        ],
    }
    if others:
        section["others"] = [_other(view, words.get(view.metric, "value"), end) for view in others]
    return dump(section)


def clock_words(at: float, zone: tzinfo | None) -> str:
    """Return weekday and time of day, such as ``tue 06:40``; empty where the calendar ends."""
    try:
        local = datetime.fromtimestamp(at, zone or UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return f"{_DAYS[local.weekday()]} {local:%H:%M}"


def dump(value: Any, *, ascii_only: bool = True) -> str:
    """Return canonical JSON: ASCII unless any text is allowed, no spaces, no NaN."""
    return (_ENCODER if ascii_only else _ANY_TEXT).encode(value)


def load(window: Window) -> dict[str, Any]:
    """Return the section of ``window`` as JSON values.

    A window that was sealed without one (review was off then) gets one of its candidates alone.
    """
    text = window.section or render_section(
        candidates=window.candidates,
        views=(),
        start=window.start,
        end=window.end,
        count=window.count,
        local=window.local,
    )
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("a prompt section is a JSON object")
    return value


def _suspects(ranked: Iterable[WindowReading], metrics: Sequence[str]) -> list[str]:
    """Return the metrics worth their context: those with a suspicious candidate, else all."""
    suspicious = [reading.metric for reading in ranked if reading.score.value >= SUSPECT_SCORE]
    return list(dict.fromkeys(suspicious)) or list(metrics)


def _unit(metric: str, candidates: Iterable[WindowReading]) -> str | None:
    return next((reading.unit for reading in candidates if reading.metric == metric), None)


def _candidate(
    reading: WindowReading, words: dict[str, str], start: float, view: SeriesView | None
) -> dict[str, Any]:
    score = reading.score
    item: dict[str, Any] = {
        "id": reading.ref,
        "metric": words[reading.metric],
        "value": number(reading.value),
        "after_s": _short(reading.at - start),
        "score": round(min(score.value, 99.0), 2),
    }
    if view is not None and reading.unit is not None and unit_word(reading.unit) != unit_word(view.unit):
        item["unit"] = unit_word(reading.unit) or "another"  # the series has changed its unit
    if score.value >= SUSPECT_SCORE:
        item["kind"] = str(score.kind)
    if score.limit:
        item["limit"] = True
    elif score.expected is not None:
        item["expected"] = _pair(score.expected, digits=5)
    if score.partner is not None:
        mate, mean, given = score.partner.metric, score.partner.mean, score.partner.given
        item["partner"] = {"metric": words.get(mate, "value"), "value": number(given, digits=5)}
        item["mean"] = number(mean, digits=5)
    return item


def _series(word: str, view: SeriesView | None, unit: str | None, *, context: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"metric": word}
    known_unit = unit_word(view.unit if view else unit)
    if known_unit is not None:
        item["unit"] = known_unit
    if view is None:
        return item
    item["n"] = view.n
    for name in ("median", "p01", "p99", "spread"):
        value = getattr(view, name)
        if value is not None and math.isfinite(value):
            item[name] = number(value, digits=5)
    if view.usual is not None:
        item["usual"] = _pair(view.usual, digits=5)
    if view.limits != (None, None):
        item["limits"] = _pair(view.limits, digits=6)
    recent = [value for value in view.recent if math.isfinite(value)]
    if recent:
        item["still"] = _still(recent)
    if context and view.past:
        item["past"] = [
            {
                "outcome": str(one.outcome),
                "kind": str(one.kind),
                "from": number(one.low),
                "to": number(one.high),
            }
            for one in view.past[-MAX_PAST:]
        ]
    if context and recent:
        low, high = min(recent), max(recent)
        item["scale"] = [number(low, digits=5), number(high, digits=5)]
        item["last"] = _scaled(recent, low, high)
    return item


def _other(view: SeriesView, word: str, end: float) -> dict[str, Any]:
    """Return the state of a series of another device at the end of the window."""
    item: dict[str, Any] = {"device": view.device, "metric": word}
    if (unit := unit_word(view.unit)) is not None:
        item["unit"] = unit
    if view.last_value is not None and math.isfinite(view.last_value):
        item["now"] = number(view.last_value)
    if view.last_at is not None:
        item["ago_s"] = _short(max(0.0, end - view.last_at))
    if view.usual is not None:
        item["usual"] = _pair(view.usual, digits=5)
    recent = [value for value in view.recent if math.isfinite(value)][-OTHERS_LAST:]
    if recent:
        low, high = min(recent), max(recent)
        item["scale"] = [number(low, digits=5), number(high, digits=5)]
        item["last"] = _scaled(recent, low, high)
    return item


def _still(recent: Sequence[float]) -> int:
    """Return how many of the newest values are equal."""
    run = 0
    for value in reversed(recent):
        if value != recent[-1]:
            break
        run += 1
    return run


def _scaled(recent: Sequence[float], low: float, high: float) -> list[int]:
    """Return the values as integers: 0 for ``low``, 999 for ``high``."""
    span = high - low
    if not 0 < span < math.inf:
        return [0] * len(recent)
    return [int((value - low) / span * SCALE + 0.5) for value in recent]


def number(value: float, digits: int = 6) -> int | float | None:
    """Return a value as printed: ``digits`` significant ones, whole numbers without a point."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    if not math.isfinite(short):  # rounded up beyond the largest float
        short = value
    return int(short) if short.is_integer() and abs(short) < 1e15 else short  # noqa: PLR2004 - exact below


def _pair(pair: tuple[float | None, float | None], digits: int) -> list[int | float | None]:
    return [None if side is None else number(side, digits) for side in pair]


def _short(seconds: float) -> int | float | None:
    return number(round(seconds, 1), digits=15)
