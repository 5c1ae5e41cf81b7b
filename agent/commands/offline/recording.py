"""Recordings of ``edge-sim record``: a JSON object a line, payloads in base64.

The offset of a line is in seconds since the recording began. When that was is the source's own knowledge: it
follows from the times in the payloads.
"""

import binascii
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, BinaryIO

from agent.commands.offline.stream import NO, Stream, Unread
from agent.commands.printing import UnknownError
from agent.decode.family import TimeFrom
from agent.decode.registry import Registry
from agent.domain.records import Arrival, DecodeError

MAX_LINE = 4 * 1024 * 1024  # bytes, as in the simulator
MAX_OFFSET = 1e10  # seconds: three centuries
MAX_TOPIC = 65_535
MAX_TOPICS = 100_000  # whose first message is known
UNTIMED = 1_704_067_200.0  # 2024-01-01, a Monday: where no payload gives a time
GAP_S = 1.0  # between recordings without times
SEARCHED, ENOUGH = 20_000, 200  # messages that are searched for a time, and times that are enough
_FAR = 32_503_680_000.0  # a receipt in the year 3000, that no time in a payload is after


def open_recording(path: Path, registry: Registry, *, start: float | None) -> Stream:
    """Return the stream of a recording that began at ``start``, or where the times in its payloads put it."""
    found = _find_start(path, registry) if start is None else start
    first = UNTIMED if found is None else found
    return Stream(
        label=path.name,
        kind="recording",
        first=first,
        timed=found is not None,
        play=partial(_play, path, first),
    )


def span_s(path: Path) -> float:
    """Return the offset of the last message."""
    return max((offset for offset, _ in _messages(path, 0.0, Unread())), default=0.0)


def _play(path: Path, start: float, unread: Unread) -> Iterator[Arrival]:
    """Yield the messages; a retained one counts as a replay only if it is the first of its topic.

    The recorder keeps the publisher's flag, but an agent receives a message that is published while it is
    subscribed as a live one.
    """
    seen: set[str] = set()
    for _offset, arrival in _messages(path, start, unread):
        if arrival.retain and arrival.topic in seen:
            yield replace(arrival, retain=False)
            continue
        if len(seen) < MAX_TOPICS:
            seen.add(arrival.topic)
        yield arrival


def _messages(path: Path, start: float, unread: Unread) -> Iterator[tuple[float, Arrival]]:
    last = 0.0
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            if not line.strip():
                continue
            try:
                offset, arrival = _parse(line, start)
            except ValueError as error:
                unread.note(str(error), f"{path.name}: line {number}")
                continue
            if offset < last:
                raise UnknownError(
                    f"{path}: line {number} is earlier than the one before; give each recording as a file of"
                    " its own"
                )
            last = offset
            yield offset, arrival


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; one that is too long comes cut, so that it is not JSON."""
    while line := file.readline(MAX_LINE):
        whole = line.endswith(b"\n")
        yield line if whole or len(line) < MAX_LINE else b"too long"
        while not whole and (rest := file.readline(MAX_LINE)):
            whole = rest.endswith(b"\n")


def _parse(line: bytes, start: float) -> tuple[float, Arrival]:
    """Return offset and message of a line.

    Raises:
        ValueError: the reason, from a closed list.
    """
    try:
        body = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(body, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for the caller
    offset, topic, payload = body.get("offset"), body.get("topic"), body.get("payload")
    if isinstance(offset, bool) or not isinstance(offset, int | float) or not 0 <= offset < MAX_OFFSET:
        raise ValueError("no offset")
    if not isinstance(topic, str) or not _is_topic(topic):
        raise ValueError("no topic")
    if not isinstance(payload, str):
        raise ValueError("no payload")  # noqa: TRY004 - as above
    try:
        raw = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        raise ValueError("payload is not base64") from None
    at = start + offset
    retain = body.get("retain") is True
    return float(offset), Arrival(0, 0, 0, NO, retain, topic, raw, at, at, _properties(body))


def _is_topic(topic: str) -> bool:
    if not topic or len(topic) > MAX_TOPIC:
        return False
    return not any(sign in topic for sign in "+#\0")


def _properties(body: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    properties = body.get("properties")
    user = properties.get("user") if isinstance(properties, dict) else None
    if not isinstance(user, list):
        return ()
    return tuple(
        (pair[0], pair[1])
        for pair in user
        if isinstance(pair, list) and [type(part) for part in pair] == [str, str]
    )


def _find_start(path: Path, registry: Registry) -> float | None:
    """Return when the recording began, as most of the first times in its payloads have it."""
    found: list[float] = []
    for offset, arrival in islice(_messages(path, 0.0, Unread()), SEARCHED):
        if arrival.retain:
            continue
        try:
            decoded = registry.decode(arrival.topic, arrival.payload, _FAR, arrival.properties)
        except DecodeError:
            continue
        if decoded.readings and decoded.time_from is not TimeFrom.RECEIPT:
            found.append(max(reading.at for reading in decoded.readings) - offset)
            if len(found) >= ENOUGH:
                break
    return median(found) if found else None
