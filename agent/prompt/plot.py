"""Plots of windows for models that see. Pure.

A PNG of numbers alone, and a function of a window's section. Imported only where plots are asked for.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Any

from agent.domain.model_calls import Plots
from agent.domain.records import Batch
from agent.prompt.section import SCALE, load

WIDTH, HEIGHT = 320, 120
MARGIN = 8  # pixels around the drawing
MARK = 3  # pixels from the middle of a marked reading to its edge
DASH = 6
MAX_PLOTS = 4  # of a call: those windows with the highest scores
MAX_BYTES = 16_384  # of a plot: two bits per pixel are fewer, even where nothing can be compressed

_PAPER, _BAND, _INK, _RED = range(4)
_PALETTE = bytes((255, 255, 255, 205, 205, 205, 20, 20, 20, 220, 20, 20))

Section = dict[str, Any]
Pair = Sequence[float | None]


def illustrate(batch: Batch, tokens_each: int) -> Plots | None:
    """Return the plots of a call's windows, None where none can be drawn; audits get none.

    ``tokens_each`` is an upper guess of the tokens that a provider counts for one image.
    """
    worst_first = sorted(
        (place for place, window in enumerate(batch.windows) if window.id not in batch.audit),
        key=lambda place: -batch.windows[place].local.score,
    )
    images: dict[int, bytes] = {}
    words = []
    for place in sorted(worst_first[:MAX_PLOTS]):
        section = load(batch.windows[place])
        series = _series(section)
        image = None if series is None else draw(section)
        if series is not None and image is not None:
            images[place + 1] = image
            words.append(f"w {place + 1} {series['metric']}")
    if not images:
        return None
    return Plots(_legend(words), images, tokens_each)


def _legend(words: list[str]) -> str:
    return (
        f"Plots of DATA, in this order: {', '.join(words)}. Line: `last`, the newest at the right; grey: the"
        " usual range; red squares: candidates with a kind; dashes: limits."
    )  # prose: ok


def draw(section: Section) -> bytes | None:
    """Return a PNG of the series with the worst candidate, None where the section has no values of one."""
    series = _series(section)
    curve = None if series is None else _curve(series, section["candidates"])
    if curve is None:
        return None
    known = [*curve.values, *curve.marks.values(), *(side for side in curve.usual if side is not None)]
    bottom, top = min(known), max(known)
    if not math.isfinite(top - bottom):
        return None

    def height(value: float) -> int:
        share = (value - bottom) / (top - bottom) if top > bottom else 0.5
        return HEIGHT - 1 - MARGIN - round(share * (HEIGHT - 1 - 2 * MARGIN))

    canvas = bytearray(WIDTH * HEIGHT)
    low, high = curve.usual
    if low is not None and high is not None:
        for y in range(height(high), height(low) + 1):
            canvas[y * WIDTH : (y + 1) * WIDTH] = bytes((_BAND,)) * WIDTH
    for limit in curve.limits:
        if limit is not None and bottom <= limit <= top:
            _dash(canvas, height(limit))
    points = [(_across(place, len(curve.values)), height(value)) for place, value in enumerate(curve.values)]
    for start, end in zip(points, points[1:] or points, strict=False):
        for x, y in _line(start, end):
            _dot(canvas, x, y, 1, _INK)
    for place, value in curve.marks.items():
        _dot(canvas, _across(place, len(curve.values)), height(value), MARK, _RED)
    return _png(canvas)


@dataclass(frozen=True, slots=True)
class _Curve:
    """The drawn values, in the unit of the series."""

    values: list[float]
    marks: dict[int, float]  # place among the values -> the candidate's own value
    usual: Pair = (None, None)
    limits: Pair = (None, None)


def _series(section: Section) -> Section | None:
    """Return the series that is drawn: that of the highest score which has last values."""
    by_metric = {series["metric"]: series for series in section.get("series", ()) if series.get("last")}
    ranked = sorted(section.get("candidates", ()), key=lambda one: -one["score"])
    return next((by_metric[one["metric"]] for one in ranked if one["metric"] in by_metric), None)


def _curve(series: Section, candidates: Sequence[Section]) -> _Curve | None:
    """Return the last values, and among them the places of the suspected candidates."""
    low, high = series["scale"]
    last: list[int] = series["last"]
    if low is None or high is None:
        return None
    if not math.isfinite(high - low):
        return None
    if low == high and any(last):  # the section has too few digits for them: the form alone
        return _Curve([float(value) for value in last], {})
    values = [low + value / SCALE * (high - low) for value in last]
    marks: dict[int, float] = {}
    for one in candidates:
        own_scale = "unit" in one  # which is then not that of its series
        if one["metric"] != series["metric"] or "kind" not in one or one["value"] is None or own_scale:
            continue
        free = [place for place in range(len(values)) if place not in marks]
        nearest = min(free, key=lambda place: (abs(values[place] - one["value"]), -place), default=None)
        if nearest is not None and abs(values[nearest] - one["value"]) <= _coarse(low, high):
            marks[nearest] = one["value"]
    return _Curve(values, marks, series.get("usual", (None, None)), series.get("limits", (None, None)))


def _coarse(low: float, high: float) -> float:
    """Return how far a printed last value may be from the value itself."""
    return (high - low) / SCALE + 1e-4 * max(abs(low), abs(high))


def _across(place: int, count: int) -> int:
    return MARGIN + round((place + 0.5) * (WIDTH - 1 - 2 * MARGIN) / count)


def _line(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    (x, y), (to_x, to_y) = start, end
    steps = max(abs(to_x - x), abs(to_y - y), 1)
    for step in range(steps + 1):
        yield x + round((to_x - x) * step / steps), y + round((to_y - y) * step / steps)


def _dash(canvas: bytearray, y: int) -> None:
    for x in range(0, WIDTH - DASH, 2 * DASH):
        canvas[y * WIDTH + x : y * WIDTH + x + DASH] = bytes((_INK,)) * DASH


def _dot(canvas: bytearray, x: int, y: int, size: int, colour: int) -> None:
    """Fill the square around a point that is farther than ``size`` from the edges."""
    for row in range(y - size, y + size + 1):
        start = row * WIDTH + x - size
        canvas[start : start + 2 * size + 1] = bytes((colour,)) * (2 * size + 1)


def _png(canvas: bytearray) -> bytes:
    """Return a PNG with two bits per pixel (PNG specification, third edition, sections 5 and 11)."""
    first, second, third, fourth = (canvas[place::4] for place in range(4))
    packed = bytes(
        a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(first, second, third, fourth, strict=True)
    )
    row = WIDTH // 4
    filtered = b"".join(b"\0" + packed[place : place + row] for place in range(0, len(packed), row))
    head = pack(">IIBBBBB", WIDTH, HEIGHT, 2, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", head), (b"PLTE", _PALETTE), (b"IDAT", zlib.compress(filtered, 9)), (b"IEND", b"")
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
