"""Devices under one availability topic: a gateway's last will stands for all that it forwards."""

from collections.abc import Mapping, Sequence

from agent.decode.family import Content, Route

MAX_DEVICES = 10_000  # of one source; beyond it, the devices that were seen first are forgotten


class Members:
    """The devices of one source, by the named levels that its availability topic shares with it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._by_levels: dict[tuple[str, ...], dict[str, None]] = {}
        self._count = 0

    def note(self, route: Route, content: Content) -> None:
        """Remember the devices of a message."""
        last = None
        for reading in content.readings:
            if reading.device is not last:
                last = reading.device
                self._add(route, last)
        for device in content.heard:
            self._add(route, device)

    def under(self, levels: Mapping[str, str]) -> tuple[str, ...]:
        """Return the devices whose topics have these named levels."""
        return tuple(self._by_levels.get(self._key(levels), ()))

    def _key(self, levels: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(levels[name] for name in self._names)

    def _add(self, route: Route, device: str) -> None:
        devices = self._by_levels.setdefault(self._key(route.parts), {})
        if device in devices:
            return
        if self._count >= MAX_DEVICES:
            oldest = next(iter(self._by_levels))
            self._count -= len(self._by_levels.pop(oldest))
            devices = self._by_levels.setdefault(self._key(route.parts), {})
        devices[device] = None
        self._count += 1
