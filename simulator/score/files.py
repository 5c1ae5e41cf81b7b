"""Reads labels and what was recorded of an agent: JSON lines.

A line of a recording is a verdict, an event, or a message as ``edge-sim record`` writes it (``topic`` and
base64 ``payload``); messages that are neither verdict nor event are passed over.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simulator.faults import FaultKind, Label
from simulator.score.verdicts import AgentVerdicts

MAX_LINE = 4 * 1024 * 1024
_TOPICS = frozenset({"verdicts", "events"})


class ScoreFileError(Exception):
    """A file that cannot be scored; one line: file, line, what is wrong and what to give."""


def read_labels(path: Path) -> list[Label]:
    """Return the labels that ``edge-sim run --labels`` wrote.

    Raises:
        ScoreFileError: unreadable, or a line is not a label.
    """
    labels = []
    for place, body in _objects(path):
        try:
            if body.get("truth") not in (None, "fault", "normal"):
                raise ValueError("truth is fault or normal")  # noqa: TRY301 - reported with the others
            one = Label(
                device=str(body["device"]),
                metric=None if body["metric"] is None else str(body["metric"]),
                kind=FaultKind(body["kind"]),
                start=float(body["from"]),
                end=float(body["to"]),
                cause=None if body.get("cause") is None else str(body["cause"]),
                truth=body.get("truth"),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ScoreFileError(
                f"{path}:{place}: is not a label ({type(error).__name__}: {str(error)[:80]}); "
                "give the file that `edge-sim run --labels` wrote"
            ) from None
        labels.append(one)
    return labels


def read_runs(
    path: Path, *, since: float = float("-inf"), until: float = float("inf")
) -> dict[str, AgentVerdicts]:
    """Return the verdicts on windows that ended from ``since`` to ``until`` (Unix seconds), by base topic.

    Lines without a topic belong to the base topic ``""``.

    Raises:
        ScoreFileError: unreadable, or it holds no verdict at all.
    """
    runs: dict[str, AgentVerdicts] = {}
    for place, body in _objects(path):
        message = _opened(body, path, place)
        if message is None:
            continue
        base = str(body.get("topic", "")).rsplit("/", 2)[0]
        try:
            runs.setdefault(base, AgentVerdicts(since, until)).take(message)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ScoreFileError(
                f"{path}:{place}: is not a verdict ({type(error).__name__}: {str(error)[:80]}); "
                "record with `edge-sim record 'edge-agent/+/verdicts/+' 'edge-agent/+/events/+'`"
            ) from None
    if not runs:
        raise ScoreFileError(f"{path}: holds no verdict; record with `edge-sim record 'edge-agent/#'`")
    return runs


def is_verdict_topic(topic: str) -> bool:
    """Return whether a topic carries verdicts or events."""
    levels = topic.split("/")
    return len(levels) > 1 and levels[-2] in _TOPICS


def _opened(body: Mapping[str, Any], path: Path, place: int) -> Mapping[str, Any] | None:
    """Return the verdict or event of a line; None when it is another message."""
    if "payload" not in body:
        return body if "window" in body or "event_type" in body else None
    if not is_verdict_topic(str(body.get("topic", ""))):
        return None
    try:
        inner = json.loads(base64.b64decode(str(body["payload"]), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise ScoreFileError(f"{path}:{place}: payload is not base64 of JSON; record it again") from None
    return inner if isinstance(inner, dict) else None


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as lines:
            for place, line in enumerate(iter(lambda: lines.readline(MAX_LINE + 1), ""), 1):
                if not line.strip():
                    continue
                try:
                    body = json.loads(line) if len(line) <= MAX_LINE else None
                except (ValueError, RecursionError):
                    body = None
                if not isinstance(body, dict):
                    raise ScoreFileError(f"{path}:{place}: is not a JSON object; give JSON lines")
                yield place, body
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise ScoreFileError(f"{path}: cannot be read: {reason}") from None
