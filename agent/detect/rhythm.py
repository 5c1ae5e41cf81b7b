"""The rhythm of a device: how often it speaks, and when its silence is too long."""

from dataclasses import dataclass
from math import inf

from agent.detect.settings import DetectSettings

BURST_S = 30.0  # what was heard for less may have been one burst, which tells nothing of the next
BURST = 0.2  # gaps shorter than this part of the longest are inside a burst
MAX_GROWTH = 4.0  # of the longest gap, at once
MIN_GAP_S = 1.0
PACE = 1.1
FORGET = 1 / 500
FEW_GAPS = 100
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
    silent: bool = False  # said once, until a reading comes
    patience_s: float = inf  # how long it may say nothing
    known_s: float = 0.0  # for how long it was heard, gaps that are not believed at once left out
    queued: float = inf  # the watch's note: where it stands in the heap
    older: int = 0  # the watch's note: devices that were met before

    def beat(self, at: float, clock: float, up_since: float | None, settings: DetectSettings) -> None:
        """Take a reading's event time and clock.

        A gap is as long as the event times say (a backlog comes in one moment), or as the clock says while
        connected (a device may send old readings in batches), whichever is longer. One far longer than all
        before is not believed at once.
        """
        gap = at - self.at
        waited = clock - self.clock
        if waited > gap and up_since is not None and self.clock >= up_since:
            gap = waited
        self.at, self.clock, self.silent = at, clock, False
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
                self.usual_s = 0.0  # learnt anew with this gap
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
