"""Retained values of devices that have not sent since: shown, never judged."""

from collections.abc import Iterable, Mapping

from agent.domain.records import Reading

MAX_SERIES = 1000  # series


class RetainedValues:
    """The last retained value of each series."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Reading] = {}

    def take(self, readings: Iterable[Reading]) -> None:
        """Remember; beyond the bound only series that are known already."""
        for reading in readings:
            if reading.series in self._last or len(self._last) < MAX_SERIES:
                self._last[reading.series] = reading

    def forget(self, device: str) -> None:
        """Forget a device."""
        for series in [one for one in self._last if one[0] == device]:
            del self._last[series]

    def by_device(self) -> Mapping[str, list[Reading]]:
        """Return the values of each device, in the order in which they came first."""
        out: dict[str, list[Reading]] = {}
        for reading in self._last.values():
            out.setdefault(reading.device, []).append(reading)
        return out
