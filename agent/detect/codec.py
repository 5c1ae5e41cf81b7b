"""The detector's state as bytes: a magic, a JSON head, the arrays of the series."""

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import inf
from typing import Any

from agent.detect.rhythm import Rhythm
from agent.detect.state import OLD_SIZE, SIZE, State
from agent.detect.tracked import Odd
from agent.domain.records import AgentError

MAGIC = b"EDS1"
HEAD = struct.Struct("<4sI")
RHYTHM = 9  # values of a rhythm; a tenth where its device announced an interval
PART = 20  # names or rhythms in one piece of the head

Row = tuple[str, str, str | None, int, State]
Parts = tuple[int, float | None, dict[str, Rhythm], list[Row], list[Odd], dict[str, Any]]


class DetectStateError(AgentError):
    """A saved state that this version cannot take back."""


def encode(
    count: int,
    up_since: float | None,
    rhythms: Mapping[str, Rhythm],
    rows: Callable[[], Iterable[Row]],
    odd: Iterable[Odd] = (),
    allowed: Mapping[str, Any] | None = None,
) -> Iterator[bytes]:
    """Yield the state in small pieces, empty ones while the head is made; floats are exact.

    ``rows`` is asked twice. Neither it nor ``rhythms`` may change meanwhile.
    """
    start: dict[str, Any] = {"size": SIZE, "count": count, "up_since": up_since, "allowed": allowed or {}}
    head = [_json(start)[:-1] + ',"rhythms":{']
    for part in _parts(f"{_json(device)}:{_json(_dump_rhythm(one))}" for device, one in rhythms.items()):
        head.append(part)
        yield b""
    head.append('},"units":[')
    for part in _parts(map(_json, odd)):
        head.append(part)
        yield b""
    head.append('],"series":[')
    for part in _parts(_json(row[:4]) for row in rows()):
        head.append(part)
        yield b""
    head.append("]}")
    texts = [part.encode() for part in head]
    yield HEAD.pack(MAGIC, sum(map(len, texts)))
    yield from texts
    for row in rows():
        yield _little(row[4])


def _parts(items: Iterable[str]) -> Iterator[str]:
    """Yield the items with commas between them, some in one text."""
    items, comma = iter(items), ""
    while part := list(islice(items, PART)):
        yield comma + ",".join(part)
        comma = ","


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _dump_rhythm(r: Rhythm) -> list[float]:
    values = [r.clock, r.at, r.anchor, r.gaps, r.usual_s, r.longest_s, r.silent, r.patience_s, r.known_s]
    return values if r.announced_s is None else [*values, r.announced_s]


def _load_rhythm(values: list[Any]) -> Rhythm:
    rhythm = Rhythm(*(*values, inf)[:RHYTHM])  # one that was saved without ``known_s`` is known well enough
    rhythm.announced_s = values[RHYTHM] if len(values) > RHYTHM else None
    return rhythm


def decode(blob: bytes) -> Parts:
    """Return what :func:`encode` was given.

    Raises:
        DetectStateError: another version, or damaged.
    """
    if blob[:4] != MAGIC:
        raise DetectStateError("saved state is of another version")
    try:
        return _decode(blob)
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise DetectStateError("saved state is damaged") from error


def _decode(blob: bytes) -> Parts:
    _, length = HEAD.unpack_from(blob)
    start = HEAD.size + length
    head = json.loads(blob[HEAD.size : start])
    size = head["size"]
    if size not in (SIZE, OLD_SIZE):
        raise DetectStateError("saved state is of another version")
    names = head["series"]
    if len(blob) != start + len(names) * size * 8:
        raise ValueError("length")
    later = array("d", bytes(8 * (SIZE - size)))
    rhythms = {device: _load_rhythm(values) for device, values in head["rhythms"].items()}
    rows: list[Row] = []
    for place, (device, metric, unit, seen) in enumerate(names):
        begin = start + place * size * 8
        rows.append((device, metric, unit, seen, _native(blob[begin : begin + size * 8]) + later))
    odd: list[Odd] = [
        (
            device,
            metric,
            was,
            pending,
            None if said is None else (said[0], said[1]),
            word[0] if word else None,
        )
        for device, metric, was, pending, said, *word in head.get("units", ())  # older states end before
    ]
    return head["count"], head["up_since"], rhythms, rows, odd, head.get("allowed", {})


def _little(state: State) -> bytes:
    return state.tobytes() if sys.byteorder == "little" else _swapped(state).tobytes()


def _native(data: bytes) -> State:
    state = array("d", data)
    return state if sys.byteorder == "little" else _swapped(state)


def _swapped(state: State) -> State:
    copy = state[:]
    copy.byteswap()
    return copy
