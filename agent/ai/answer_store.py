"""The exact cache: grounded answers of windows that looked the same, and calls under way for them."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agent.domain.records import Outcome
from agent.prompt import Kept


@dataclass(frozen=True, slots=True)
class Entry:
    """A grounded answer, and the model that gave it."""

    kept: Kept
    model: str | None


@dataclass(frozen=True, slots=True)
class Landed:
    """What came of a call for a key: the outcome of the window that asked, and the answer if it keeps.

    ``own``: no call was made for a reason that holds for that window's device only.
    """

    outcome: Outcome
    entry: Entry | None
    own: bool = False


class AnswerCache:
    """Least recently used answers, bounded in age and bytes; one flight per key at a time.

    ``ttl_s`` 0 switches it off.
    """

    def __init__(self, *, ttl_s: float, max_bytes: int, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, Entry]] = OrderedDict()
        self._bytes = 0
        self._flights: dict[str, asyncio.Future[Landed]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self._ttl_s > 0

    def get(self, key: str) -> Entry | None:
        """Return the answer under ``key`` if it is not too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry[0] > self._ttl_s:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: str, new: Entry) -> None:
        """Keep an answer, at the cost of the least recently used ones."""
        self.drop(key)
        self._entries[key] = (self._clock(), new)
        self._bytes += new.kept.size
        while self._bytes > self._max_bytes and self._entries:
            self.drop(next(iter(self._entries)))

    def drop(self, key: str) -> None:
        """Forget the answer under ``key``."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry[1].kept.size

    def flight(self, key: str) -> asyncio.Future[Landed] | None:
        """Return the call under way for ``key``."""
        return self._flights.get(key)

    def take_off(self, key: str) -> None:
        """Note that a call for ``key`` begins."""
        self._flights[key] = asyncio.get_running_loop().create_future()

    def land(self, key: str, landed: Landed) -> None:
        """Note what came of the call for ``key``; keep the answer if it can be kept."""
        if landed.entry is not None:
            self.put(key, landed.entry)
        flight = self._flights.pop(key, None)
        if flight is not None and not flight.done():
            flight.set_result(landed)
