"""The site of the ordinary devices: calendar, weather, dice, and the register."""

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator.events import Message
from tests.benchmarks.detect.bases import DAY_S, HOUR_S, MONDAY, is_weekend

Payload = Mapping[str, Any] | list[Any] | str | int | float
Sent = tuple[float, str, Payload]  # instant, topic, payload


def hour(at: float) -> float:
    """Return the hour of the day."""
    return at % DAY_S / HOUR_S


def wave_of_day(at: float, rise: float = 0.0) -> float:
    """Return a sine of the day that rises through 0 at an hour."""
    return math.sin(2 * math.pi * (hour(at) - rise) / 24)


def sun(at: float) -> float:
    """Return the height of the sun, 0 to 1, between 6:30 and 18:30."""
    return max(0.0, math.sin(math.pi * (hour(at) - 6.5) / 12)) if 6.5 < hour(at) < 18.5 else 0.0


@dataclass(slots=True)
class Site:
    """The place of a device for ``days`` from a Monday on."""

    name: str
    days: int
    dice: random.Random
    start: float = MONDAY

    @property
    def end(self) -> float:
        return self.start + self.days * DAY_S

    def every(self, step_s: float) -> Iterator[float]:
        """Yield the instants of a steady reporter."""
        at, end = self.start, self.end
        while at < end:
            yield at
            at += step_s

    def day(self, at: float) -> int:
        """Return the number of the day, 0 for the first."""
        return int((at - self.start) // DAY_S)

    def on(self, day: float) -> float:
        """Return an instant of a day, of the last one where there are fewer."""
        return self.start + min(day, self.days - 1 + day % 1) * DAY_S

    def some_days(self, share: float, first: float, last: float, *, weekends: bool = True) -> list[float]:
        """Return an instant between two hours of a share of the days."""
        return [
            self.start + day * DAY_S + self.dice.uniform(first, last) * HOUR_S
            for day in range(self.days)
            if self.dice.random() < share and (weekends or not is_weekend(self.start + day * DAY_S))
        ]

    def wandering(self, sd: float, tau_s: float) -> Callable[[float], float]:
        """Return a value that wanders around 0 with a spread and a time."""
        state = [math.nan, self.dice.gauss(0.0, sd)]

        def at_time(at: float) -> float:
            if not math.isnan(state[0]):
                keep = math.exp(-(at - state[0]) / tau_s)
                state[1] = keep * state[1] + math.sqrt(1.0 - keep * keep) * self.dice.gauss(0.0, sd)
            state[0] = at
            return state[1]

        return at_time

    def outdoor(self) -> Callable[[float], float]:
        """Return the outdoor temperature."""
        weather = self.wandering(3.0, 2.5 * DAY_S)
        return lambda at: 14.0 + weather(at) + 5.0 * wave_of_day(at, 9.0) + self.dice.gauss(0.0, 0.1)

    def gauss(self, mean: float, sd: float, digits: int = 1) -> float:
        """Return a rounded reading with noise."""
        return round(self.dice.gauss(mean, sd), digits)


@dataclass(frozen=True, slots=True)
class Ordinary:
    """One healthy device. ``tuned``: the detector's figures were chosen with it in sight."""

    name: str
    source: Mapping[str, Any]
    live: Callable[[Site], Iterator[Sent]]
    tuned: bool

    def messages(self, *, days: int, seed: int) -> list[Message]:
        """Return what it sends, in order of time; the same seed gives the same bytes."""
        site = Site(self.name, days, random.Random(f"{seed}/{self.name}"))
        sent = sorted(self.live(site), key=lambda one: one[0])
        return [Message(at, self.name, topic, _bytes(body), 1, "", 0) for at, topic, body in sent]


def _bytes(body: Payload) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


@dataclass(slots=True)
class Register:
    """The devices of one file."""

    tuned: bool
    devices: dict[str, Ordinary] = field(default_factory=dict)

    def device(
        self, topic: str, **source: Any
    ) -> Callable[[Callable[[Site], Iterator[tuple[float, Payload]]]], object]:
        """Take a function that yields instants and payloads, sent to ``topic`` with its name for device."""

        def take(live: Callable[[Site], Iterator[tuple[float, Payload]]]) -> object:
            name = live.__name__
            place = topic.replace("{device}", name)

            def send(site: Site) -> Iterator[Sent]:
                return ((at, place, body) for at, body in live(site))

            self.devices[name] = Ordinary(name, {"topic": topic, **source}, send, self.tuned)
            return live

        return take

    def spread(self, topic: str, **source: Any) -> Callable[[Callable[[Site], Iterator[Sent]]], object]:
        """Take a function that yields instants, topics and payloads."""

        def take(live: Callable[[Site], Iterator[Sent]]) -> object:
            self.devices[live.__name__] = Ordinary(
                live.__name__, {"topic": topic, **source}, live, self.tuned
            )
            return live

        return take


def stamp(at: float) -> int:
    """Return the instant as a device writes it: whole seconds."""
    return int(at)
