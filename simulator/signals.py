"""What a healthy device measures: pure functions of a seed and a time.

Nothing here keeps state: a value may be asked for any instant, in any order, and the same seed gives
the same value. Noise is therefore a hash of the seed and the instant, not the next number of a generator.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import ClassVar, NamedTuple, Protocol

DAY_S = 86_400.0
_UNIT = 2.0**-32


class Metric(NamedTuple):
    """One channel of a device: its name, its unit, the decimals that its sensor resolves and its range."""

    name: str
    unit: str
    decimals: int
    low: float = -math.inf
    high: float = math.inf

    def sense(self, value: float) -> float:
        """Return what the sensor says of a value."""
        return round(min(max(value, self.low), self.high), self.decimals)


class Noise:
    """Randomness of one device: a function of the seed, the device and the instant."""

    def __init__(self, *, seed: int, device: str) -> None:
        self._key = blake2b(f"{seed}/{device}".encode(), digest_size=32).digest()

    def normals(self, at: float, channel: str = "") -> tuple[float, ...]:
        """Return eight independent standard normal numbers for the instant ``at`` (s), to the millisecond."""
        words = self._words(f"{channel}@{round(at * 1000)}")
        out: list[float] = []
        for first, second in zip(words[::2], words[1::2], strict=True):
            radius = math.sqrt(-2.0 * math.log((first + 0.5) * _UNIT))
            angle = 2.0 * math.pi * second * _UNIT
            out += (radius * math.cos(angle), radius * math.sin(angle))
        return tuple(out)

    def wander(self, at: float, period_s: float, channel: str = "") -> float:
        """Return smooth noise in -1..1 that takes about ``period_s`` to forget where it was."""
        step, place = divmod(at / period_s, 1.0)
        left, right = (self._knot(int(step) + more, f"{channel}~{period_s}") for more in (0, 1))
        weight = place * place * (3.0 - 2.0 * place)
        return left + (right - left) * weight

    def hex(self, at: float, channel: str, length: int) -> str:
        """Return ``length`` hexadecimal digits (at most 128) that belong to the instant."""
        text = f"{channel}@{round(at * 1000)}".encode()
        return blake2b(text, key=self._key, digest_size=64).hexdigest()[:length]

    def _words(self, text: str) -> list[int]:
        digest = blake2b(text.encode(), key=self._key, digest_size=32).digest()
        return [int.from_bytes(digest[place : place + 4], "big") for place in range(0, 32, 4)]

    def _knot(self, step: int, channel: str) -> float:
        return self._words(f"{channel}#{step}")[0] * _UNIT * 2.0 - 1.0


class Signal(Protocol):
    """The healthy behaviour of one kind of device."""

    METRICS: ClassVar[tuple[Metric, ...]]

    def values(self, noise: Noise, at: float) -> tuple[float, ...]:
        """Return one value per metric for the instant ``at`` (Unix seconds)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pump:
    """A pump on a duty cycle; vibration, current and flow follow one load."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("vibration", "mm/s", 2, 0.0),
        Metric("current", "A", 2, 0.0),
        Metric("flow", "m3/h", 2, 0.0),
    )
    period_s: float = 180.0
    duty: float = 0.7  # share of the period at full load
    rest: float = 0.0  # load between, 0 is off
    ramp_s: float = 4.0

    def load(self, at: float) -> float:
        """Return the load, 0 to 1."""
        place = at % self.period_s
        falling = self.duty * self.period_s
        rise = min(1.0, place / self.ramp_s)
        fall = min(1.0, max(0.0, (place - falling) / self.ramp_s))
        return self.rest + (1.0 - self.rest) * (rise - fall)

    def values(self, noise: Noise, at: float) -> tuple[float, ...]:
        load = self.load(at)
        n = noise.normals(at)
        wear = noise.wander(at, 900.0)
        return (
            0.20 + 1.9 * load * load + 0.05 * wear * load + n[0] * (0.01 + 0.07 * load),
            0.30 + 7.2 * load + n[1] * (0.01 + 0.09 * load),
            12.5 * load - 0.2 * wear * load + n[2] * 0.12 * load,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezer:
    """A freezer whose compressor pulls the temperature down and lets it rise again."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 2),
        Metric("power", "W", 1, 0.0),
    )
    period_s: float = 600.0
    duty: float = 0.45  # share of the period with the compressor on
    warmest: float = -17.4
    coldest: float = -19.2

    def values(self, noise: Noise, at: float) -> tuple[float, ...]:
        place = (at % self.period_s) / self.period_s
        on = place < self.duty
        share = place / self.duty if on else (place - self.duty) / (1.0 - self.duty)
        bent = (1.0 - math.exp(-2.0 * share)) / (1.0 - math.exp(-2.0))
        start, end = (self.warmest, self.coldest) if on else (self.coldest, self.warmest)
        n = noise.normals(at)
        return (
            start + (end - start) * bent + 0.15 * noise.wander(at, 1800.0) + 0.04 * n[0],
            (118.0 + 1.5 * n[1]) if on else 1.4 + 0.1 * n[1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room sensor: a day curve, weather that wanders, a little noise; humidity falls as it warms."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 2),
        Metric("humidity", "%RH", 1, 0.0, 100.0),
    )
    mean: float = 21.0
    swing: float = 1.4  # half the difference between the warmest and the coldest hour
    warmest_hour: float = 15.0  # UTC

    def values(self, noise: Noise, at: float) -> tuple[float, ...]:
        turn = 2.0 * math.pi * (at / DAY_S - self.warmest_hour / 24.0)
        n = noise.normals(at)
        warm = self.swing * math.cos(turn) + 0.25 * noise.wander(at, 2400.0)
        return (
            self.mean + warm + 0.05 * n[0],
            46.0 - 2.2 * warm + 1.2 * noise.wander(at, 3600.0, "h") + 0.25 * n[1],
        )


SIGNALS: Mapping[str, type[Signal]] = {"pump": Pump, "freezer": Freezer, "room": Room}


def parameters(signal: str) -> tuple[str, ...]:
    """Return the names of the numbers that a scenario may set for a signal."""
    return tuple(field.name for field in fields(SIGNALS[signal]))  # type: ignore[arg-type]
