"""Who is silent: the rhythms of all devices, and a heap that knows whose silence is due first."""

from heapq import heapify, heappop, heappush, heapreplace
from math import inf

from agent.detect.rhythm import Rhythm
from agent.detect.settings import DetectSettings


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
