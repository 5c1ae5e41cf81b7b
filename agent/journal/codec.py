"""Encoding of rows for SQLite: windows as JSON, many rows per statement."""

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

from agent.domain.records import (
    Kind,
    Learning,
    LocalOpinion,
    Partner,
    Progress,
    Score,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)

Properties = tuple[tuple[str, str], ...]


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def encode_window(window: Window) -> str:
    """Write a window as JSON."""
    local = window.local
    return _ENCODER.encode(
        {
            "id": window.id,
            "device": window.device,
            "trigger": window.trigger,
            "lo": window.lo,
            "hi": window.hi,
            "count": window.count,
            "start": window.start,
            "end": window.end,
            "opened": window.opened,
            "sealed": window.sealed,
            "local": {
                "status": local.status,
                "score": local.score,
                "kind": local.kind,
                "severity": local.severity,
                "evidence": [_encode_reading(reading) for reading in local.evidence],
                "summary": local.summary,
                "learning": None if local.learning is None else _encode_learning(local.learning),
                "unchecked": local.unchecked,
            },
            "candidates": [_encode_reading(reading) for reading in window.candidates],
            "section": window.section,
            "traceparents": window.traceparents,
            **({"back": window.back} if window.back else {}),
        }
    )


def decode_window(text: str) -> Window:
    """Read a window that :func:`encode_window` wrote."""
    data: dict[str, Any] = json.loads(text)
    local = data.pop("local")
    return Window(
        **{
            **data,
            "trigger": Trigger(data["trigger"]),
            "candidates": tuple(_decode_reading(item) for item in data["candidates"]),
            "traceparents": tuple(data["traceparents"]),
            "back": tuple(data.get("back", ())),
            "local": LocalOpinion(
                status=Status(local["status"]),
                score=local["score"],
                kind=Kind(local["kind"]),
                severity=Severity(local["severity"]),
                evidence=tuple(_decode_reading(item) for item in local["evidence"]),
                summary=local["summary"],
                learning=_decode_learning(local.get("learning")),  # older windows know nothing of it
                unchecked=local.get("unchecked", False),
            ),
        }
    )


def encode_properties(properties: Properties) -> str:
    """Write user properties as JSON."""
    return _ENCODER.encode(properties)


def decode_properties(text: str) -> Properties:
    """Read user properties that :func:`encode_properties` wrote."""
    return tuple((str(key), str(value)) for key, value in json.loads(text))


def _encode_learning(learning: Learning) -> list[object]:
    return [learning.metric, *learning.progress]


def _decode_learning(item: list[Any] | None) -> Learning | None:
    return None if item is None else Learning(item[0], Progress(*item[1:]))


def _encode_reading(reading: WindowReading) -> list[object]:
    score = reading.score
    return [
        reading.ref,
        reading.metric,
        reading.at,
        reading.value,
        reading.unit,
        [score.value, score.kind, score.expected, score.limit, *_encode_more(score)],
        *([reading.word] if reading.word else ()),
    ]


def _encode_more(score: Score) -> list[object]:
    """Return what few scores have; a list as short as it can be."""
    if score.partner is not None:
        one = score.partner
        return [score.said, [one.metric, one.given, one.unit, one.mean, one.since]]
    return [score.said] if score.said else []


def _decode_reading(item: list[Any]) -> WindowReading:
    ref, metric, at, value, unit, (score, kind, expected, limit, *more), *word = item
    said, partner = (*more, None, None)[:2]
    usual = None if expected is None else (expected[0], expected[1])
    return WindowReading(
        ref=ref,
        metric=metric,
        at=at,
        value=value,
        unit=unit,
        score=Score(
            score,
            Kind(kind),
            usual,
            limit,
            said=(said[0], said[1]) if said else None,
            partner=Partner(*partner) if partner else None,
        ),
        word=word[0] if word else None,
    )


_ROWS = (64, 16, 4, 1)


class Insertion:
    """An INSERT of up to 64 rows at a time: each step of SQLite gives the interpreter lock away."""

    def __init__(self, head: str, *, columns: int) -> None:
        values = f"({','.join('?' * columns)})"
        self._statements = [(rows, f"{head} {','.join([values] * rows)}") for rows in _ROWS]

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert the rows, in order."""
        start, count = 0, len(rows)
        for size, statement in self._statements:
            while count - start >= size:
                connection.execute(statement, list(chain.from_iterable(rows[start : start + size])))
                start += size
