"""The bytes of a verdict, and the published JSON Schemas."""

import json
import math
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from agent.domain.enums import Cause, FindingEvent, FindingState, Reason, Severity, Source, Status, Trigger
from agent.domain.kinds import Kind
from agent.domain.records import Learning, Verdict

SCHEMA = 1
_WORDS: dict[str, type[StrEnum]] = {
    words.__name__: words
    for words in (Cause, FindingEvent, FindingState, Kind, Reason, Severity, Source, Status, Trigger)
}


def published_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema ``verdict``, ``event``, ``incident`` or ``status``.

    Where a file of ``schemas`` has the name of an enumeration in ``$comment``, its words are filled in.
    """
    text = (Path(__file__).parent / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text, object_hook=_fill_words)
    return schema


def _fill_words(node: dict[str, Any]) -> dict[str, Any]:
    words = node.get("$comment")
    return {"enum": list(_WORDS[words])} if isinstance(words, str) else node


def iso(at: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC with milliseconds, clamped to the years of a calendar."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0 if at < 0 else 253402300799, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict as JSON values, in the order of the contract."""
    return {
        "schema": SCHEMA,
        "id": verdict.id,
        "agent": verdict.agent,
        "device": verdict.device,
        "status": verdict.status,
        "severity": verdict.severity,
        "score": verdict.score,
        "confidence": verdict.confidence,
        "kind": verdict.kind,
        "summary": verdict.summary,
        "advice": verdict.advice,
        "evidence": [
            {
                "reading": item.reading,
                "metric": item.metric,
                "at": iso(item.at),
                "value": item.value,
                "expected": _finite_pair(item.expected),
            }
            for item in verdict.evidence
        ],
        "source": verdict.source,
        "reason": verdict.reason,
        "grounded": verdict.grounded,
        "model": verdict.model,
        "prompt_version": verdict.prompt_version,
        "window": {
            "from": iso(verdict.start),
            "to": iso(verdict.end),
            "readings": verdict.readings,
            "trigger": verdict.trigger,
        },
        "local": {
            "status": verdict.local.status,
            "score": verdict.local.score,
            "kind": verdict.local.kind,
        },
        "tokens": None
        if verdict.tokens is None
        else {"input": verdict.tokens.input, "output": verdict.tokens.output},
        "cost_usd": verdict.cost_usd,
        "latency_ms": verdict.latency_ms,
        "finding_id": verdict.finding_id,
        "late": verdict.late,
        "trace_id": verdict.trace_id,
        "created_at": iso(verdict.created),
        "request_id": verdict.request_id,
        "reason_detail": verdict.reason_detail,
        "learning": _learning(verdict.local.learning),
        "incident_id": verdict.incident_id,
    }


def _learning(learning: Learning | None) -> dict[str, Any] | None:
    if learning is None:
        return None
    progress = learning.progress
    return {
        "metric": learning.metric,
        "seen": progress.seen,
        "needed": progress.needed,
        "until": None if progress.until is None else iso(progress.until),
    }


def to_bytes(verdict: Verdict) -> bytes:
    """Return the verdict's fixed bytes: UTF-8 JSON without spaces."""
    return encode(to_json(verdict))


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def encode(value: dict[str, Any]) -> bytes:
    """Return the bytes of a JSON object; a number that is not finite raises ValueError."""
    return _ENCODER.encode(value).encode()


def _finite_pair(pair: tuple[float, float] | None) -> list[float | None] | None:
    """Return a range for JSON; a side without a limit is null."""
    return None if pair is None else [side if math.isfinite(side) else None for side in pair]
