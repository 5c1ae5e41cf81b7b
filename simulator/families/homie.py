"""Homie devices: one of convention 4, and a root with a child of convention 5."""

from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Meters:
    """A climate sensor in Homie 4, and a bridge with a meter in Homie 5."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._old, self._root, self._child = f"climate-{place}", f"bridge-{place}", f"meter-{place}"
        self._climate = Sensors("room", name=self._old, seed=seed)
        self._meter = Sensors("solar", name=self._child, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return attributes, descriptions and states, all retained."""
        old = f"homie/{self._old}"
        attributes = {
            "$homie": "4.0.0", "$name": "Climate", "$nodes": "air", "air/$properties": "temperature,humidity",
            "air/temperature/$unit": "°C", "air/temperature/$datatype": "float", "air/humidity/$unit": "%",
            "$state": "ready",
        }  # fmt: skip
        yield from (message(f"{old}/{name}", text, retain=True) for name, text in attributes.items())
        power = {"power": {"datatype": "float", "unit": "W"}, "energy": {"datatype": "float", "unit": "kWh"}}
        meter = {"root": self._root, "nodes": {"grid": {"properties": power}}}
        for name, more in ((self._root, {"children": [self._child], "nodes": {}}), (self._child, meter)):
            described: dict[str, Any] = {"homie": "5.0", "version": 1, "name": name, **more}
            yield message(f"homie/5/{name}/$description", described, retain=True)
            yield message(f"homie/5/{name}/$state", "ready", retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the values of all properties."""
        for name, value in self._climate.read(at).items():
            yield message(f"homie/{self._old}/air/{name}", f"{value:g}", retain=True)
        for name, value in self._meter.read(at).items():
            yield message(f"homie/5/{self._child}/grid/{name}", f"{value:.2f}", retain=True)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the states of lost devices: the root's will includes its child."""
        yield message(f"homie/{self._old}/$state", "lost", retain=True)
        yield message(f"homie/5/{self._root}/$state", "lost", retain=True)


DEVICE: type[FamilyDevice] = Meters
