"""A device that sends SenML packs."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing

_UNITS = {"temperature": "Cel", "humidity": "%RH", "pressure": "hPa"}


class Packs:
    """A weather mast whose packs hold two samples."""

    interval_s: ClassVar[float] = 60.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._name = f"urn:dev:mac:0024befffe{place:06x}:"
        self._topic = f"senml/mast{place}"
        self._sensors = Sensors("outdoor", name=self._topic, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: SenML has no message for it."""
        return ()

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one pack: now, and 30 seconds before."""
        records = [
            {"n": name, "u": _UNITS[name], "v": value, "t": offset}
            for offset in (-30, 0)
            for name, value in self._sensors.read(at + offset).items()
        ]
        records[0] = {"bn": self._name, "bt": at, **records[0]}
        yield message(self._topic, records)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: SenML has no message for it."""
        return ()


DEVICE: type[FamilyDevice] = Packs
