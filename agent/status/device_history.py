"""Chart and findings of one device, from the journal, for the page."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from agent.journal import JournalError
from agent.journal.reader import FindingRecord, Reader
from agent.journal.samples import AFTER_S, BEFORE_S, USUAL_S, Sample
from agent.verdict.encode import iso

HOURS = (6, 24, 7 * 24, 30 * 24)
DEFAULT_HOURS = 24
MAX_ROWS = 50_000  # messages of all devices that are looked through, newest first
MAX_SERIES = 8
POINTS = 144
MAX_FINDINGS = 20
MAX_ID = 1024
LONG_S = 7 * 86_400.0  # a finding that lasts longer is shown around its opening

Point = tuple[float, float, float]  # time, lowest and highest value


def read_device(state_dir: Path, query: str, now: float | None = None) -> bytes:
    """Return findings and thinned readings of a device as JSON; of an unknown one, none.

    The query has a device (``id``) and ``hours`` up to now, or a ``finding`` with its device and time.
    """
    device, hours, wanted = _read(query)
    end = time.time() if now is None else now
    begin = end - hours * 3600.0
    series: list[dict[str, Any]] = []
    ended: list[FindingRecord] = []
    try:
        with Reader.open(state_dir) as reader:
            one = reader.finding(wanted) if wanted else None
            if one is not None:
                device = one.finding.device
                begin, end = _span(one, end)
            ended = reader.findings_of(device, limit=MAX_FINDINGS)
            sampled = reader.samples_of(device, after=begin - USUAL_S, before=end)
            readings = reader.last_readings(device, after=begin, before=end, max_rows=MAX_ROWS)
            cited = [] if one is None else [seen.metric for seen in one.finding.seen]
            ranges = _ranges(sampled, readings, begin)
            begin = min([at for points in ranges.values() for at, _, _ in points], default=begin)
            series = _series(ranges, sampled, cited, begin, end)
    except JournalError:
        ended = []
    answer = {
        "id": device,
        "hours": hours,
        "from": iso(begin),
        "to": iso(end),
        "series": series,
        "findings": [
            {
                "id": one.finding.id,
                "kind": one.finding.kind,
                "severity": one.finding.severity,
                "state": one.finding.state_at(end),
                "opened_at": iso(one.finding.opened),
                "ended_at": iso(one.ended) if one.ended is not None else None,
            }
            for one in ended
        ],
    }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _read(query: str) -> tuple[str, int, str]:
    try:
        given = parse_qs(query, errors="replace", max_num_fields=8)
    except ValueError:
        given = {}
    device, hours, finding = (given.get(name, [""])[0][:MAX_ID] for name in ("id", "hours", "finding"))
    return device, next((one for one in HOURS if str(one) == hours), DEFAULT_HOURS), finding


def _span(one: FindingRecord, now: float) -> tuple[float, float]:
    """Return the time that the chart of a finding shows: from before its opening to after its end."""
    opened = one.finding.opened
    end = min(now, (now if one.ended is None else one.ended) + AFTER_S)
    return opened - BEFORE_S, end if end - opened <= LONG_S else opened + AFTER_S


def _ranges(
    sampled: dict[str, list[Sample]], readings: dict[str, list[tuple[float, float]]], begin: float
) -> dict[str, list[Point]]:
    """Return the points of each metric from ``begin`` on: samples, and readings that are none yet."""
    ranges: dict[str, list[Point]] = {}
    for metric, samples in sampled.items():
        for at, low, high, _usual in samples:
            if low is not None and high is not None and at >= begin:
                ranges.setdefault(metric, []).append((at, low, high))
    for metric, values in readings.items():
        ranges.setdefault(metric, []).extend((at, value, value) for at, value in values)
    return ranges


def _series(
    ranges: dict[str, list[Point]],
    sampled: dict[str, list[Sample]],
    cited: Sequence[str],
    begin: float,
    end: float,
) -> list[dict[str, Any]]:
    """Return the series of a chart: those that a finding cites first, then the fullest by name."""
    named = [metric for metric in dict.fromkeys(cited) if metric in ranges]
    others = sorted((one for one in ranges if one not in named), key=lambda one: -len(ranges[one]))
    return [
        {
            "name": metric,
            "points": thin(ranges[metric], begin, end),
            "usual": _usual(sampled.get(metric, ()), begin, end),
        }
        for metric in (*named, *sorted(others[: MAX_SERIES - len(named)]))
    ]


def _usual(samples: Sequence[Sample], begin: float, end: float) -> Sequence[Point]:
    """Return the last usual range of each of :data:`POINTS` spans; each holds until the next."""
    width = (end - begin) / POINTS
    spans = {
        int((one.at - begin) // width): (round(one.at), _short(one.usual[0]), _short(one.usual[1]))
        for one in samples
        if one.usual is not None
    }
    return list(spans.values())


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def thin(values: Iterable[Point], begin: float, end: float) -> Sequence[Point]:
    """Return the lowest and the highest value in each of :data:`POINTS` spans, so that no peak is lost."""
    width = (end - begin) / POINTS
    spans: dict[int, tuple[float, float]] = {}
    for at, lowest, highest in values:
        place = max(0, min(POINTS - 1, int((at - begin) / width)))
        low, high = spans.get(place, (lowest, highest))
        spans[place] = (min(low, lowest), max(high, highest))
    return [
        (round(begin + (place + 0.5) * width), _short(low), _short(high))
        for place, (low, high) in sorted(spans.items())
    ]
