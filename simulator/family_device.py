"""The protocol of a simulated device of a family, and its sensors."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from simulator.outgoing import Outgoing
from simulator.signals import SIGNALS, Noise


class FamilyDevice(Protocol):
    """One device, or one gateway with its sensors, that speaks the protocol of its family.

    Attributes:
        interval_s: seconds between two reports.
    """

    interval_s: ClassVar[float]

    def __init__(self, *, place: int, seed: int) -> None:
        """Make the device number ``place`` (from 1) of its family; the same seed gives the same values."""

    def begin(self, at: float) -> Iterable[Outgoing]:
        """Return the messages of a device that has just connected: availability, births, discovery."""
        ...

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the messages of one report at ``at``, Unix seconds."""
        ...

    def end(self, at: float) -> Iterable[Outgoing]:
        """Return the messages of a device that leaves, as its last will sends them."""
        ...


class Sensors:
    """The sensors of one device: the values of a signal of the simulator, by metric."""

    def __init__(self, signal: str, *, name: str, seed: int) -> None:
        """Take a signal of ``simulator.signals.SIGNALS``, and a name that makes its values its own."""
        self._signal = SIGNALS[signal]()
        self._noise = Noise(seed=seed, device=name)

    def read(self, at: float) -> dict[str, float]:
        """Return the values at ``at`` (Unix seconds), rounded as the sensors do."""
        values = self._signal.values(self._noise, at)
        return {
            metric.name: metric.sense(value)
            for metric, value in zip(self._signal.METRICS, values, strict=True)
        }


def message(topic: str, content: Any, *, retain: bool = False) -> Outgoing:
    """Return one PUBLISH: bytes and text as they are, anything else as JSON."""
    if not isinstance(content, bytes):
        text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
        content = text.encode()
    return Outgoing(topic=topic, payload=content, retain=retain)


def iso(at: float) -> str:
    """Return ``at`` (Unix seconds) as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
