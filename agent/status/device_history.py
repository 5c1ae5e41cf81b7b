"""The last hours of one device, from the journal, for the page."""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from agent.journal import JournalError, Reader
from agent.verdict.encode import iso

HOURS = 6
MAX_ROWS = 50_000  # messages of all devices that are looked through, newest first
MAX_SERIES = 8
POINTS = 120
MAX_FINDINGS = 20
MAX_ID = 1024

Point = tuple[float, float, float]  # time, lowest and highest value


def read_device(state_dir: Path, query: str, now: float | None = None) -> bytes:
    """Return findings and thinned readings of the device in a query, as JSON; of an unknown one, none."""
    device = _named(query)
    end = time.time() if now is None else now
    begin = end - HOURS * 3600.0
    answer: dict[str, Any] = {
        "id": device, "from": iso(begin), "to": iso(end), "read_from": None, "series": [], "findings": []
    }  # fmt: skip
    try:
        with Reader.open(state_dir) as reader:
            since, readings = reader.last_readings(device, after=begin, before=end, max_rows=MAX_ROWS)
            ended = reader.findings_of(device, limit=MAX_FINDINGS)
    except JournalError:
        ended, readings, since = [], {}, None
    since = min((at for values in readings.values() for at, _ in values), default=since)
    start = begin if since is None else min(max(since, begin), end - 1.0)
    answer["read_from"] = None if since is None else iso(start)
    answer["series"] = [
        {"name": metric, "points": thin(values, start, end)} for metric, values in _fullest(readings)
    ]
    answer["findings"] = [
        {
            "id": one.finding.id,
            "kind": one.finding.kind,
            "severity": one.finding.severity,
            "state": one.finding.state_at(end),
            "opened_at": iso(one.finding.opened),
            "ended_at": iso(one.ended) if one.ended is not None else None,
        }
        for one in ended
    ]
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _named(query: str) -> str:
    try:
        return parse_qs(query, errors="replace", max_num_fields=8).get("id", [""])[0][:MAX_ID]
    except ValueError:
        return ""


def _fullest(readings: dict[str, list[tuple[float, float]]]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return the series with most readings, by name."""
    return sorted(sorted(readings.items(), key=lambda item: -len(item[1]))[:MAX_SERIES])


def thin(values: Iterable[tuple[float, float]], begin: float, end: float) -> Sequence[Point]:
    """Return the lowest and the highest value in each of :data:`POINTS` spans, so that no peak is lost."""
    width = (end - begin) / POINTS
    spans: dict[int, tuple[float, float]] = {}
    for at, value in values:
        place = min(POINTS - 1, int((at - begin) / width))
        low, high = spans.get(place, (value, value))
        spans[place] = (min(low, value), max(high, value))
    return [
        (round(begin + (place + 0.5) * width, 3), low, high) for place, (low, high) in sorted(spans.items())
    ]
