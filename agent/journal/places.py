"""The source of each device, and the availability topic that calls it offline."""

import sqlite3
from collections.abc import Collection

from agent.domain.records import Place
from agent.journal.reversible import Reversible

MAX_DEVICES = 10_000  # beyond it, the devices that came first are forgotten


class Places:
    """Written by the journal's thread; any thread may read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._places: Reversible[Place] = Reversible(MAX_DEVICES)
        rows = connection.execute("SELECT device, source, link FROM devices LIMIT ?", (MAX_DEVICES,))
        self._places.update((device, Place(source, link)) for device, source, link in rows)
        self._count: dict[str, int] = {}  # devices by source
        self._recount()

    def of(self, device: str) -> Place | None:
        """Return the place of a device."""
        return self._places.get(device)

    def count(self, source: str) -> int:
        """Return how many devices a source has."""
        return self._count.get(source, 0)

    def forget(self, device: str) -> None:
        """Forget a device that is gone, inside a transaction."""
        self._put(device, None)

    def is_settled(self, device: str, source: str) -> bool:
        """Return whether a reading of a device by a source changes nothing here."""
        known = self._places.get(device)
        return known is not None and known.source == source and known.link is None

    def take_readings(self, source: str, devices: Collection[str]) -> None:
        """Note readings of devices: they are of this source, and not offline."""
        for device in devices:
            if not self.is_settled(device, source):
                self._put(device, Place(source))

    def take_state(self, source: str, device: str, link: str | None) -> None:
        """Note a state of a device: offline by the topic ``link``, or online."""
        known = self._places.get(device)
        place = Place(source if known is None else known.source, link)
        if known != place:
            self._put(device, place)

    def _put(self, device: str, place: Place | None) -> None:
        before = self._places.get(device)
        self._places.put(device, place)
        if (before and before.source) != (place and place.source):
            for one, by in ((before, -1), (place, 1)):
                if one is not None:
                    self._count[one.source] = self._count.get(one.source, 0) + by

    def insert(self) -> None:
        """Write the changes into the open transaction."""
        changed = self._places.changed
        gone = [(device,) for device in changed if device not in self._places]
        kept = [
            (device, place.source, place.link)
            for device in changed
            if (place := self._places.get(device)) is not None
        ]
        self._connection.executemany("DELETE FROM devices WHERE device = ?", gone)
        self._connection.executemany("INSERT OR REPLACE INTO devices VALUES (?,?,?)", kept)

    def commit(self) -> None:
        """Keep what the transaction has written."""
        self._places.commit()

    def rollback(self) -> None:
        """Take the open transaction back."""
        if self._places.changed:
            self._places.rollback()
            self._recount()

    def _recount(self) -> None:
        counts: dict[str, int] = {}
        for place in self._places.values():
            counts[place.source] = counts.get(place.source, 0) + 1
        self._count = counts
