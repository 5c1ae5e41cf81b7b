"""Devices with series that go together, and part while each stays in its range.

They were written before there was a rule for pairs. Half of them were not looked at when it was made.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from simulator.events import Message
from tests.benchmarks.detect.bases import DAY_S, HOUR_S, MONDAY, is_weekend
from tests.benchmarks.detect.site import Ordinary, Payload, Site, hour, sun, wave_of_day

Life = Iterator[tuple[float, Payload]]
Parting = Callable[[float], float]  # how far the two have parted at an instant, 0 to 1
FIRST_DAY, LAST_DAY = 15.0, 22.0  # between which they part


@dataclass(frozen=True, slots=True)
class Coupled:
    """A device whose series go together, and part over ``ramp_s``."""

    name: str
    live: Callable[[Site, Parting], Life]
    tuned: bool
    ramp_s: float

    @property
    def source(self) -> Mapping[str, str]:
        return {"topic": "plant/{device}"}

    def onset(self, seed: int) -> float:
        """Return when the two part."""
        day = Random(f"parts/{seed}/{self.name}").uniform(FIRST_DAY, LAST_DAY)
        return MONDAY + day * DAY_S

    def messages(self, *, days: int, seed: int, parts: bool) -> list[Message]:
        """Return what it sends; until they part, the same with and without that."""
        onset = self.onset(seed) if parts else math.inf

        def parted(at: float) -> float:
            return 0.0 if at < onset else min(1.0, (at - onset) / self.ramp_s if self.ramp_s else 1.0)

        topic = f"plant/{self.name}"
        sent = Ordinary(
            self.name,
            self.source,
            lambda site: ((at, topic, body) for at, body in self.live(site, parted)),
            self.tuned,
        )
        return sent.messages(days=days, seed=seed)


COUPLED: dict[str, Coupled] = {}


def _device(
    *, tuned: bool, ramp_s: float = 0.0
) -> Callable[[Callable[[Site, Parting], Life]], Callable[[Site, Parting], Life]]:
    def take(live: Callable[[Site, Parting], Life]) -> Callable[[Site, Parting], Life]:
        COUPLED[live.__name__] = Coupled(live.__name__, live, tuned, ramp_s)
        return live

    return take


# -------------------------------------------------------------------------------------- tuned on


@_device(tuned=True)
def heating_loop(site: Site, parted: Parting) -> Life:
    """Flow and return of a heating whose season begins on the sixth day; a bypass opens."""
    weather, back = site.wandering(3.0, 2.0 * DAY_S), 21.0
    for at in site.every(120.0):
        cold = 1.0 if at > site.on(5.3) else 0.0
        out = 13.0 - 8.0 * cold + weather(at) + 3.5 * wave_of_day(at, 9.0)
        setback = 6.0 if hour(at) < 5.5 or hour(at) > 22 else 0.0
        need = max(0.0, 18.0 - out - setback / 2)
        flow = 22.0 if need < 3.0 else 26.0 + 1.15 * need - setback / 2 + site.dice.gauss(0, 0.3)
        spread = max(0.0, flow - 22.0) * 0.42 * (1.0 - 0.6 * parted(at))
        back += (flow - spread - back) * 0.12  # a quarter of an hour behind
        yield (
            at,
            {
                "flow_temperature": round(flow, 1),
                "return_temperature": round(back + site.dice.gauss(0, 0.15), 1),
                "outdoor_temperature": round(out + site.dice.gauss(0, 0.1), 1),
            },
        )


@_device(tuned=True)
def two_strings(site: Site, parted: Parting) -> Life:
    """Two strings of solar panels, snow on a morning; one loses a third of its panels."""
    clouds, slow = site.wandering(0.6, 0.3 * HOUR_S), site.wandering(0.8, 0.8 * DAY_S)
    for at in site.every(60.0):
        light = sun(at) * min(1.0, max(0.08, 0.75 + clouds(at) * 0.4 + slow(at) * 0.5))
        snowy = site.on(9) < at < site.on(9) + 10.5 * HOUR_S
        later = site.on(9) < at < site.on(9) + 11.5 * HOUR_S
        one = 2600.0 * light * (0.1 if snowy else 1.0)
        two = 2450.0 * light * (0.1 if later else 1.0) * (1.0 - 0.33 * parted(at))
        yield (
            at,
            {
                "string1_power": round(max(0.0, one + site.dice.gauss(0, 8) * (one > 20))),
                "string2_power": round(max(0.0, two + site.dice.gauss(0, 8) * (two > 20))),
                "temperature": round(18 + 22 * light + 6 * wave_of_day(at, 9) + site.dice.gauss(0, 0.4), 1),
            },
        )


@_device(tuned=True)
def pressure_pump(site: Site, parted: Parting) -> Life:
    """Speed and pressure of a pump with a demand of the day; its impeller wears."""
    demand, days = site.wandering(7.0, 1.5 * HOUR_S), site.wandering(6.0, 1.0 * DAY_S)
    for at in site.every(60.0):
        busy = 10.0 if 6 < hour(at) < 22 and not is_weekend(at) else 0.0
        speed = min(100.0, max(35.0, 62.0 + busy + 6.0 * wave_of_day(at, 8) + demand(at) + days(at)))
        bar = 6.0 * (speed / 100) ** 2 * (1.0 - 0.3 * parted(at))
        yield (
            at,
            {
                "speed": round(speed + site.dice.gauss(0, 0.3)),
                "pressure": round(bar + site.dice.gauss(0, 0.05), 2),
            },
        )


@_device(tuned=True, ramp_s=2 * DAY_S)
def cpu_fan(site: Site, parted: Parting) -> Life:
    """Fan and temperature of a server by its load; dust gathers in two days (a filter is blocked)."""
    load, jobs, warm, rpm = site.wandering(0.12, 2 * HOUR_S), site.some_days(0.5, 0.0, 24.0), 40.0, 1500.0
    for at in site.every(30.0):
        job = any(since <= at < since + 3 * HOUR_S for since in jobs)
        share = min(1.0, max(0.05, 0.3 + load(at) + 0.12 * wave_of_day(at, 8) + 0.45 * job))
        rpm += (min(4800.0, max(1200.0, 1200.0 + 4000.0 * share)) - rpm) * 0.1
        warm += (30.0 + 42.0 * share * (1.0 + 0.45 * parted(at)) - warm) * 0.05
        yield (
            at,
            {
                "fan": round((rpm + site.dice.gauss(0, 20)) / 30) * 30,
                "cpu_temperature": round(warm + site.dice.gauss(0, 0.5)),
                "load": round(share + site.dice.gauss(0, 0.02), 2),
            },
        )


@_device(tuned=True)
def two_supplies(site: Site, parted: Parting) -> Life:
    """Two power supplies that share the load of a rack; one takes more of it."""
    load, week = site.wandering(1.1, 3 * HOUR_S), site.wandering(0.8, 2 * DAY_S)
    for at in site.every(60.0):
        amps = 10.0 + load(at) + week(at) + 1.2 * wave_of_day(at, 9) - 0.6 * is_weekend(at)
        share = 0.5 + 0.07 * parted(at)
        yield (
            at,
            {
                "psu1_current": round(amps * share + site.dice.gauss(0, 0.05), 1),
                "psu2_current": round(amps * (1.0 - share) + site.dice.gauss(0, 0.05), 1),
                "voltage": round(229.0 + 1.5 * wave_of_day(at, 2) + site.dice.gauss(0, 0.5), 1),
            },
        )


@_device(tuned=True)
def air_handler(site: Site, parted: Parting) -> Life:
    """Supply and room temperature of an air handler; its damper sticks and the room follows less."""
    gains, aim, room = site.wandering(0.4, 4 * HOUR_S), site.wandering(2.6, 9 * HOUR_S), 21.0
    for at in site.every(120.0):
        used = 7 < hour(at) < 19 and not is_weekend(at)
        supply = 20.0 + aim(at) + 1.5 * wave_of_day(at, 10) + site.dice.gauss(0, 0.2)
        pull = 0.55 * (1.0 - parted(at))
        room += (21.5 + pull * (supply - 20.0) + 0.7 * used + gains(at) - room) * 0.06
        yield (
            at,
            {
                "supply_temperature": round(supply, 1),
                "room_temperature": round(room + site.dice.gauss(0, 0.05), 1),
                "co2": round(450 + 330 * used + site.dice.gauss(0, 20)),
            },
        )


# ----------------------------------------------------------------------------------- not looked at


@_device(tuned=False)
def three_voltages(site: Site, parted: Parting) -> Life:
    """Three phases of a mains that wanders, with loads of their own; one contact becomes loose."""
    mains, own = site.wandering(2.6, 5 * HOUR_S), [site.wandering(0.5, HOUR_S) for _ in range(3)]
    for at in site.every(60.0):
        common = 231.0 + mains(at) + 2.0 * wave_of_day(at, 0)
        volts = [common + one(at) + site.dice.gauss(0, 0.3) for one in own]
        volts[1] += 4.5 * parted(at)
        yield at, {f"voltage_l{phase + 1}": round(value, 1) for phase, value in enumerate(volts)}


@_device(tuned=False)
def irradiance_meter(site: Site, parted: Parting) -> Life:
    """Irradiance and power of a solar plant, cleaned by rain on day 10; a quarter is shaded."""
    clouds, slow = site.wandering(0.7, 0.4 * HOUR_S), site.wandering(0.7, DAY_S)
    for at in site.every(300.0):
        light = sun(at) * min(1.0, max(0.1, 0.7 + clouds(at) * 0.4 + slow(at) * 0.5))
        clean = 0.96 - 0.0025 * ((at - site.on(10)) / DAY_S % 10 if at > site.on(10) else 14.0)
        power = min(9.0, 10.8 * light * clean * (1.0 - 0.0035 * 25 * light) * (1.0 - 0.25 * parted(at)))
        yield (
            at,
            {
                "irradiance": round(max(0.0, 930 * light + site.dice.gauss(0, 4) * (light > 0))),
                "power": round(max(0.0, power + site.dice.gauss(0, 0.03) * (light > 0)), 2),
                "panel_temperature": round(15 + 30 * light + 5 * wave_of_day(at, 9), 1),
            },
        )


@_device(tuned=False, ramp_s=1.5 * DAY_S)
def air_filter(site: Site, parted: Parting) -> Life:
    """Flow and pressure drop of a filter that is cleaned each week; it clogs within a day and a half."""
    demand = site.wandering(90.0, 6 * HOUR_S)
    for at in site.every(120.0):
        used = 6 < hour(at) < 20 and not is_weekend(at)
        flow = max(150.0, 520.0 + 240.0 * used + demand(at))
        dust = 1.0 + 0.02 * ((at - site.on(4.4)) / DAY_S % 7) + 0.6 * parted(at)
        drop = 150.0 * (flow / 800) ** 2 * dust
        yield (
            at,
            {
                "flow": round(flow + site.dice.gauss(0, 8)),
                "pressure_drop": round(drop + site.dice.gauss(0, 2)),
            },
        )


@_device(tuned=False, ramp_s=3 * DAY_S)
def two_probes(site: Site, parted: Parting) -> Life:
    """Two probes in a cold room with defrosts and visits; one drifts away in three days."""
    air, warm, one, two = site.wandering(0.5, 3 * HOUR_S), 2.0, 2.0, 2.3
    visits = site.some_days(0.9, 6.0, 18.0, weekends=False) + site.some_days(0.9, 6.0, 18.0)
    for at in site.every(60.0):
        defrost = at % (8 * HOUR_S) < 1500
        opened = any(since <= at < since + 900 for since in visits)
        warm += (2.0 + air(at) + 9.0 * defrost + 6.0 * opened - warm) * 0.05
        one += (warm - one) * 0.3
        two += (warm + 0.3 - two) * 0.15
        yield (
            at,
            {
                "probe_front": round(one + site.dice.gauss(0, 0.06), 1),
                "probe_back": round(two + 2.2 * parted(at) + site.dice.gauss(0, 0.06), 1),
                "humidity": round(82 - 2 * (warm - 2) + site.dice.gauss(0, 0.8), 1),
            },
        )


@_device(tuned=False)
def belt_motor(site: Site, parted: Parting) -> Life:
    """Load and current of a belt in two shifts, its first start of a day is stiff; a bearing runs dry."""
    load, batch = site.wandering(9.0, 0.7 * HOUR_S), site.wandering(9.0, 8 * HOUR_S)
    for at in site.every(60.0):
        runs = 6 < hour(at) < 22 and not is_weekend(at)
        tons = max(0.0, 45.0 + load(at) + batch(at)) if runs else 0.0
        stiff = 0.8 if runs and hour(at) < 6.5 else 0.0
        amps = (4.0 + 0.16 * tons * (1.0 + 0.25 * parted(at)) + stiff) if runs else 0.0
        yield (
            at,
            {
                "belt_load": round(max(0.0, tons + site.dice.gauss(0, 0.8) * runs), 1),
                "motor_current": round(max(0.0, amps + site.dice.gauss(0, 0.12) * runs), 1),
            },
        )


@_device(tuned=False)
def river_gauges(site: Site, parted: Parting) -> Life:
    """Two gauges of a river, an hour and a half apart, with rains; the lower one is moved."""
    rains, up, down, late = site.some_days(0.35, 0.0, 24.0), 90.0, 120.0, [90.0] * 18
    for at in site.every(300.0):
        rain = sum(4.0 for since in rains if since <= at < since + 2 * HOUR_S)
        up += (90.0 - up) * 0.0025 + rain * 0.5
        late.append(up)
        down += (30.0 + late.pop(0) * 1.1 - down) * 0.12
        yield (
            at,
            {
                "gauge_upper": round(up + site.dice.gauss(0, 0.5)),
                "gauge_lower": round(down + 30.0 * parted(at) + site.dice.gauss(0, 0.5)),
                "water_temperature": round(11 + 0.8 * wave_of_day(at, 11) + site.dice.gauss(0, 0.05), 1),
            },
        )
