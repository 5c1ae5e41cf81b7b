"""Healthy devices on which the figures of the detector were chosen."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from tests.benchmarks.detect.bases import DAY_S, HOUR_S, is_weekend
from tests.benchmarks.detect.site import Payload, Register, Sent, Site, hour, stamp, sun, wave_of_day

KNOWN = Register(tuned=True)
device = KNOWN.device
Life = Iterator[tuple[float, Payload]]


def iso(at: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    """Return the instant as text (UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime(form)


@device("zigbee2mqtt/{device}")
def climate_battery_hourly(site: Site) -> Life:
    """Temperature and humidity on a battery: about hourly, sooner on change."""
    wander, link = site.wandering(0.7, 6 * HOUR_S), site.wandering(18.0, HOUR_S)
    battery, at = 100.0, site.start
    while at < site.end:
        battery -= 0.005 * site.dice.random()
        yield (
            at,
            {
                "battery": int(battery),
                "humidity": round(48 + 6 * wave_of_day(at) + 3 * wander(at), 2),
                "last_seen": iso(at),
                "linkquality": max(0, min(255, int(110 + link(at)))),
                "temperature": round(20.5 + 1.2 * wave_of_day(at, 10.0) + wander(at), 2),
                "voltage": 2900 + int(battery),
            },
        )
        at += site.dice.choice((3600, 3600, 3300, 2700, 1800, 900)) * site.dice.uniform(0.9, 1.0)


@device("zigbee2mqtt/{device}")
def door_contact(site: Site) -> Life:
    """A door contact: on change by day, and every 50 minutes whatever happens."""
    moves: list[tuple[float, bool | None]] = [(at, None) for at in site.every(3000.0)]
    for day in range(site.days):
        for _ in range(site.dice.randint(4, 14)):
            at = site.start + day * DAY_S + site.dice.uniform(6.8, 22.5) * HOUR_S
            moves += [(at, False), (at + site.dice.choice((3, 5, 8, 20, 120)), True)]
    shut = True
    for at, new in sorted(moves, key=lambda move: move[0]):
        shut = shut if new is None else new
        yield (
            at,
            {
                "battery": 97,
                "contact": shut,
                "device_temperature": site.dice.randint(21, 25),
                "linkquality": site.dice.randint(60, 160),
                "power_outage_count": 12,
                "voltage": 3005,
            },
        )


@device("zigbee2mqtt/{device}")
def motion(site: Site) -> Life:
    """A motion sensor: only on change, rarely at night."""
    at = site.start
    while at < site.end:
        calm_s = 7200.0 if hour(at) < 6 else 600.0 if hour(at) < 22.5 else 2400.0
        at += site.dice.expovariate(1 / calm_s)
        light = int(800 * sun(at) * site.dice.uniform(0.2, 1.0) + site.dice.choice((0, 0, 5, 60, 180)))
        for seen in (True, False):
            link = site.dice.randint(40, 130)
            yield (
                at,
                {
                    "occupancy": seen,
                    "illuminance": light,
                    "battery": 88,
                    "linkquality": link,
                    "voltage": 2985,
                },
            )
            at += 90.0


@device("zigbee2mqtt/{device}")
def washing_machine(site: Site) -> Life:
    """A plug with a washing machine on some days: rare loads, and a counter that mostly rests."""
    runs, energy = site.some_days(0.4, 8.0, 19.0), 120.0
    for at in site.every(120.0):
        since = next((at - run for run in runs if run <= at < run + 5400), None)
        if since is None:
            power = 0.4
        elif 300 < since < 1500:
            power = site.dice.gauss(2050.0, 25.0)
        else:
            power = (
                site.dice.choice((40.0, 120.0, 180.0, 8.0))
                if since < 4300
                else site.dice.uniform(300.0, 520.0)
            )
        energy += power * 120 / 3.6e6
        yield (
            at,
            {
                "state": "ON",
                "power": round(power, 1),
                "current": round(power / 230, 2),
                "energy": round(energy, 2),
                "voltage": site.gauss(231 + 2 * wave_of_day(at), 0.8),
                "linkquality": site.dice.randint(90, 180),
            },
        )


@device("dtu/{device}")
def total_zero_at_dusk(site: Site) -> Life:
    """An inverter whose total reads 0 for minutes as it goes to sleep, then the old total again."""
    total, today = 1342.37, 0.0
    for at in site.every(120.0):
        power = 600 * sun(at) * site.dice.uniform(0.3, 1.0)
        total += power * 120 / 3.6e6
        today = 0.0 if hour(at) < 0.04 else today + power * 120 / 3.6e3
        asleep = 18.55 < hour(at) < 18.8 and site.dice.random() < 0.5
        yield (
            at,
            {
                "power": round(power, 1),
                "yieldtotal": 0 if asleep else round(total, 3),
                "yieldday": 0 if asleep else round(today),
            },
        )


@device("dtu/{device}")
def total_set_to_zero_once(site: Site) -> Life:
    """An energy counter that a person sets to 0 on day 15."""
    energy, reset = 310.22, site.on(15)
    for at in site.every(120.0):
        energy = 0.0 if abs(at - reset) < 60 else energy + site.dice.choice((40, 60, 90, 400)) * 120 / 3.6e6
        yield at, {"energy": round(energy, 2)}


@device("dtu/{device}")
def inverter_zero_at_night(site: Site) -> Life:
    """An inverter that reports zeros by night; clouds and dull days."""
    clouds = site.wandering(0.35, 1200.0)
    dull = [0.4 + 0.6 * site.dice.random() for _ in range(site.days)]
    for at in site.every(90.0):
        power = 5000 * sun(at) * dull[site.day(at)] * max(0.05, min(1.0, 0.8 + clouds(at)))
        yield (
            at,
            {
                "power": round(power),
                "dc_voltage": round(site.dice.gauss(380 + power / 80, 3.0)) if power else 0,
                "temperature": site.gauss(18 + power / 180, 0.3),
                "frequency": site.gauss(50.0, 0.015, 2) if power else 0,
            },
        )


@device("dtu/{device}")
def inverter_silent_at_night(site: Site) -> Life:
    """An inverter that sends nothing from dusk to dawn."""
    clouds = site.wandering(0.35, 1200.0)
    for at in site.every(90.0):
        if sun(at) > 0.03:
            power = 5000 * sun(at) * max(0.05, min(1.0, 0.6 + clouds(at)))
            yield at, {"power": round(power), "temperature": site.gauss(18 + power / 180, 0.3)}


@device("tank/{device}")
def septic_tank(site: Site) -> Life:
    """A tank that fills by 4 % a day and is emptied on day 24."""
    level, emptied = 8.0, site.on(24) + 9 * HOUR_S
    for at in site.every(300.0):
        busy = 1.6 if 7 < hour(at) < 22 else 0.1
        level = 3.0 if abs(at - emptied) < 150 else level + 4 / 288 * busy * site.dice.uniform(0.3, 1.7)
        yield at, {"level": site.gauss(level, 0.15)}


@device("boiler/{device}")
def gas_boiler(site: Site) -> Life:
    """A gas boiler: burner cycles, night setback, later hours at weekends, hot water, a service code."""
    flow, water, burning = 35.0, 52.0, False
    minutes, uptime, starts = 216_725.0, 1_817_107, 30_158
    outdoor = site.outdoor()
    for at in site.every(90.0):
        heating = (7.5 < hour(at) < 23) if is_weekend(at) else (5.5 < hour(at) < 22)
        hot_water = water < 45
        target = 70.0 if hot_water else 38 + (14 - outdoor(at)) * 1.1 if heating else 20.0
        before, burning = burning, flow < target + (4 if burning else -4)
        starts += burning and not before
        if flow > 18 or burning:
            flow += (1.6 if burning else -0.35) * site.dice.uniform(0.9, 1.1)
        tapped = site.dice.random() < 0.01 and 6 < hour(at) < 22
        water += (0.6 if hot_water and burning else -0.012) - (0.4 if tapped else 0.0)
        minutes, uptime = minutes + 1.5 * burning, uptime + 90
        yield (
            at,
            {
                "curFlowTemp": round(flow, 1),
                "retTemp": round(flow - 6 - site.dice.random(), 1),
                "wWCurTmp": round(water, 1),
                "sysPress": site.gauss(1.5 + flow / 400, 0.01),
                "burnGas": "on" if burning else "off",
                "selFlowTemp": round(target),
                "ServiceCodeNumber": 201 if hot_water else 200 if burning else 203 if heating else 204,
                "UBAuptime": uptime,
                "burnStarts": starts,
                "burnWorkMin": int(minutes),
            },
        )


@device("wx/{device}")
def weather_station(site: Site) -> Life:
    """A weather station with one storm on day 18, which a finding may well report."""
    outdoor, pressure = site.outdoor(), site.wandering(9.0, 2 * DAY_S)
    gusty, wet, rain = site.wandering(0.8, 3 * HOUR_S), site.wandering(1.0, 8 * HOUR_S), 0.0
    storm = site.on(18.4)
    for at in site.every(120.0):
        blow = 1 + 1.4 * math.exp(-(((at - storm) / (0.35 * DAY_S)) ** 2))
        wind = math.exp(0.6 + gusty(at) * 0.7) * blow
        rain += site.dice.choice((0, 0, 0.2, 0.2, 0.4)) * blow if wet(at) > 1.1 else 0
        yield (
            at,
            {
                "temperature": round(outdoor(at), 1),
                "pressure": round(1013 + pressure(at) - 12 * (blow - 1), 1),
                "wind": round(wind, 1),
                "gust": round(wind * (1 + site.dice.expovariate(2.5)), 1),
                "wind_dir": int(site.dice.gauss(220 + 40 * gusty(at), 25.0) % 360),
                "rain_mm": round(rain, 1),
                "uv": round(6 * sun(at) * site.dice.uniform(0.5, 1.0), 1),
            },
        )


@device("room/{device}")
def thermostat(site: Site) -> Life:
    """A thermostat: night setback, two days away, one evening warmer by hand."""
    for at in site.every(300.0):
        wanted = 16.0 if site.day(at) in (13, 14) else 21.0 if 6 < hour(at) < 22 else 18.0
        if site.day(at) == 19 and 19 < hour(at) < 22:
            wanted = 22.5
        yield (
            at,
            {
                "occupied_heating_setpoint": wanted,
                "local_temperature": site.gauss(wanted - 0.3, 0.15),
                "pi_heating_demand": int(max(0.0, min(100.0, site.dice.gauss(30.0, 12.0)))),
                "system_mode": "heat",
            },
        )


@KNOWN.spread("msh/{region}/2/json/{channel}/{gateway}", format="meshtastic")
def radio_nodes(site: Site) -> Iterator[Sent]:
    """Six radio nodes behind one gateway topic; the payload names the node."""
    nodes = [(10**9 + i * 777_777_777, 3.6 + 0.1 * i, site.dice.uniform(0.1, 5.0)) for i in range(6)]
    at = site.start
    while at < site.end:
        node, volts, air = site.dice.choice(nodes)
        yield (
            at,
            "msh/EU/2/json/LongFast/!gw",
            {
                "channel": 0,
                "from": node,
                "hop_start": 3,
                "hops_away": site.dice.choice((0, 0, 1, 2)),
                "id": site.dice.getrandbits(31),
                "payload": {
                    "air_util_tx": round(air * site.dice.uniform(0.8, 1.2), 3),
                    "battery_level": int(100 * (volts - 3.3)),
                    "channel_utilization": round(site.dice.uniform(2, 12), 2),
                    "uptime_seconds": int(at - site.start) + node % 99_999,
                    "voltage": site.gauss(volts, 0.01, 3),
                },
                "rssi": site.dice.randint(-120, -30),
                "snr": round(site.dice.uniform(-15, 10), 2),
                "timestamp": stamp(at),
                "to": 4_294_967_295,
                "type": "telemetry",
            },
        )
        at += site.dice.expovariate(1 / 300)


@KNOWN.spread("rtl_433/{host}/events", format="rtl_433", device="{$.model}/{$.id}")
def radio_sensors(site: Site) -> Iterator[Sent]:
    """A radio that receives three sensors on one topic, and now and then the tyre of a passing car."""
    outdoor, topic = site.outdoor(), "rtl_433/host/events"
    for count, at in enumerate(site.every(17.0)):
        sensors: tuple[dict[str, Payload], ...] = (
            {
                "model": "Outdoor",
                "id": 196,
                "temperature_C": round(outdoor(at), 1),
                "humidity": site.dice.randint(75, 85),
            },
            {
                "model": "Freezer",
                "id": 5,
                "temperature_C": site.gauss(-18 + 2 * math.sin(at / 1200), 0.2),
                "humidity": 45,
            },
            {"model": "Room", "id": 61, "temperature_C": site.gauss(21.0, 0.2), "humidity": 45},
        )
        when = iso(at, "%Y-%m-%d %H:%M:%S")
        yield at, topic, {"time": when, "battery_ok": 1, **sensors[count % 3]}
        if site.dice.random() < 0.004:
            tyre = {"model": "Toyota", "type": "TPMS", "id": f"{site.dice.getrandbits(32):08x}"}
            values = {
                "pressure_kPa": round(site.dice.uniform(210, 260), 1),
                "temperature_C": site.dice.randint(10, 45),
            }
            yield at + 1, topic, {"time": when, **tyre, **values}


@KNOWN.spread("ie/{device}/r", format="tag_list")
def controller_tags(site: Site) -> Iterator[Sent]:
    """A controller that sends two tags in a list, and sometimes only the one that changed."""
    for at in site.every(120.0):
        tags = [
            {"id": "101", "qc": 3, "ts": iso(at), "val": site.gauss(65.0, 0.4, 2)},
            {"id": "102", "qc": 3, "ts": iso(at), "val": site.gauss(1480.0, 6.0)},
        ]
        yield at, "ie/controller_tags/r", {"seq": 1, "vals": tags[:1] if site.dice.random() < 0.3 else tags}


@device("plug/{device}")
def freezer(site: Site) -> Life:
    """A freezer with its plug: compressor cycles, two defrosts a day, the door by day."""
    cold, on = -18.0, False
    for at in site.every(120.0):
        on = cold > (-19.5 if on else -17.0)
        if at % (12 * HOUR_S) < 1200:
            cold, power = cold + 0.25, site.dice.gauss(180.0, 3.0)
        else:
            cold, power = cold + (-0.06 if on else 0.035), site.dice.gauss(78.0, 2.0) if on else 1.1
        if 8 < hour(at) < 20 and site.dice.random() < 0.004:
            cold += 1.5
        yield at, {"power": round(power, 1), "temperature": site.gauss(cold, 0.05)}


@device("evcc/{device}")
def wallbox(site: Site) -> Life:
    """A car charger: 0 W for days, then 11 kW for hours; session seconds begin again."""
    sessions = [(at, site.dice.uniform(1, 4) * HOUR_S) for at in site.some_days(0.35, 16.0, 23.0)]
    for at in site.every(90.0):
        begun = next((since for since, length in sessions if since <= at < since + length), None)
        power = site.dice.gauss(11_000.0, 40.0) if begun and at - begun > 60 else 0.0
        yield (
            at,
            {
                "chargePower": round(power),
                "charging": power > 0,
                "connected": power > 0 or hour(at) > 18,
                "chargeDuration": int(at - begun) if begun else 0,
                "vehicleSoc": 60,
                "phasesActive": 3 if power else 0,
            },
        )


@device("p1/{device}")
def smart_meter(site: Site) -> Life:
    """A smart meter: household power, two tariffs of which one rests for 8 to 56 h, gas once an hour."""
    low, high, gas, load = 1000.0, 2000.0, 500.0, site.wandering(0.8, 1800.0)
    for at in site.every(90.0):
        tariff = 2 if 7 < hour(at) < 23 and not is_weekend(at) else 1
        busy = 1.2 if 17 < hour(at) < 22 else 0.5 if 7 < hour(at) < 9 else 0.0
        power = min(9.0, 0.12 * math.exp(load(at) + busy))
        low, high = low + power * 90 / 3600 * (tariff == 1), high + power * 90 / 3600 * (tariff == 2)
        gas += site.dice.choice((0, 0, 0.02, 0.1, 0.3)) if at % HOUR_S < 90 else 0
        yield (
            at,
            {
                "power_delivered": round(power, 3),
                "power_returned": 0,
                "energy_t1": round(low, 3),
                "energy_t2": round(high, 3),
                "tariff": tariff,
                "voltage_l1": site.gauss(231.0, 1.4),
                "current_l1": round(power * 1000 / 230),
                "gas": round(gas, 3),
            },
        )
