"""The rhythms of devices: how often each sends, and which silence is too long."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

from agent.detect.expect import LEARNT, Expect
from agent.detect.pauses import DAY, Offset, Pause, Pauses
from agent.detect.settings import DetectSettings
from agent.domain.records import Progress

BURST_S = 30.0  # a shorter time may have been one burst, which predicts nothing
BURST = 0.2  # gaps shorter than this part of the longest are inside a burst
MAX_GROWTH = 4.0  # of the longest gap, at once
MIN_GAP_S = 1.0
PACE = 0.1  # of the usual gap, by a gap as long, and at most twice as much
MAX_PACES = 2.0
FORGET = 1 / 500  # of the longest gap, with each gap,
FORGET_S = 7 * DAY  # or in that time, if it is longer: a device may have several rates
FEW_GAPS = 100
FEW_FACTOR = 1.5  # the longest gap counts for more while few are known, or of such a device
SECOND = 1.5  # times the second longest gap: what the longest one counts at most
STEADY_GAPS = 5  # so many gaps alike: a far longer one is a pause, though few are known
NEW_RHYTHM = -3  # a streak of so many pauses is the rhythm
SHORT = 0.33  # times the usual gap: a regular device has no shorter ones, but in bursts
SHORTS = 0.06  # part of the time in short gaps, from which on a device sends on events ...
TOP = 0.9  # ... unless as the longest, give or take a tenth, are
TOPS = 0.2  # ... gaps for so much of the time: then the device has bursts, or a heartbeat
EVENT_S = 60.0  # and so do networks: a shorter usual gap is not one between events
SHARE_GAPS = 200  # usual ones, over which those parts are taken
RECKON = 7  # with each eighth gap, once many are known
YOUNG_S = 2 * DAY  # so long have silence and what is known of a device that sends on events to be together
AT_LEAST = 1.5  # times the announced interval
UNSEEN = 0.1  # of a pause may have passed without a connection
MAX_DOWN = 16
LACK_S = 3600.0  # one that sends, but no value for so long, or for its patience, is reported
UNREADABLE_S = 86_400.0  # a device of unknown rhythm that sends no value for so long


@dataclass(slots=True)
class Rhythm:
    """When a device spoke. ``clock`` and ``at`` are of its last reading."""

    clock: float
    at: float
    anchor: float  # clock from which silence is counted when later than the last reading
    gaps: int = 0
    usual_s: float = 0.0  # half of the time is in shorter gaps
    longest_s: float = 0.0
    silent: bool = False  # reported once, until a reading comes
    patience_s: float = inf  # how long it may send nothing, outside of its usual pauses
    known_s: float = 0.0  # for how long it has sent, without gaps that are not believed at once
    second_s: float = 0.0  # the longest gap but one: a single long one is not a rhythm
    streak: int = 0  # gaps since the last pause; below 0: pauses since the last gap
    announced_s: float = 0.0  # interval that the device's family announces
    short: float = 0.0  # part of the time in gaps that are far shorter than the usual one
    top: float = 0.0  # part of the time in gaps about as long as the longest
    pauses: Pauses | None = None
    expect: Expect = LEARNT  # from the configuration
    queued: float = inf  # the watch's note: its due time in the heap
    older: int = 0  # the watch's note: devices that were met before
    unreadable: bool = False  # sends, but no value, for as long as its silence would take

    @property
    def on_events(self) -> bool:
        """Whether it sends when something happens, rather than at an interval."""
        return self.short >= SHORTS and self.top < TOPS and self.usual_s > EVENT_S

    @property
    def interval_s(self) -> float:
        """Usual time between two readings: as configured, learnt or announced; 0 where it is not known."""
        return self.expect.interval_s or self.usual_s or self.announced_s

    def progress(self, settings: DetectSettings) -> Progress | None:
        """Return how far the rhythm is from being known, None when silence is judged."""
        if self.patience_s < inf:
            return None
        if self.gaps < settings.silence_gaps:
            return Progress(self.gaps, settings.silence_gaps, of="gaps")
        return Progress(int(self.known_s), int(BURST_S), of="seconds")

    def beat(self, at: float, clock: float, watch: "Watch") -> None:
        """Take a reading's event time and clock.

        A gap is as long as the event times give (a backlog comes in one moment), or as the clock gives while
        connected (a device may send old readings in batches), whichever is longer. One that the gaps before
        do not explain is a pause, which teaches the hour and not the interval.
        """
        begin, began, up_since = self.clock, self.at, watch.up_since
        apart, waited = at - began, clock - begin
        live = up_since is not None and begin >= up_since
        gap = waited if live and waited > apart else apart
        self.at, self.clock, self.silent, self.unreadable = at, clock, False, False
        settings = watch.settings
        known = settings.pause_factor * self.usual_s
        if known < settings.min_silence_s:
            known = settings.min_silence_s
        # Nearly all gaps end here, by a bound that is never above the longest gap.
        if apart > known and apart > (most := self._longest_gap(settings)):
            dated = up_since is not None and at < up_since  # it was sent before there was a connection
            if dated or not live or waited > most:
                self._pause(Pause(began, at) if dated else Pause(begin, clock), watch, dated=dated)
                return
            gap = waited  # a time that jumps is not a pause
        if gap > 0.0:
            self._learn(gap, settings, late=0.0 < apart <= known < waited)

    def _learn(self, gap: float, settings: DetectSettings, *, late: bool) -> None:
        """Take a gap into the rhythm; a late one shows by the device's own times that it keeps readings.

        The usual gap goes by time and not by number, so that a burst counts for nothing.
        """
        usual, longest = self.usual_s, self.longest_s
        if gap > longest:
            limit = MAX_GROWTH * max(longest, MIN_GAP_S)
            if gap > limit and not (late and self.known_s >= BURST_S):
                self.streak = -1
                if self.known_s < BURST_S:
                    self.gaps = 0
                gap = limit
            self.longest_s, self.second_s = gap, longest
        else:
            # Many short gaps follow a stall or a clock that was set, but none of the first bursts.
            begun = self.gaps < settings.silence_gaps and gap < BURST * longest
            forget = FORGET if begun or gap >= FORGET * FORGET_S else gap / FORGET_S
            self.longest_s = longest + (gap - longest) * forget
            second = self.second_s
            second += (gap - second) * forget
            self.second_s = second if second > gap else gap
        known = self.known_s = self.known_s + gap
        if self.gaps < settings.silence_gaps:
            self.usual_s = usual = usual + (gap - usual) * gap / known
        elif gap > usual:
            pace = usual + PACE * (gap if gap < MAX_PACES * usual else MAX_PACES * usual)
            self.usual_s = gap if gap < pace else pace
        elif gap < usual:
            pace = usual - PACE * gap
            self.usual_s = gap if gap > pace else pace
        if self.gaps >= STEADY_GAPS:
            over = SHARE_GAPS * usual
            part = gap / (over if over < known else known)
            if part > 1.0:
                part = 1.0
            self.short += ((gap < SHORT * usual) - self.short) * part
            self.top += ((TOP * longest <= gap <= longest / TOP) - self.top) * part
        if gap >= BURST * longest:
            self.gaps += 1
        self.streak = self.streak + 1 if self.streak >= 0 else 0
        if gap > longest or self.gaps < FEW_GAPS or not self.gaps & RECKON:
            self.reckon(settings)

    def _longest_gap(self, settings: DetectSettings) -> float:
        """Return how long a gap may be without being a pause."""
        if self.known_s < BURST_S:
            return inf
        if self.gaps >= settings.silence_gaps:
            by_usual = settings.pause_factor * self.usual_s
            return max(settings.min_silence_s, by_usual, self._by_longest(settings))
        if self.streak < STEADY_GAPS:
            return inf
        return max(settings.min_silence_s, MAX_GROWTH * self.longest_s)

    def _by_longest(self, settings: DetectSettings) -> float:
        longest = min(self.longest_s, SECOND * self.second_s)
        loose = self.gaps < FEW_GAPS or self.on_events
        return longest * settings.silence_longest * (FEW_FACTOR if loose else 1.0)

    def reckon(self, settings: DetectSettings) -> None:
        """Derive the patience from the rhythm."""
        few = settings.silence_factor
        if self.expect.interval_s:
            patience = few * self.expect.interval_s
        elif self.gaps < settings.silence_gaps or self.known_s < BURST_S:
            patience = few * self.announced_s or inf
        else:
            patience = max(few * self.usual_s, self._by_longest(settings), AT_LEAST * self.announced_s)
            if self.pauses is not None:
                patience = max(patience, self.pauses.tail(self.clock, on_events=self.on_events))
            if self.on_events:
                patience = max(patience, YOUNG_S - self.known_s)
        self.patience_s = max(settings.min_silence_s, patience)

    def _pause(self, pause: Pause, watch: "Watch", *, dated: bool) -> None:
        """Learn from a gap that is not part of the rhythm so far.

        Once it came three times in a row it is the rhythm.
        """
        self.streak = min(self.streak, 0) - 1
        if not dated and watch.unseen_s(pause) > UNSEEN * pause.length:
            return
        if self.pauses is None:
            self.pauses = Pauses()
        awake_s = 0.0 if self.on_events else self.known_s
        self.pauses.take(pause, self.usual_s, awake_s, watch.offset)
        if self.streak <= NEW_RHYTHM:
            self.usual_s = self.longest_s = self.second_s = pause.length
        if self.on_events:
            self.known_s += min(pause.length, DAY)
        self.reckon(watch.settings)

    def rests(self, clock: float, watch: "Watch") -> bool:
        """Return whether silence is usual at ``clock``."""
        usual = self.pauses is not None and self.pauses.until(clock, watch.offset) > clock
        return usual or self.expect.allow(clock, clock, 0.0, watch.offset) > clock

    def due(self, watch: "Watch") -> float:
        """Return the clock at which silence is too long; inf while silent or too little known."""
        if self.silent or self.patience_s == inf:
            return inf
        return self._too_long(max(self.clock, self.anchor, watch.up_since or 0.0), self.patience_s, watch)

    def lacks(self, clock: float, watch: "Watch") -> bool:
        """Return whether a message without a value is the first after too long a time without one."""
        before = max(self.clock, self.anchor)
        due = self._too_long(max(self.clock, watch.up_since or 0.0), max(LACK_S, self.patience_s), watch)
        return before < due <= clock

    def _too_long(self, begin: float, patience: float, watch: "Watch") -> float:
        due = begin + patience
        if self.pauses is not None:
            due = max(due, self.pauses.until(begin, watch.offset))
            if begin > self.clock:  # counted from later on, it is the pause that it was
                due = max(due, self.pauses.until(self.clock, watch.offset))
        if self.expect is not LEARNT:
            due = self.expect.allow(begin, due, patience, watch.offset)
        return due


class Watch:
    """Judges silence by clock, only while connected."""

    def __init__(self, settings: DetectSettings, offset: Offset | None = None) -> None:
        self.settings = settings
        self.offset = offset  # of the site's zone
        self.rhythms: dict[str, Rhythm] = {}
        self._met = 0  # devices ever, since the last rebuild
        self.up_since: float | None = None  # clock of the last CONNECTED; None while disconnected
        self.down: deque[Pause] = deque(maxlen=MAX_DOWN)  # the last times without a connection
        self.down_since: float | None = None
        #: One valid entry per device, equal to ``Rhythm.queued`` and never later than the true due.
        self._heap: list[tuple[float, str]] = []

    def connected(self, clock: float) -> None:
        """Let the silence clocks run."""
        if self.down_since is not None:
            self.down.append(Pause(self.down_since, clock))
        self.up_since, self.down_since = clock, None
        for device, rhythm in self.rhythms.items():
            self._queue(device, rhythm)

    def disconnected(self, clock: float) -> None:
        """Stop the silence clocks."""
        if self.up_since is not None:
            self.up_since, self.down_since = None, clock

    def unseen_s(self, pause: Pause) -> float:
        """Return for how much of a pause there was no connection."""
        return sum(max(0.0, min(pause.end, down.end) - max(pause.begin, down.begin)) for down in self.down)

    def hear(self, device: str, at: float, clock: float) -> None:
        """Take a sign of life: a reading's event time and clock."""
        rhythm = self.rhythms.get(device)
        if rhythm is None:
            self.rhythms[device] = Rhythm(clock, at, clock, older=self._met)
            self._met += 1
            return
        if at == rhythm.at and clock == rhythm.clock and not rhythm.silent:
            return  # another metric of the same message
        rhythm.beat(at, clock, self)
        if clock + rhythm.patience_s < rhythm.queued:
            self._queue(device, rhythm)

    def expect(self, device: str, expect: Expect) -> None:
        """Take the configured silence of a known device."""
        rhythm = self.rhythms.get(device)
        if rhythm is not None and rhythm.expect != expect:
            rhythm.expect = expect
            self._reckon(device, rhythm)

    def announce(self, device: str, interval_s: float) -> None:
        """Take the interval that the family of a known device announces."""
        rhythm = self.rhythms.get(device)
        if rhythm is not None and rhythm.announced_s != interval_s:
            rhythm.announced_s = interval_s
            self._reckon(device, rhythm)

    def _reckon(self, device: str, rhythm: Rhythm) -> None:
        rhythm.reckon(self.settings)
        self._queue(device, rhythm)

    def hear_no_value(self, device: str, clock: float) -> bool:
        """Take a message without a value: silence is counted from it, and a reported one is over.

        Return whether the device has sent no value for too long, once until it sends one.
        """
        rhythm = self.rhythms.get(device)
        if rhythm is None:
            return False
        lacks = rhythm.lacks(clock, self)
        patience_s = rhythm.patience_s if rhythm.patience_s < inf else UNREADABLE_S
        rhythm.unreadable = clock - rhythm.clock > patience_s
        rhythm.anchor, rhythm.silent = max(rhythm.anchor, clock), False
        self._queue(device, rhythm)
        return lacks

    def _queue(self, device: str, rhythm: Rhythm) -> None:
        """Enter the due time of a device, if it is earlier than the one that is entered.

        A silence that is counted from later on may be due sooner: it may begin in no usual pause.
        """
        due = rhythm.due(self)
        if due < rhythm.queued:
            rhythm.queued = due
            heappush(self._heap, (due, device))

    def next_due(self, until: float = inf) -> float | None:
        """Return the clock of the earliest possible silence, or None.

        If that is later than ``until``, any later clock may be returned: nothing is computed then, so that
        it costs little to ask at every reading.
        """
        if self.up_since is None:
            return None
        heap = self._heap
        while heap:
            due, device = heap[0]
            if due > until:
                return due
            rhythm = self.rhythms.get(device)
            if rhythm is None or rhythm.queued != due:
                heappop(heap)
                continue
            really = rhythm.due(self)
            if really <= due:
                return due
            rhythm.queued = really
            if really == inf:
                heappop(heap)
            else:
                heapreplace(heap, (really, device))
        return None

    def tick(self, clock: float) -> list[tuple[str, Rhythm]]:
        """Return the devices whose silence is due at ``clock``, earliest first, and mark them silent."""
        found = []
        while (due := self.next_due(clock)) is not None and due <= clock:
            device = self._heap[0][1]
            rhythm = self.rhythms[device]
            rhythm.silent = True
            found.append((device, rhythm))
        return found

    def restart(self, device: str, clock: float) -> None:
        """Count the silence of a known device from ``clock`` on."""
        rhythm = self.rhythms[device]
        rhythm.anchor = clock
        self._queue(device, rhythm)

    def postpone(self, device: str, until: float) -> None:
        """Let a silence that was just found wait until ``until``; inf: until the device speaks."""
        rhythm = self.rhythms[device]
        rhythm.silent = until == inf
        if until < inf:
            rhythm.anchor = until - rhythm.patience_s
            self._queue(device, rhythm)

    def rebuild(
        self,
        up_since: float | None,
        down_since: float | None,
        down: Iterable[Pause],
        rhythms: Mapping[str, Rhythm],
    ) -> None:
        """Take back a saved state; the rhythms are in the order of meeting."""
        self.up_since, self.down_since, self.rhythms = up_since, down_since, dict(rhythms)
        self.down.clear()
        self.down.extend(down)
        self._heap.clear()
        self._met = len(self.rhythms)
        for older, (device, rhythm) in enumerate(self.rhythms.items()):
            rhythm.older = older
            rhythm.queued = rhythm.due(self)
            if rhythm.queued < inf:
                self._heap.append((rhythm.queued, device))
        heapify(self._heap)
