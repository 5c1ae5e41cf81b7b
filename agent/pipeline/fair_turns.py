"""Fair turns: devices ahead of a long queue, the longest known ones first.

The devices known longest share the first lane, twice as many the next one, and so on; the lanes take turns,
and so do the devices in each. So a device waits for some times as many others as were known before it,
however many came after.
"""

from collections.abc import Callable

MAX_LANE = 512  # devices in a lane; who does not fit has the queue's own order


class Turns:
    """Devices whose rows wait on disk; ``seniority`` gives how many were known before one, or None."""

    def __init__(self, seniority: Callable[[str], int | None]) -> None:
        self._seniority = seniority
        self._lanes: dict[int, dict[str, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def ask(self, device: str) -> None:
        """Put a device at the end of its lane, unless it waits already."""
        older = self._seniority(device)
        if older is None:
            return
        lane = self._lanes.setdefault(older.bit_length(), {})
        if len(lane) < MAX_LANE:
            lane.setdefault(device)

    def take(self, count: int) -> list[str]:
        """Return the devices whose turn it is, at most so many: one of each lane, then the next of each."""
        taken: list[str] = []
        while self._lanes and len(taken) < count:
            for number in sorted(self._lanes)[: count - len(taken)]:
                lane = self._lanes[number]
                device = next(iter(lane))
                del lane[device]
                taken.append(device)
                if not lane:
                    del self._lanes[number]
        return taken

    def clear(self) -> None:
        """Forget all: nothing waits on disk any more."""
        self._lanes.clear()
