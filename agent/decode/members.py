"""Devices under one availability topic: a gateway's last will applies to them all."""

import json
from collections.abc import Mapping, Sequence

from agent.decode.family import Content, Route

MAX_DEVICES = 10_000  # of one source; beyond it, the devices that were seen first are forgotten


class Members:
    """The devices of one source, by the named levels that its availability topic shares with it.

    Args:
        names: the named levels of the availability topic.
        one: they name one device, so that only further devices of its messages are members.
    """

    def __init__(self, names: Sequence[str], *, one: bool) -> None:
        self._names = tuple(names)
        self._one = one
        self._by_levels: dict[tuple[str, ...], dict[str, None]] = {}
        self._count = 0
        self._changed: set[tuple[str, ...]] = set()

    def note(self, route: Route, content: Content) -> None:
        """Remember the devices of a message."""
        last = route.device if self._one else None
        for reading in content.readings:
            if reading.device != last:
                last = reading.device
                self._add(route, last)
        for device in content.heard:
            self._add(route, device)

    def under(self, levels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the devices whose topics have these named levels."""
        return tuple(self._by_levels.get(self._key(levels), ()))

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows that changed since the last call, by their key; None for one that is gone."""
        changed, self._changed = self._changed, set()
        return {
            json.dumps(key): json.dumps([*self._by_levels[key]]).encode() if key in self._by_levels else None
            for key in changed
        }

    def restore(self, rows: Mapping[str, bytes]) -> None:
        """Take the rows that an earlier process kept."""
        for key, body in rows.items():
            levels, devices = tuple(json.loads(key)), dict.fromkeys(json.loads(body))
            if len(levels) == len(self._names) and self._count + len(devices) <= MAX_DEVICES:
                self._by_levels[levels] = devices
                self._count += len(devices)

    def _key(self, levels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(levels[name] for name in self._names)

    def _add(self, route: Route, device: str) -> None:
        if self._one and device == route.device:
            return
        key = self._key(route.parts)
        if device in self._by_levels.get(key, ()):
            return
        if self._count >= MAX_DEVICES:
            oldest = next(iter(self._by_levels))
            self._count -= len(self._by_levels.pop(oldest))
            self._changed.add(oldest)
        self._by_levels.setdefault(key, {})[device] = None
        self._count += 1
        self._changed.add(key)
