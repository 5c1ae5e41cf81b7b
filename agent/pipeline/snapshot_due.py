"""When the next snapshot is due: by rows, by age, and sooner while the journal is short of room."""

from collections.abc import Mapping
from typing import Final

ROWS: Final = 20_000
AGE_S: Final = 600.0
MAX_DOUBLINGS: Final = 10
RETRY_S: Final = (2.0, 60.0)  # first and longest wait after one that the storage refused

#: By the journal's state: the shortest wait between two, s, the longest, and the share of time they may take.
SHORT_OF_ROOM: Final[Mapping[str, tuple[float, float, float]]] = {
    "degraded": (10.0, AGE_S, 0.05),
    "full": (2.0, 30.0, 0.25),
}


class SnapshotDue:
    """Paces the snapshots. Rows are pruned only behind the last one, so a journal without room needs one.

    A snapshot that let no row go doubles the wait for the next; ``pruned`` counts the rows that went so far.
    """

    def __init__(self, *, clock: float) -> None:
        self.seq = 0  # of the last snapshot
        self._clock = clock
        self._took_s = 0.0
        self._pruned = 0
        self._doublings = 0
        self._before = (0, clock)  # what is true again if the storage refuses the one under way
        self._under_way = False
        self._refused = 0
        self._retry = clock

    def restore(self, seq: int, clock: float | None) -> None:
        """Go on from the snapshot that the last process left, at its age."""
        self.seq = seq
        self._clock = self._clock if clock is None else clock

    def due(self, seq: int, clock: float, *, state: str) -> bool:
        """Say whether one is to be taken at the row ``seq``; ``state`` is the journal's."""
        if self._under_way or seq <= self.seq or clock < self._retry:
            return False
        age_s = clock - self._clock
        if seq - self.seq >= ROWS or age_s >= AGE_S:
            return True
        if state not in SHORT_OF_ROOM:
            self._doublings = 0
            return False
        shortest_s, longest_s, share = SHORT_OF_ROOM[state]
        return age_s >= max(min(shortest_s * (1 << self._doublings), longest_s), self._took_s / share)

    def taken(self, seq: int, clock: float, *, took_s: float, pruned: int) -> None:
        """Note that one is on its way to the disk."""
        fruitless = pruned == self._pruned
        self._doublings = min(self._doublings + 1, MAX_DOUBLINGS) if fruitless else 0
        self._before = (self.seq, self._clock)
        self.seq, self._clock = seq, clock
        self._took_s, self._pruned = took_s, pruned
        self._under_way = True

    def written(self, clock: float, *, on_disk: bool) -> None:
        """Hear what became of it; one that the storage refused is taken again later."""
        self._under_way = False
        if on_disk:
            self._refused = 0
            return
        self.seq, self._clock = self._before
        first_s, longest_s = RETRY_S
        self._retry = clock + min(first_s * (1 << self._refused), longest_s)
        self._refused = min(self._refused + 1, MAX_DOUBLINGS)
