"""The rhythms of devices: how often each sends, and which silence is too long."""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

from agent.detect.settings import DetectSettings

BURST_S = 30.0  # a shorter time may have been one burst, which predicts nothing
BURST = 0.2  # gaps shorter than this part of the longest are inside a burst
MAX_GROWTH = 4.0  # of the longest gap, at once
MIN_GAP_S = 1.0
PACE = 1.1
FORGET = 1 / 500
FEW_GAPS = 100
UNREADABLE_S = 86_400.0  # a device of unknown rhythm that sends no value for so long
FEW_FACTOR = 1.5  # the longest gap counts for more while few are known


@dataclass(slots=True)
class Rhythm:
    """When a device spoke. ``clock`` and ``at`` are of its last reading."""

    clock: float
    at: float
    anchor: float  # clock from which silence is counted when later than the last reading
    gaps: int = 0
    usual_s: float = 0.0
    longest_s: float = 0.0
    silent: bool = False  # reported once, until a reading comes
    patience_s: float = inf  # how long it may send nothing
    known_s: float = 0.0  # for how long it has sent, without gaps that are not believed at once
    queued: float = inf  # the watch's note: its due time in the heap
    older: int = 0  # the watch's note: devices that were met before
    announced_s: float | None = None  # the interval that the device itself announced
    unreadable: bool = False  # sends, but no value, for as long as its silence would take

    def beat(self, at: float, clock: float, up_since: float | None, settings: DetectSettings) -> None:
        """Take a reading's event time and clock.

        A gap is as long as the event times give (a backlog comes in one moment), or as the clock gives while
        connected (a device may send old readings in batches), whichever is longer. One far longer than all
        before is not believed at once.
        """
        gap = at - self.at
        waited = clock - self.clock
        if waited > gap and up_since is not None and self.clock >= up_since:
            gap = waited
        self.at, self.clock, self.silent, self.unreadable = at, clock, False, False
        if gap <= 0.0:
            return
        longest, limit = self.longest_s, MAX_GROWTH * max(self.longest_s, MIN_GAP_S)
        if gap > limit:
            if self.known_s < BURST_S:
                self.gaps = 0
            gap = limit
        self.known_s += gap
        if gap > longest:
            self.longest_s = gap
            if self.gaps < settings.silence_gaps:
                self.usual_s = 0.0  # learnt again with this gap
        else:
            self.longest_s = longest + (gap - longest) * FORGET
            if gap < BURST * longest:
                return  # inside a burst
        self.gaps += 1
        usual = self.usual_s
        if gap != usual:
            pace = usual * PACE if gap > usual else usual / PACE
            self.usual_s = gap if not usual or (gap < pace) == (gap > usual) else pace
        patience = settings.silence_longest * self.longest_s
        if self.gaps < FEW_GAPS:
            patience = inf if self.gaps < settings.silence_gaps else patience * FEW_FACTOR
        if self.known_s < BURST_S:
            patience = inf
        by_usual = settings.silence_factor * self.usual_s
        patience = max(patience, by_usual)
        self.patience_s = max(settings.min_silence_s, patience)

    def due(self, up_since: float) -> float:
        """Return the clock at which silence is too long; inf while silent or too little known."""
        if self.silent:
            return inf
        return max(self.clock, self.anchor, up_since) + self.patience_s


class Watch:
    """Judges silence by clock, only while connected."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self.rhythms: dict[str, Rhythm] = {}
        self._met = 0  # devices ever, since the last rebuild
        self.up_since: float | None = None  # clock of the last CONNECTED; None while disconnected
        #: One valid entry per device, equal to ``Rhythm.queued`` and never later than the true due.
        self._heap: list[tuple[float, str]] = []

    def hear(self, device: str, at: float, clock: float) -> None:
        """Take a sign of life: a reading's event time and clock."""
        rhythm = self.rhythms.get(device)
        if rhythm is None:
            self.rhythms[device] = Rhythm(clock, at, clock, older=self._met)
            self._met += 1
            return
        if at == rhythm.at and clock == rhythm.clock and not rhythm.silent:
            return  # another metric of the same message
        rhythm.beat(at, clock, self.up_since, self._settings)
        if clock + rhythm.patience_s < rhythm.queued:
            self._queue(device, rhythm)

    def hear_no_value(self, device: str, clock: float) -> None:
        """Take a message without a value: silence is counted from it, and a reported one is over."""
        rhythm = self.rhythms.get(device)
        if rhythm is None:
            return
        patience_s = rhythm.patience_s if rhythm.patience_s < inf else UNREADABLE_S
        rhythm.unreadable = clock - rhythm.clock > patience_s
        rhythm.anchor, rhythm.silent = max(rhythm.anchor, clock), False
        if rhythm.due(self.up_since or 0.0) < rhythm.queued:
            self._queue(device, rhythm)

    def _queue(self, device: str, rhythm: Rhythm) -> None:
        rhythm.queued = rhythm.due(self.up_since or 0.0)
        if rhythm.queued < inf:
            heappush(self._heap, (rhythm.queued, device))

    def next_due(self) -> float | None:
        """Return the clock of the earliest possible silence, or None."""
        up_since = self.up_since
        if up_since is None:
            return None
        heap = self._heap
        while heap:
            due, device = heap[0]
            rhythm = self.rhythms.get(device)
            if rhythm is None or rhythm.queued != due:
                heappop(heap)
                continue
            really = rhythm.due(up_since)
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
        while (due := self.next_due()) is not None and due <= clock:
            device = self._heap[0][1]
            rhythm = self.rhythms[device]
            rhythm.silent = True
            found.append((device, rhythm))
        return found

    def postpone(self, device: str, until: float) -> None:
        """Let a silence that was just found wait until ``until``; inf: until the device speaks."""
        rhythm = self.rhythms[device]
        rhythm.silent = until == inf
        if until < inf:
            rhythm.anchor = until - rhythm.patience_s
            self._queue(device, rhythm)

    def rebuild(self) -> None:
        """Rebuild heap and seniority from the rhythms, which are in the order of meeting."""
        self._heap.clear()
        self._met = len(self.rhythms)
        for older, (device, rhythm) in enumerate(self.rhythms.items()):
            rhythm.older = older
            rhythm.queued = rhythm.due(self.up_since or 0.0)
            if rhythm.queued < inf:
                self._heap.append((rhythm.queued, device))
        heapify(self._heap)
