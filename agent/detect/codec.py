"""The detector's state as bytes: a magic, a JSON head, the arrays of the series."""

import json
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from agent.detect import former
from agent.detect.expect import Expect
from agent.detect.pauses import Pause, Pauses
from agent.detect.rhythm import Rhythm
from agent.detect.settings import DetectSettings
from agent.detect.state import SIZE, State
from agent.detect.tracked import Odd
from agent.detect.week import LONG
from agent.domain.records import AgentError

MAGIC = b"EDS1"
HEAD = struct.Struct("<4sI")
RHYTHM = (
    "clock", "at", "anchor", "gaps", "usual_s", "longest_s", "silent", "patience_s", "known_s",
    "second_s", "streak", "announced_s", "short", "top",
)  # fmt: skip
OLD_RHYTHM = 9  # of these before a rhythm knew pauses
REGULAR_RHYTHM = 12  # of these before it knew devices that send on events ...
REGULAR_LENGTHS = (13, 16)  # ... and of such a saved one, without and with pauses
OLD_LONGEST = 4.0  # times the usual gap: what is kept of its longest gap, which may have been a night
NAMED = 4  # of a series: device, metric, unit, count; and its length unless it is SIZE
PART = 20  # names or rhythms in one piece of the head

Row = tuple[str, str, str | None, int, State]
Levels = tuple[str, str, int, list[Any]]  # device, metric, hour that was noted last, hourly changes
Present = tuple[str, str, int, list[Any]]  # device, metric, hour of the last look, its presence
Paired = tuple[str, list[Any]]  # device, what is known of its pairs
Parts = tuple[int, "Heard", list[Row], list[Odd], dict[str, Any], list[Levels], list[Present], list[Paired]]


class Heard(NamedTuple):
    """The state of a :class:`Watch`."""

    up_since: float | None
    down_since: float | None
    down: Sequence[Pause]
    rhythms: Mapping[str, Rhythm]


class DetectStateError(AgentError):
    """A saved state that this version cannot take back."""


def encode(
    count: int,
    heard: Heard,
    rows: Callable[[], Iterable[Row]],
    odd: Iterable[Odd] = (),
    allowed: Mapping[str, Any] | None = None,
    hours: Iterable[Levels] = (),
    present: Iterable[Present] = (),
    pairs: Iterable[Paired] = (),
) -> Iterator[bytes]:
    """Yield the state in small pieces, empty ones while the head is made; floats are exact.

    ``rows`` is asked twice. Neither it nor ``heard`` may change meanwhile.
    """
    begin: dict[str, Any] = {"size": SIZE, "count": count, "up_since": heard.up_since}
    begin |= {"down_since": heard.down_since, "down": list(heard.down), "allowed": allowed or {}}
    head = [_json(begin)[:-1] + ',"rhythms":{']
    rhythms = heard.rhythms.items()
    for part in _parts(f"{_json(device)}:{_json(dump_rhythm(one))}" for device, one in rhythms):
        head.append(part)
        yield b""
    head.append('},"units":[')
    for part in _parts(map(_json, odd)):
        head.append(part)
        yield b""
    head.append('],"hours":[')
    for part in _parts(map(_json, hours)):
        head.append(part)
        yield b""
    head.append('],"present":[')
    for part in _parts(map(_json, present)):
        head.append(part)
        yield b""
    head.append('],"pairs":[')
    for part in _parts(map(_json, pairs)):
        head.append(part)
        yield b""
    head.append('],"series":[')
    for part in _parts(map(_dump_names, rows())):
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


def _dump_names(row: Row) -> str:
    length = len(row[4])
    return _json(row[:4] if length == SIZE else [*row[:4], length])


def dump_rhythm(r: Rhythm) -> list[object]:
    """Return a rhythm in values that JSON can hold, a patience that is not known as infinity."""
    values = [getattr(r, name) for name in RHYTHM]
    if r.pauses is None:
        return [*values, r.expect.interval_s]
    p = r.pauses
    pauses = [p.days.tolist(), p.weeks.tolist(), p.interval_s, p.tail_s, p.tail_at, p.ended]
    return [*values, r.expect.interval_s, *pauses]


def load_rhythm(values: list[Any]) -> Rhythm:
    """Return the rhythm that :func:`dump_rhythm` gave, of this version or an older one.

    Raises:
        TypeError, ValueError: it is something else.
    """
    known = REGULAR_RHYTHM if len(values) in REGULAR_LENGTHS else len(RHYTHM)
    if len(values) > known:
        interval_s, *pauses = values[known:]
        rhythm = Rhythm(**dict(zip(RHYTHM, values[:known], strict=False)), expect=Expect(interval_s))
        if pauses:
            rhythm.pauses = Pauses(*pauses)
        return rhythm
    # Without ``known_s`` it is known well enough. Its longest gap may have been a night.
    rhythm = Rhythm(*(*values, inf)[:OLD_RHYTHM])
    rhythm.longest_s = rhythm.second_s = min(rhythm.longest_s, OLD_LONGEST * rhythm.usual_s)
    rhythm.reckon(DetectSettings())
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
    if size != SIZE and size not in former.SIZES:
        raise DetectStateError("saved state is of another version")
    names = [(one[:4], one[4] if len(one) > NAMED else size) for one in head["series"]]
    if len(blob) != start + 8 * sum(length for _, length in names):
        raise ValueError("length")
    heard = Heard(
        head["up_since"],
        head.get("down_since"),
        [Pause(begin, end) for begin, end in head.get("down", ())],
        {device: load_rhythm(values) for device, values in head["rhythms"].items()},
    )
    rows: list[Row] = []
    for (device, metric, unit, seen), length in names:
        if length not in {size, LONG}:
            raise ValueError("length")
        state = _native(blob[start : start + length * 8])
        start += length * 8
        rows.append((device, metric, unit, seen, state if size == SIZE else former.translate(state)))
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
    allowed, hours, present = head.get("allowed", {}), head.get("hours", []), head.get("present", [])
    return head["count"], heard, rows, odd, allowed, hours, present, head.get("pairs", [])


def _little(state: State) -> bytes:
    return state.tobytes() if sys.byteorder == "little" else _swapped(state).tobytes()


def _native(data: bytes) -> State:
    state = array("d", data)[:]  # a slice reserves nothing to grow into
    return state if sys.byteorder == "little" else _swapped(state)


def _swapped(state: State) -> State:
    copy = state[:]
    copy.byteswap()
    return copy
