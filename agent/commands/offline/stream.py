"""Streams of arrivals in order of time, and counts of the unreadable rest."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

from agent.decode.registry import Decoded
from agent.domain.record import record
from agent.domain.records import Arrival, Reading

MAX_EXAMPLES = 3
NO = False  # neither sent again nor retained


@record(frozen=True, slots=True)
class Tabled(Arrival):
    """Readings that need no decoding: a row of a table, or a sample of Prometheus."""

    readings: tuple[Reading, ...] = ()

    def decoded(self) -> Decoded:
        """Return them as a decoded message."""
        return Decoded(self.topic, self.readings, None, text_only=False, retained="seed")


def tabled(label: str, at: float, readings: tuple[Reading, ...]) -> Tabled:
    """Return readings of one device at one time; ``label`` is that of the source."""
    return Tabled(0, 0, 0, NO, NO, label, b"", at, at, readings=readings)


class Link(NamedTuple):
    """The beginning of a time that a stream covers, or its end."""

    mono: float
    up: bool


@dataclass(slots=True)
class Unread:
    """Counts of unreadable lines, rows and samples by reason, with the first examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, reason: str, where: str) -> None:
        """Count one."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        kept = self.examples.setdefault(reason, [])
        if len(kept) < MAX_EXAMPLES:
            kept.append(where)

    def first(self) -> str:
        """Return the first example with its reason, behind a semicolon; nothing without one."""
        return next((f"; {where[0]}: {reason}" for reason, where in self.examples.items()), "")

    def as_json(self) -> dict[str, dict[str, object]]:
        """Return count and examples by reason."""
        return {
            reason: {"count": count, "examples": self.examples[reason]}
            for reason, count in sorted(self.counts.items())
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Arrivals of one source in order of time, from ``first`` on (Unix seconds); ``play`` may be repeated.

    ``timed``: whether the source itself gives its times.
    """

    label: str
    kind: str  # recording | table | prometheus
    first: float
    timed: bool
    pace: float = 1.0  # of its times, in seconds per second of its offsets
    play: Callable[[Unread], Iterator[Arrival]]


def together(streams: Sequence[Stream], unread: Unread) -> Generator[Arrival | Link, None, None]:
    """Yield the arrivals of all streams in order of time, with the beginning and end of each gap."""
    items = [_marked(stream, unread) for stream in streams]
    running, ended = 0, None
    for item in items[0] if len(items) == 1 else merge(*items, key=_time):
        if not isinstance(item, Link):
            yield item
        elif item.up:
            running += 1
            if running == 1 and (ended is None or ended < item.mono):
                if ended is not None:
                    yield Link(ended, up=False)
                yield item
        else:
            running -= 1
            ended = item.mono


def _time(item: Arrival | Link) -> float:
    return item.mono


def _marked(stream: Stream, unread: Unread) -> Iterator[Arrival | Link]:
    last = stream.first
    yield Link(last, up=True)
    for arrival in stream.play(unread):
        last = arrival.mono
        yield arrival
    yield Link(last, up=False)
