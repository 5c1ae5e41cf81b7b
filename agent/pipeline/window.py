"""Windows: sealed by count, age, event span, or settle time after an alarm.

A window is cut only between rows of the sequence, so a device's windows are contiguous in ``seq``
and every reading belongs to exactly one of them. Time is the row's clock; nothing here reads one.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from json.encoder import encode_basestring_ascii as _quote
from operator import attrgetter
from typing import Annotated, Any

from agent.domain.keys import Key
from agent.domain.record import record
from agent.domain.records import (
    CALM,
    Kind,
    Partner,
    Progress,
    Reading,
    Score,
    Trigger,
)

MAX_TRACES = 8
MAX_DUMPED = 100  # readings in one piece of a snapshot

Scored = tuple[Reading, Score]
_but_progress = attrgetter(
    "value", "kind", "expected", "limit", "unchecked", "said", "unit_was", "ignored", "partner"
)
_CALM = _but_progress(CALM)


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """Section ``review.window`` of the configuration."""

    max_age_s: Annotated[float, Key("a window seals at this age", gt=0, le=86_400)] = 60.0
    max_readings: Annotated[int, Key("or with so many readings", ge=1, le=5000)] = 60
    settle_s: Annotated[float, Key("or so long after its first alarm", ge=0, le=3600)] = 5.0


@dataclass(slots=True)
class OpenWindow:
    """The readings of one device since its last seal."""

    device: str
    lo: int
    hi: int
    opened: float  # clock
    start: float  # earliest event time
    end: float  # latest event time
    readings: list[Scored]
    traceparents: list[str]
    alarm_clock: float | None = None
    alarm_at: float | None = None  # event time of the first alarm
    unjudged: dict[str, int] = field(default_factory=dict)  # metric -> place of its last unjudged reading

    def extend(self, scored: list[Scored]) -> None:
        """Add readings. Of a metric that is still learnt the last progress is enough: half of the memory."""
        for place, (reading, score) in enumerate(scored, len(self.readings)):
            if score.progress is not None:
                before = self.unjudged.get(reading.metric)
                self.unjudged[reading.metric] = place
                if before is not None and before < len(self.readings):
                    earlier, known = self.readings[before]
                    if _but_progress(known) == _CALM:
                        self.readings[before] = earlier, CALM
        self.readings += scored


@record(frozen=True, slots=True)
class Draft:
    """A window that was just cut: everything but its opinion, candidates and prompt section."""

    device: str
    trigger: Trigger
    lo: int
    hi: int
    opened: float
    sealed: float
    start: float
    end: float
    readings: Sequence[Scored]
    traceparents: tuple[str, ...]


class Windows:
    """The open windows of all devices."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._open: dict[str, OpenWindow] = {}  # in order of opening, so the first is the oldest
        self._alarmed: dict[str, float] = {}  # device -> clock at which it has settled

    def __len__(self) -> int:
        return len(self._open)

    def reconfigure(self, settings: WindowSettings) -> None:
        """Take new limits for windows that seal later."""
        self._settings = settings
        for device in self._alarmed:
            self._alarmed[device] = (self._open[device].alarm_clock or 0.0) + settings.settle_s

    def add(
        self, device: str, seq: int, clock: float, scored: list[Scored], traceparent: str | None
    ) -> list[Draft]:
        """Add one row's readings of ``device``; return the windows that this seals (0, 1 or 2)."""
        settings = self._settings
        drafts: list[Draft] = []
        first, last = scored[0][0].at, scored[-1][0].at
        if first > last:
            first, last = last, first
        window, start, end = self._open.get(device), first, last
        if window is not None:
            if window.start < first:
                start = window.start
            if window.end > last:
                end = window.end
            if window.alarm_at is not None and last - window.alarm_at > settings.settle_s:
                drafts.append(self._seal(window, Trigger.SUSPICION, clock))
                window = None
            elif end - start > settings.max_age_s:
                drafts.append(self._seal(window, Trigger.AGE, clock))
                window = None
        if window is None:
            window = OpenWindow(device, seq, seq, clock, first, last, [], [])
            self._open[device] = window
        else:
            window.hi, window.start, window.end = seq, start, end
        window.extend(scored)
        if traceparent is not None and len(window.traceparents) < MAX_TRACES:
            window.traceparents.append(traceparent)
        if window.alarm_clock is None:
            for reading, score in scored:
                if score.value >= 1.0:
                    window.alarm_clock, window.alarm_at = clock, reading.at
                    self._alarmed[device] = clock + settings.settle_s
                    break
        if len(window.readings) >= settings.max_readings:
            drafts.append(self._seal(window, Trigger.COUNT, clock))
        return drafts

    def next_due(self) -> float | None:
        """Return the clock at which :meth:`tick` has something to seal, or None."""
        oldest = next(iter(self._open.values()), None)
        if oldest is None:
            return None
        due = oldest.opened + self._settings.max_age_s
        return min(due, *self._alarmed.values()) if self._alarmed else due

    def tick(self, clock: float) -> list[Draft]:
        """Seal the windows that are due at ``clock``: settled alarms, then old windows."""
        settled = [device for device, due in self._alarmed.items() if due <= clock]
        drafts = [self._seal(self._open[device], Trigger.SUSPICION, clock) for device in settled]
        limit = clock - self._settings.max_age_s
        aged = []
        for window in self._open.values():
            if window.opened > limit:
                break
            aged.append(window)
        return drafts + [self._seal(window, Trigger.AGE, clock) for window in aged]

    def seal_device(self, device: str, clock: float, trigger: Trigger) -> list[Draft]:
        """Seal the open window of one device, if it has one."""
        window = self._open.get(device)
        return [self._seal(window, trigger, clock)] if window is not None else []

    def _seal(self, window: OpenWindow, trigger: Trigger, clock: float) -> Draft:
        del self._open[window.device]
        self._alarmed.pop(window.device, None)
        return Draft(
            window.device,
            trigger,
            window.lo,
            window.hi,
            window.opened,
            clock,
            window.start,
            window.end,
            window.readings,
            tuple(window.traceparents),
        )

    def lowest_seq(self) -> int | None:
        """Return the lowest seq of an unsealed reading, or None."""
        return min((window.lo for window in self._open.values()), default=None)

    def dump(self) -> Iterator[str]:
        """Yield the open windows as the text of one JSON array, in small pieces; take no row meanwhile."""
        yield "["
        comma = ""
        for window in self._open.values():
            head = [
                window.device,
                window.lo,
                window.hi,
                window.opened,
                window.start,
                window.end,
                window.traceparents,
                window.alarm_clock,
                window.alarm_at,
            ]
            yield f"{comma}{_json(head)[:-1]},["
            for first in range(0, len(window.readings), MAX_DUMPED):
                part = window.readings[first : first + MAX_DUMPED]
                text = _json([_dump_scored(reading, score) for reading, score in part])
                yield ("," if first else "") + text[1:-1]
            yield "]]"
            comma = ","
        yield "]"

    def load(self, state: Iterable[list[Any]], sealed_to: dict[str, int]) -> None:
        """Restore the values of a :meth:`dump`, without windows that were sealed since (``sealed_to``)."""
        for device, lo, hi, opened, start, end, traces, alarm_clock, alarm_at, readings in state:
            if lo <= sealed_to.get(device, 0):
                continue
            scored = [_load_scored(device, item) for item in readings]
            self._open[device] = OpenWindow(
                device, lo, hi, opened, start, end, scored, list(traces), alarm_clock, alarm_at
            )
            if alarm_clock is not None:
                self._alarmed[device] = alarm_clock + self._settings.settle_s


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _dump_scored(reading: Reading, score: Score) -> list[Any]:
    unit: Any = reading.unit if reading.word is None else [reading.unit, reading.word]
    item: list[Any] = [reading.metric, reading.at, reading.value, unit]
    if score is not CALM:
        item += [score.value, score.kind, score.expected, score.limit, score.progress, score.unchecked]
        if score.partner is not None:
            one = score.partner
            item += [score.said, score.unit_was, [one.metric, one.given, one.unit, one.mean, one.since]]
        elif score.said is not None or score.unit_was is not None:
            item += [score.said, score.unit_was]
    return item


def _load_scored(device: str, item: list[Any]) -> Scored:
    metric, at, value, unit, *rest = item
    unit, word = unit if isinstance(unit, list) else (unit, None)
    reading = Reading(device, metric, at, value, unit, word)
    if not rest:
        return reading, CALM
    level, kind, expected, limit, *more = rest
    # Older snapshots end before.
    progress, unchecked, said, unit_was, partner = (*more, None, None, None, None, None)[:5]
    return reading, Score(
        level,
        Kind(kind),
        tuple(expected) if expected else None,
        limit,
        None if progress is None else Progress(*progress),
        unchecked,
        None if said is None else (said[0], said[1]),
        unit_was,
        partner=None if partner is None else Partner(*partner),
    )


def identify(
    *, journal: str, agent: str, device: str, trigger: Trigger, lo: int, hi: int, last_seq: int, count: int
) -> str:
    """Return the verdict id of a window: 128 bits of BLAKE2b over the values that fix it."""
    text = f"[{_quote(journal)}, {_quote(agent)}, {_quote(device)}, {_quote(trigger)}"
    parts = f"{text}, {lo}, {hi}, {last_seq}, {count}]"
    return blake2b(parts.encode(), digest_size=16).hexdigest()
