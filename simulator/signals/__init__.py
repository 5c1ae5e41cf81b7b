"""Values of a healthy device: pure functions of a seed and a time."""

from collections.abc import Mapping
from dataclasses import fields

from simulator.signals.climate import BatterySensor, Greenhouse, Office, Outdoor, Room
from simulator.signals.cold import Freezer, Truck
from simulator.signals.machines import Compressor, Pump, Server
from simulator.signals.meters import Solar, WaterMeter
from simulator.signals.noise import Noise
from simulator.signals.signal import CALM, Event, Events, Metric, Signal

__all__ = [
    "CALM",
    "SIGNALS",
    "Event",
    "Events",
    "Freezer",
    "Metric",
    "Noise",
    "Pump",
    "Room",
    "Signal",
    "parameters",
]

SIGNALS: Mapping[str, type[Signal]] = {
    "battery_sensor": BatterySensor,
    "compressor": Compressor,
    "freezer": Freezer,
    "greenhouse": Greenhouse,
    "office": Office,
    "outdoor": Outdoor,
    "pump": Pump,
    "room": Room,
    "server": Server,
    "solar": Solar,
    "truck": Truck,
    "water_meter": WaterMeter,
}


def parameters(signal: str) -> tuple[str, ...]:
    """Return the names of the numbers that a scenario may set for a signal."""
    return tuple(field.name for field in fields(SIGNALS[signal]))  # type: ignore[arg-type]
