"""Recordings of ``edge-sim record``: a JSON object a line, payloads in base64.

The offset of a line is in seconds since the recording began. When that was is the source's own knowledge: it
follows from the times in the payloads.
"""

import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
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
SEARCHED, ENOUGH = 20_000, 2000  # messages that are searched for a time, and times that are enough
MAX_MEASURED = 1_000_000  # times that decide on the pace
FAST = 1.5  # a pace from which on a recording is one of a simulation
PARTS = 10  # of a recording
MIN_SPAN_S = 0.1  # between two messages that show a pace
LAG_S = 10.0  # delay of a simulation
_FAR = 32_503_680_000.0  # a receipt in the year 3000, that no time in a payload is after


def open_recording(path: Path, registry: Registry, *, start: float | None) -> Stream:
    """Return the stream of a recording that began at ``start``, or where the times in its payloads put it."""
    found, pace = _measure(path, registry)
    found = found if start is None else start
    first = UNTIMED if found is None else found
    return Stream(
        label=path.name,
        kind="recording",
        first=first,
        timed=found is not None,
        pace=pace,
        play=partial(_play, path, registry, first, pace),
    )


def span_s(path: Path) -> float:
    """Return the offset of the last message."""
    return max((offset for offset, _ in _messages(path, 0.0, Unread())), default=0.0)


def _play(path: Path, registry: Registry, start: float, pace: float, unread: Unread) -> Iterator[Arrival]:
    """Yield the messages; a retained one counts as a replay only if it is the first of its topic.

    The recorder keeps the publisher's flag, but an agent receives a message that is published while it is
    subscribed as a live one.
    """
    seen: set[str] = set()
    messages = _messages(path, start, unread)
    arrivals: Iterable[Arrival] = (one for _, one in messages)
    if pace != 1.0:
        arrivals = _in_its_own_time(messages, registry, start, pace)
    for arrival in arrivals:
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


@lru_cache(maxsize=4096)
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


Timed = tuple[str, float, float]  # topic, offset, time in the payload


def _measure(path: Path, registry: Registry) -> tuple[float | None, float]:
    """Return when the recording began, as most times in its payloads have it, and its pace.

    A simulated week may be recorded within minutes: then its clock is that of the payloads.
    """
    found = list(islice(_timed(islice(_messages(path, 0.0, Unread()), SEARCHED), registry), ENOUGH))
    pace = _pace(found)
    if pace >= FAST:  # or it begins with a backlog: all of it decides
        found = list(islice(_timed(_messages(path, 0.0, Unread()), registry), MAX_MEASURED))
        pace = _pace(found)
    pace = pace if pace >= FAST else 1.0
    return (median(at - offset * pace for _, offset, at in found) if found else None), pace


def _timed(messages: Iterable[tuple[float, Arrival]], registry: Registry) -> Iterator[Timed]:
    for offset, arrival in messages:
        at = None if arrival.retain else _time_in(arrival, registry)
        if at is not None:
            yield arrival.topic, offset, at


def _time_in(arrival: Arrival, registry: Registry) -> float | None:
    """Return the newest time in a payload, None where it has none."""
    try:
        decoded = registry.decode(arrival.topic, arrival.payload, _FAR, arrival.properties)
    except DecodeError:
        return None
    if not decoded.readings or decoded.time_from is TimeFrom.RECEIPT:
        return None
    return max(reading.at for reading in decoded.readings)


def _pace(found: Sequence[Timed]) -> float:
    """Return how fast the times of most topics pass, in seconds per second; 1.0 where that is not known.

    In each part of the recording by itself: a backlog fills only one of them.
    """
    if not found:
        return 1.0
    part = (found[-1][1] - found[0][1]) / PARTS or 1.0
    first: dict[tuple[str, int], Timed] = {}
    last: dict[tuple[str, int], Timed] = {}
    for one in found:
        key = one[0], int((one[1] - found[0][1]) / part)
        first.setdefault(key, one)
        last[key] = one
    spans = [(last[key][1] - one[1], last[key][2] - one[2]) for key, one in first.items()]
    enough = max(0.5 * max(waited for waited, _ in spans), MIN_SPAN_S)
    return median([passed / waited for waited, passed in spans if waited >= enough] or [1.0])


def _in_its_own_time(
    messages: Iterable[tuple[float, Arrival]], registry: Registry, start: float, pace: float
) -> Iterator[Arrival]:
    """Yield the messages of a fast recording at the times in their payloads, which are in order."""
    clock = start
    for offset, arrival in messages:
        expected = start + offset * pace
        at = _time_in(arrival, registry)
        near = at is not None and abs(at - expected) <= LAG_S * pace
        clock = max(clock, at if at is not None and near else expected - LAG_S * pace)
        yield replace(arrival, received=clock, mono=clock)
