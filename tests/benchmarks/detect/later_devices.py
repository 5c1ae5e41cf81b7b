"""Healthy devices, written last and apart; the detector was mended for them."""

import math
from collections.abc import Iterator

from tests.benchmarks.detect.bases import DAY_S, HOUR_S, is_weekend
from tests.benchmarks.detect.site import Payload, Register, Sent, Site, hour, sun, wave_of_day

LATER = Register(tuned=True)
device = LATER.device
Life = Iterator[tuple[float, Payload]]


@device("zigbee2mqtt/{device}")
def presence_radar(site: Site) -> Life:
    """A radar of presence in a study: sends on change, with illuminance and distance, hourly at least."""
    clouds, told, spoke = site.wandering(0.35, HOUR_S), (False, -1.0), site.start - HOUR_S
    visits = [
        (since, since + site.dice.expovariate(1 / 2700.0) + 120)
        for low, high, share in ((7, 9, 0.9), (9, 12, 0.7), (13, 17, 0.7), (19, 22, 0.6), (2, 4, 0.1))
        for since in site.some_days(share, low, high)
    ]
    for at in site.every(30.0):
        here = any(since <= at < until for since, until in visits)
        lamp = 180.0 if here and (hour(at) < 7.5 or hour(at) > 18) else 0.0
        light = 600.0 * sun(at) * math.exp(clouds(at) - 0.3) + lamp
        changed = here != told[0] or abs(light - told[1]) > 20 + 0.15 * told[1]
        if changed or at - spoke >= HOUR_S or (here and site.dice.random() < 0.1):
            told, spoke = (here, light), at
            yield (
                at,
                {
                    "presence": here,
                    "illuminance": round(light),
                    "target_distance": round(site.dice.uniform(0.6, 3.2), 2) if here else 0,
                    "linkquality": site.dice.randint(70, 190),
                },
            )


@device("zigbee2mqtt/{device}")
def radiator_valve(site: Site) -> Life:
    """A radiator's valve on a battery: setback by night, sends on change and each two hours."""
    outdoor, warm, told, spoke = site.outdoor(), 19.0, (0.0, 0.0, 0.0), 0.0
    airings = site.some_days(0.6, 7.0, 9.0)
    battery = 91.0
    for at in site.every(120.0):
        early, late = (7.5, 23.0) if is_weekend(at) else (5.5, 22.0)
        wanted = 21.0 if early < hour(at) < late else 17.5
        aired = any(since <= at < since + 600 for since in airings)
        demand = 0.0 if aired else max(0.0, min(100.0, 60 * (wanted - warm) + 15))
        out = outdoor(at) - 6
        warm += demand * 0.0016 - (warm - out) * (0.03 if aired else 0.0045)
        seen = (round(warm, 1), wanted, float(round(demand / 5) * 5))
        far = abs(seen[0] - told[0]) >= 0.2 or seen[1] != told[1] or abs(seen[2] - told[2]) >= 10
        if (far and at - spoke >= 300) or at - spoke >= 7200:
            told, spoke = seen, at
            battery -= 0.002
            yield (
                at + site.dice.uniform(0, 20),
                {
                    "local_temperature": seen[0],
                    "occupied_heating_setpoint": seen[1],
                    "pi_heating_demand": seen[2],
                    "running_state": "heat" if seen[2] else "idle",
                    "battery": round(battery),
                    "window_open": aired,
                    "linkquality": site.dice.randint(30, 140),
                },
            )


@device("tele/{device}/SENSOR", format="tasmota")
def fridge_plug(site: Site) -> Life:
    """A plug with a fridge and freezer: cycles, longer when it is warm, two defrosts a day."""
    total, today, yesterday, left, on, day = 812.331, 0.0, 0.71, 0.0, False, 0
    mains = site.wandering(1.8, 4 * HOUR_S)
    for at in site.every(300.0):
        if site.day(at) != day:
            day, yesterday, today = site.day(at), today, 0.0
        left -= 300
        if left <= 0:
            on = not on
            opened = 1.0 + 0.5 * (7 < hour(at) < 9 or 17 < hour(at) < 21)
            left = site.dice.uniform(780, 1200) * (opened if on else 1.6 / opened)
            left += 4500 if on and site.dice.random() < 0.02 else 0  # a big shopping
        defrost = at % (11.3 * HOUR_S) < 900
        power = site.dice.gauss(182, 3) if defrost else site.dice.gauss(78, 2) if on else 1.0
        total += power / 12000
        today += power / 12000
        volts = 231 + mains(at) + 1.5 * wave_of_day(at, 20)
        yield (
            at,
            {
                "Time": "",
                "ENERGY": {
                    "TotalStartTime": "2024-01-01T00:00:00",
                    "Total": round(total, 3),
                    "Yesterday": round(yesterday, 3),
                    "Today": round(today, 3),
                    "Power": round(power),
                    "ApparentPower": round(power * 1.3),
                    "ReactivePower": round(power * 0.8),
                    "Factor": round(0.77 if power > 5 else 0.2, 2),
                    "Voltage": round(volts),
                    "Current": round(power * 1.3 / volts, 3),
                },
            },
        )


@device("balcony/{device}")
def balcony_climate(site: Site) -> Life:
    """A climate sensor on a balcony, in the sun from two to five o'clock, wet in the rain; each minute."""
    outdoor, air, clouds = site.outdoor(), site.wandering(7.0, 3 * DAY_S), site.wandering(0.5, 2 * HOUR_S)
    rains = [(since, since + site.dice.uniform(0.5, 9) * HOUR_S) for since in site.some_days(0.3, 0.0, 24.0)]
    heated = 0.0
    for at in site.every(60.0):
        wet = any(since <= at < until for since, until in rains)
        shines = 14 < hour(at) < 17 and not wet
        aim = 11.0 * sun(at) * min(1.0, max(0.0, 0.6 + clouds(at))) if shines else 0.0
        heated += (aim - heated) * 0.05
        warm = outdoor(at) + heated - 2.5 * wet
        humid = max(20.0, min(100.0, 74 - 2.2 * (warm - 14) + 20 * wet))
        yield (
            at,
            {
                "temperature": round(warm, 2),
                "humidity": round(humid + site.dice.gauss(0, 0.4), 1),
                "pressure": round(1013 + air(at) + site.dice.gauss(0, 0.06), 2),
                "dew_point": round(warm - (100 - humid) / 5, 1),
            },
        )


@device("em/{device}")
def three_phases(site: Site) -> Life:
    """Three phases of a household: hob, kettle, oven, machine, fridge; each half minute."""
    loads: list[tuple[float, float, int, float]] = []
    for kind, share, low, high in (
        ("kettle", 0.9, 6.2, 8.0),
        ("kettle", 0.5, 14.0, 17.0),
        ("hob", 0.8, 17.5, 19.5),
        ("oven", 0.25, 16.5, 19.0),
        ("machine", 0.3, 9.0, 18.0),
        ("dryer", 0.2, 12.0, 20.0),
        ("iron", 0.08, 10.0, 20.0),
    ):
        for since in site.some_days(share, low, high):
            minutes, phase, watts = {
                "kettle": (4, 1, 2150),
                "hob": (35, 2, 1800),
                "oven": (55, 2, 2600),
                "machine": (100, 0, 350),
                "dryer": (80, 0, 2300),
                "iron": (40, 1, 1600),
            }[kind]
            loads.append((since, since + minutes * 60 * site.dice.uniform(0.7, 1.4), phase, float(watts)))
    loads.sort()
    volts = [site.wandering(1.5, 2 * HOUR_S) for _ in range(3)]
    energy = [4123.0, 3100.5, 2987.3]
    for at in site.every(30.0):
        powers = [62.0 + 75 * (at % 2700 < 1100), 41.0, 28.0 + 90 * (18 < hour(at) < 23)]
        for since, until, phase, load in loads:
            if since <= at < until and site.dice.random() < (0.6 if phase == 2 else 0.95):
                powers[phase] += load * site.dice.uniform(0.97, 1.03)
        body: dict[str, float] = {}
        for phase, name in enumerate("abc"):
            energy[phase] += powers[phase] / 120
            volt = 230.5 + volts[phase](at) - powers[phase] / 900
            body |= {
                f"{name}_voltage": round(volt, 1),
                f"{name}_current": round(powers[phase] / volt * 1.05, 3),
                f"{name}_act_power": round(powers[phase] + site.dice.gauss(0, 1.5), 1),
                f"{name}_total_act_energy": round(energy[phase], 2),
            }
        yield at, body | {"total_act_power": round(sum(powers), 1)}


@device("ht/{device}")
def sleeping_climate(site: Site) -> Life:
    """A climate sensor on a battery in a bathroom: wakes with a change, each 2 h at least."""
    showers = sorted(site.some_days(0.9, 6.3, 7.5) + site.some_days(0.4, 18.0, 22.5))
    damp, warm, told, spoke, battery = 52.0, 20.5, (0.0, 0.0), 0.0, 100.0
    for at in site.every(60.0):
        wet = any(since <= at < since + 600 for since in showers)
        damp += (96 - damp) * 0.25 if wet else (50 - damp) * 0.025
        warm += 0.18 if wet else (20.5 + 0.8 * wave_of_day(at, 8) - warm) * 0.03
        seen = (warm, damp)
        if abs(warm - told[0]) > 0.5 or abs(damp - told[1]) > 5 or at - spoke >= 7200:
            told, spoke = seen, at
            battery -= 0.01
            yield (
                at,
                {
                    "tmp": {"value": site.gauss(warm, 0.05), "units": "C"},
                    "hum": {"value": site.gauss(damp, 0.3)},
                    "bat": {"value": round(battery), "voltage": round(2.6 + battery / 250, 2)},
                },
            )


@device("esphome/{device}")
def kitchen_particles(site: Site) -> Life:
    """Particles, compounds and carbon dioxide of a kitchen: cooking, candles, windows."""
    meals = [
        (since, site.dice.choice((0.3, 1.0, 1.0, 2.0, 6.0)))
        for low, high, share in ((7, 8.5, 0.7), (12, 13.5, 0.4), (18, 20, 0.85))
        for since in site.some_days(share, low, high)
    ]
    candles = site.some_days(0.15, 19.5, 21.0)
    outside, fine, gases, carbon = site.wandering(0.5, 1.5 * DAY_S), 5.0, 130.0, 520.0
    for at in site.every(60.0):
        cooks = sum(size for since, size in meals if since <= at < since + 1500)
        burns = any(since <= at < since + 2 * HOUR_S for since in candles)
        open_window = site.dice.random() < 0.4 and any(
            since + 1500 <= at < since + 2700 for since, _ in meals
        )
        air = 4.5 * math.exp(outside(at))
        fine += cooks * 1.6 + 0.35 * burns - (fine - air) * (0.2 if open_window else 0.02)
        gases += cooks * 8 + 3 * burns - (gases - 125) * (0.2 if open_window else 0.015)
        people = 2.5 if 17.5 < hour(at) < 22.5 else 1.5 if hour(at) < 8.5 or is_weekend(at) else 0.2
        carbon += 5.0 * people - (carbon - 420) * (0.15 if open_window else 0.012)
        yield (
            at,
            {
                "pm_1_0": round(max(0.0, site.dice.gauss(fine * 0.7, 0.4)), 1),
                "pm_2_5": round(max(0.0, site.dice.gauss(fine, 0.6)), 1),
                "pm_10": round(max(0.0, site.dice.gauss(fine * 1.2, 0.9)), 1),
                "tvoc": round(max(0.0, site.dice.gauss(gases, 6))),
                "co2": round(site.dice.gauss(carbon, 7)),
            },
        )


@device("cabin/{device}")
def off_grid_cabin(site: Site) -> Life:
    """A charger and its battery in a cabin that is used at weekends: a fridge, grey days."""
    charge, harvest, bright, day = 92.0, 0.0, 0.9, -1
    clouds = site.wandering(0.25, 1800.0)
    for at in site.every(60.0):
        if site.day(at) != day:
            day, harvest, bright = site.day(at), 0.0, site.dice.choice((0.25, 0.5, 0.8, 1.0, 1.0))
        light = sun(at) * max(0.05, min(1.05, bright + clouds(at)))
        there = is_weekend(at) and hour(at) > 7 and not (site.day(at) % 7 == 6 and hour(at) > 17)
        load = 8.0 + 55 * (at % 3600 < 1300) + 90 * (there and 18 < hour(at) < 23) + 30 * there
        solar = 520.0 * light
        if charge >= 99.5:
            solar = min(solar, load + 6)
        charge = max(20.0, min(100.0, charge + (solar * 0.94 - load) / 60 / 26))
        harvest += solar / 60_000
        floats = charge >= 99.5 and solar > 10
        volts = 12.2 + charge / 100 * 0.9 + (0.8 if floats else min(1.2, solar / 300)) - load / 500
        yield (
            at,
            {
                "pv_power": round(solar * site.dice.uniform(0.98, 1.02)),
                "pv_voltage": round(19 + 16 * min(1.0, light * 6) + site.dice.gauss(0, 0.2), 1)
                if light
                else 0.4,
                "battery_voltage": round(volts + site.dice.gauss(0, 0.01), 2),
                "battery_current": round((solar - load) / volts, 1),
                "soc": round(charge, 1),
                "yield_today": round(harvest, 2),
                "load_power": round(load * site.dice.uniform(0.99, 1.01)),
                "charge_state": 5 if floats else 3 if solar > 10 else 0,
            },
        )


@device("ems/{device}")
def boiler_with_tank(site: Site) -> Life:
    """A boiler with a tank: setback by night, hot water by schedule, against legionella on Sunday nights."""
    outdoor, flow, tank, burns, starts, minutes = site.outdoor(), 35.0, 50.0, False, 15_021, 81_000
    for at in site.every(60.0):
        out = outdoor(at) - 7
        day = 5.5 < hour(at) < 22.5
        curve = (58 if day else 46) - 1.4 * out
        purge = site.day(at) % 7 == 6 and 2 < hour(at) < 4
        aim = 68.0 if purge else 52.0
        drawn = 0.5 if (6 < hour(at) < 8 or 19 < hour(at) < 22) and site.dice.random() < 0.12 else 0.0
        loading = purge or (tank < 45 and 5 < hour(at) < 22)
        tank += (0.45 if loading and tank < aim else 0.0) - drawn - 0.006
        wanted = aim + 8 if loading else max(25.0, curve)
        before, burns = burns, flow < wanted + (3 if burns else -4)
        starts += burns and not before
        minutes += burns
        flow += (0.9 if burns else -0.45) * site.dice.uniform(0.85, 1.15)
        yield (
            at,
            {
                "outdoortemp": round(out, 1),
                "curflowtemp": round(flow, 1),
                "rettemp": round(flow - (9 if burns else 2) + site.dice.gauss(0, 0.2), 1),
                "dhw_curtemp": round(tank, 1),
                "curburnpow": round(max(20.0, min(100.0, 20 + 3 * (wanted - flow)))) if burns else 0,
                "burnstarts": starts,
                "burnworkmin": minutes,
                "syspress": round(1.5 + (flow - 40) / 200 + site.dice.gauss(0, 0.005), 1),
            },
        )


@device("ecowitt/{device}")
def garden_weather(site: Site) -> Life:
    """A weather station with sun, wind, rain by the hour, day and week, indoor values; each 64 seconds."""
    outdoor, windy, clouds = site.outdoor(), site.wandering(0.7, 8 * HOUR_S), site.wandering(0.4, 2400.0)
    air, way = site.wandering(7.0, 3 * DAY_S), site.wandering(60.0, 5 * HOUR_S)
    rains = [
        (since, since + site.dice.expovariate(1 / 5400.0) + 600, site.dice.expovariate(1 / 2.0))
        for since in site.some_days(0.35, 0.0, 24.0)
    ]
    fell: dict[str, float] = {"hourly": 0.0, "daily": 0.0, "weekly": 0.0}
    last = site.start
    for at in site.every(64.0):
        for name, period in (("hourly", HOUR_S), ("daily", DAY_S), ("weekly", 7 * DAY_S)):
            if (at - site.start) // period != (last - site.start) // period:
                fell[name] = 0.0
        last = at
        rate = sum(size for since, until, size in rains if since <= at < until)
        rate = round(rate * site.dice.uniform(0.3, 1.7) / 0.3) * 0.3
        for name in fell:
            fell[name] += rate * 64 / 3600
        light = sun(at) * max(0.1, min(1.15, 0.8 + clouds(at))) * (0.2 if rate else 1.0)
        speed = max(0.0, math.exp(0.4 + windy(at) + 0.4 * sun(at)) - 0.7 + site.dice.gauss(0, 0.4))
        warm = outdoor(at) - 1.5 * (rate > 0)
        yield (
            at,
            {
                "tempf": round(warm * 1.8 + 32, 1),
                "humidity": round(max(25.0, min(99.0, 75 - 2 * (warm - 14) + 12 * (rate > 0)))),
                "tempinf": round(70.5 + 2.2 * wave_of_day(at, 10) + site.dice.gauss(0, 0.1), 1),
                "humidityin": round(47 + 3 * wave_of_day(at, 3) + site.dice.gauss(0, 0.3)),
                "baromrelin": round(29.92 + air(at) / 33.86, 3),
                "winddir": round(210 + way(at) + site.dice.gauss(0, 25)) % 360,
                "windspeedmph": round(speed * 2.237, 1),
                "windgustmph": round(speed * 2.237 * site.dice.uniform(1.1, 2.1), 1),
                "solarradiation": round(720 * light, 1),
                "uv": round(6 * light**1.3),
                "rainratein": round(rate / 25.4, 3),
                "hourlyrainin": round(fell["hourly"] / 25.4, 3),
                "dailyrainin": round(fell["daily"] / 25.4, 3),
                "weeklyrainin": round(fell["weekly"] / 25.4, 3),
            },
        )


@device("city/{device}")
def street_air(site: Site) -> Life:
    """Particles, nitrogen dioxide and noise next to a street: rush hours, fires on cold evenings, storms."""
    still, cold = site.wandering(0.55, 1.2 * DAY_S), site.wandering(1.0, 3 * DAY_S)
    for at in site.every(600.0):
        rush = math.exp(-(((hour(at) - 7.7) / 1.1) ** 2)) + 0.9 * math.exp(-(((hour(at) - 17.2) / 1.5) ** 2))
        traffic = (0.35 if is_weekend(at) else 1.0) * rush + 0.25 * (6 < hour(at) < 23)
        fires = max(0.0, cold(at)) * (hour(at) > 18.5 or hour(at) < 1)
        blow = math.exp(still(at))
        fine = (6 + 6 * traffic + 12 * fires) * blow
        passing = site.dice.expovariate(1 / 2.0) if 6 < hour(at) < 23 else site.dice.expovariate(1.0)
        yield (
            at + site.dice.uniform(-8, 8),
            {
                "pm2_5": round(max(0.5, site.dice.gauss(fine, 0.06 * fine)), 1),
                "pm10": round(max(0.5, site.dice.gauss(fine * 1.6, 0.12 * fine)), 1),
                "no2": round(max(1.0, site.dice.gauss((9 + 30 * traffic) * blow, 2.0)), 1),
                "leq": round(46 + 15 * min(1.0, traffic + 0.1) + passing, 1),
            },
        )


@device("dsmr/{device}")
def meter_with_panels(site: Site) -> Life:
    """A smart meter of a house with panels: import and export, two tariffs, gas each hour."""
    bright, day, clouds = 1.0, -1, site.wandering(0.3, 900.0)
    uses = [
        (since, since + site.dice.uniform(0.2, 1.6) * HOUR_S, site.dice.choice((0.4, 0.9, 2.0, 2.3, 3.4)))
        for low, high, share in ((6.5, 9, 0.8), (11, 14, 0.4), (17, 19, 0.9), (19, 22, 0.5))
        for since in site.some_days(share, low, high)
    ]
    tariff = [5120.331, 6233.812, 2001.5, 4312.7]
    gas, power = 3200.412, 0.0
    volts = site.wandering(1.4, HOUR_S)
    for at in site.every(20.0):
        if site.day(at) != day:
            day, bright = site.day(at), site.dice.choice((0.2, 0.5, 0.8, 1.0, 1.0))
        made = 3.4 * sun(at) ** 1.2 * max(0.05, min(1.05, bright + clouds(at) * (bright < 1)))
        used = 0.18 + 0.08 * (at % 3000 < 1200) + sum(kw for since, until, kw in uses if since <= at < until)
        power = used * site.dice.uniform(0.98, 1.02) - made
        high = 7 < hour(at) < 23 and not is_weekend(at)
        tariff[(0 if power > 0 else 2) + high] += abs(power) / 180
        if at % HOUR_S == 0:
            gas += (
                max(0.0, site.dice.gauss(0.25, 0.12))
                * (1.8 if 6 < hour(at) < 9 else 1.0)
                * (5 < hour(at) < 23)
            )
        yield (
            at,
            {
                "electricity_currently_delivered": round(max(0.0, power), 3),
                "electricity_currently_returned": round(max(0.0, -power), 3),
                "electricity_delivered_1": round(tariff[0], 3),
                "electricity_delivered_2": round(tariff[1], 3),
                "electricity_returned_1": round(tariff[2], 3),
                "electricity_returned_2": round(tariff[3], 3),
                "phase_voltage_l1": round(232 + volts(at) + made * 0.9 - 0.4 * used, 1),
                "gas_delivered": round(gas, 3),
            },
        )


@device("spa/{device}")
def hot_tub(site: Site) -> Life:
    """A hot tub: colder in the week, hot for Friday to Sunday, jets when it is used, filtered twice a day."""
    water, used, heats = 34.0, site.some_days(0.5, 18.0, 21.5), False
    for at in site.every(60.0):
        late = site.day(at) % 7 >= 4
        wanted = 38.5 if late else 34.0
        jets = any(since <= at < since + 1500 for since in used) and late
        filters = 9 < hour(at) < 11 or 21 < hour(at) < 23
        heats = water < wanted + (0.2 if heats else -0.3)
        water += (0.028 if heats else 0.0) - (water - 14) * (0.0006 if jets else 0.00018)
        power = 2.0 + 2950 * heats + 1450 * jets + 310 * (filters or heats)
        yield (
            at,
            {
                "water_temperature": round(water * 2 + site.dice.gauss(0, 0.15)) / 2,
                "power": site.gauss(power, 0.006 * power + 0.3),
                "flow": site.gauss(62.0, 0.8) if filters or heats else 0.0,
                "ph": site.gauss(7.35 + 0.08 * wave_of_day(at, 6), 0.015, 2),
            },
        )


@device("lab/{device}")
def printer(site: Site) -> Life:
    """A 3D printer: some jobs a week of other lengths and materials; it is at room temperature between."""
    jobs = [
        (since, since + site.dice.expovariate(1 / 3.5) * HOUR_S + 1200, site.dice.choice((0, 0, 0, 1)))
        for since in site.some_days(0.45, 8.0, 20.0)
    ]
    nozzle = bed = 21.0
    for at in site.every(30.0):
        job = next((job for job in jobs if job[0] <= at < job[1]), None)
        room = 20.5 + 1.2 * wave_of_day(at, 9)
        hot, warm = ((215.0, 60.0), (245.0, 85.0))[job[2]] if job else (0.0, 0.0)
        nozzle += min(55.0, hot - nozzle) if hot > nozzle else (max(room, hot) - nozzle) * 0.09
        bed += min(5.0, warm - bed) if warm > bed else (max(room, warm) - bed) * 0.025
        done = min(100.0, 100 * (at - job[0]) / (job[1] - job[0])) if job else 0.0
        yield (
            at,
            {
                "nozzle": site.gauss(nozzle, 0.4),
                "bed": site.gauss(bed, 0.15),
                "chamber": site.gauss(room + (bed - room) * 0.15, 0.1),
                "progress": round(done),
                "fan": 255 if job and at - job[0] > 600 else 0,
            },
        )


@device("room/{device}")
def twin_coolers(site: Site) -> Life:
    """Two coolers of a server room that take turns each Monday; the load is higher on working days."""
    room, runs = 22.0, False
    for at in site.every(60.0):
        first = site.day(at) // 7 % 2 == 0
        load = 9.0 + 2.0 * (not is_weekend(at) and 8 < hour(at) < 19) + site.dice.gauss(0, 0.2)
        runs = room > (21.3 if runs else 23.2)
        room += load * 0.011 - (0.26 if runs else 0.0) + 0.004 * wave_of_day(at, 9)
        fans = site.dice.gauss(1420, 12) if runs else 600.0
        yield (
            at,
            {
                "room_temperature": site.gauss(room, 0.05),
                "supply_temperature": site.gauss(13.5 if runs else room - 0.8, 0.2),
                "cooler_a_fan": round(fans if first else 0.0),
                "cooler_b_fan": round(0.0 if first else fans),
                "cooler_a_power": round(site.dice.gauss(3.1, 0.05) if runs and first else 0.05, 2),
                "cooler_b_power": round(site.dice.gauss(3.3, 0.05) if runs and not first else 0.05, 2),
                "it_load": round(load, 2),
            },
        )


@device("nas/{device}")
def storage(site: Site) -> Life:
    """Disks of a storage: backups by night, a scrub on the first Sunday, space that fills and is freed."""
    free, warm = 38.2, [34.0, 36.0, 35.0]
    for at in site.every(120.0):
        backup = 1.0 < hour(at) < 1.0 + (2.5 if site.day(at) % 7 == 5 else 0.6)
        scrub = site.day(at) == 6 and hour(at) > 2
        busy = 0.9 if scrub else 0.6 if backup else 0.05 + 0.1 * (8 < hour(at) < 23) * site.dice.random()
        free -= 0.0011 * backup + 0.00002
        if site.day(at) % 7 == 2 and 3.0 <= hour(at) < 3.04:
            free += 0.55
        for disk in range(3):
            aim = 32 + disk % 2 * 2 + 9 * busy + 1.5 * wave_of_day(at, 9)
            warm[disk] += (aim - warm[disk]) * 0.03
        yield (
            at,
            {
                "disk1_temperature": round(warm[0]),
                "disk2_temperature": round(warm[1]),
                "disk3_temperature": round(warm[2]),
                "free_percent": round(free, 2),
                "read_rate": round(max(0.0, site.dice.gauss(190 * busy, 12 * busy)), 1),
                "cpu": round(min(100.0, max(0.0, site.dice.gauss(4 + 30 * busy, 3))), 1),
                "uptime": int(at - site.start + 800_000),
            },
        )


@device("shop/{device}")
def visitors(site: Site) -> Life:
    """A counter of a shop's visitors, each 5 minutes: closed on Sundays, full on Saturdays."""
    inside, came, went, day = 0, 0, 0, -1
    for at in site.every(300.0):
        if site.day(at) != day:
            day, inside, came, went = site.day(at), 0, 0, 0
        weekday = site.day(at) % 7
        opened = weekday < 6 and 9 <= hour(at) < (18 if weekday == 5 else 20)
        rush = (
            1
            + 0.8 * math.exp(-(((hour(at) - 17) / 1.5) ** 2))
            + 0.4 * math.exp(-(((hour(at) - 12) / 1) ** 2))
        )
        mean = 6 * rush * (1.9 if weekday == 5 else 1.0) if opened else 0.0
        new = sum(site.dice.random() < mean / 40 for _ in range(40))
        gone = inside if not opened else sum(site.dice.random() < 0.22 for _ in range(inside))
        inside, came, went = inside + new - gone, came + new, went + gone
        yield at, {"in": came, "out": went, "occupancy": inside, "temperature": site.gauss(21.3, 0.15)}


@device("bees/{device}")
def beehive(site: Site) -> Life:
    """A hive on a scale: the brood is kept warm, bees leave by day, rain, honey is taken once."""
    outdoor, weight, hum = site.outdoor(), 41.3, site.wandering(2.5, 8 * HOUR_S)
    rains = site.some_days(0.3, 6.0, 20.0)
    good = site.wandering(0.6, 2 * DAY_S)
    taken = site.on(11) + 10.2 * HOUR_S
    for at in site.every(900.0):
        flies = sun(at) * (outdoor(at) > 11)
        rain = any(since <= at < since + 3 * HOUR_S for since in rains)
        weight += 0.006 * flies * (1 + good(at)) * (not rain) - 0.0012
        if taken <= at < taken + 900:
            weight -= 7.4
        away = 0.5 * flies * (not rain)
        yield (
            at + site.dice.uniform(0, 5),
            {
                "weight": round(weight - away + 0.08 * rain + site.dice.gauss(0, 0.02), 2),
                "brood_temperature": site.gauss(34.8 + 0.02 * (outdoor(at) - 14), 0.1),
                "humidity": site.gauss(61 + hum(at), 0.5),
                "outside": round(outdoor(at), 1),
            },
        )


@device("plc/{device}")
def conveyor(site: Site) -> Life:
    """A conveyor of two shifts: speeds by product, breaks, vibration, warm motors."""
    motor, speed, boxes = 22.0, 0.0, 120_331
    for at in site.every(20.0):
        works = not is_weekend(at) and 6 < hour(at) < 22
        if works and (not speed or site.dice.random() < 1 / 540):
            speed = site.dice.choice((0.6, 0.8, 0.8, 1.0, 1.2))
        if not works:
            speed = 0.0
        pause = 9 < hour(at) < 9.25 or 13.9 < hour(at) < 14.15 or 18 < hour(at) < 18.25
        goes = 0.0 if pause else speed
        boxes += round(goes * site.dice.uniform(5, 8))
        load = goes * site.dice.uniform(0.9, 1.1)
        motor += (22 + 28 * load - motor) * 0.004
        yield (
            at,
            {
                "speed": round(goes, 1),
                "motor_current": site.gauss(1.2 + 4.5 * load if goes else 0.02, 0.05, 2),
                "vibration": round(abs(site.dice.gauss(0.4 + 2.0 * goes, 0.15 + 0.1 * goes)), 2),
                "motor_temperature": site.gauss(motor, 0.15),
                "boxes": boxes,
            },
        )


@LATER.spread("car/{device}/{metric}")
def parked_car(site: Site) -> Iterator[Sent]:
    """A car's own reports, one topic each: while it drives or charges often, else every few hours."""
    charge, odometer, at = 71.0, 31_220.0, site.start
    drives = sorted(
        site.some_days(0.95, 7.2, 7.8, weekends=False)
        + site.some_days(0.95, 16.5, 17.5, weekends=False)
        + site.some_days(0.35, 10.0, 19.0)
    )
    lengths = {since: site.dice.choice((900.0, 1500.0, 1500.0, 1500.0, 5400.0)) for since in drives}
    cold = site.outdoor()
    while at < site.end:
        driving = any(since <= at < since + lengths[since] for since in drives)
        charging = (
            not driving and charge < (99 if site.day(at) % 7 == 4 else 80) and (hour(at) > 22 or hour(at) < 5)
        )
        step = site.dice.uniform(50, 70) if driving else 300.0 if charging else site.dice.uniform(5400, 9000)
        ahead = min((since for since in drives if since > at), default=site.end)
        step = min(step, max(60.0, ahead - at))
        if driving:
            odometer += step / 3600 * site.dice.uniform(25, 75)
            charge = max(6.0, charge - step / 3600 * 11)
        if charging:
            charge = min(100.0, charge + step / 3600 * 14)
        for metric, value in (
            ("soc", round(charge)),
            ("range", round(charge * 4.1 * (1 + cold(at) / 200))),
            ("odometer", round(odometer, 1)),
            ("charge_power", round(site.dice.gauss(10.9, 0.05), 1) if charging else 0),
            ("outside_temperature", round(cold(at) * 2) / 2),
            ("tyre_front_left", round(2.5 + 0.15 * driving + cold(at) / 300, 2)),
        ):
            yield at, f"car/parked_car/{metric}", {"value": value}
        at += step


@device("spa/{device}")
def sauna(site: Site) -> Life:
    """A sauna: two or three evenings a week at 85 degC, water on the stones, else as the cellar."""
    evenings, warm, damp = site.some_days(0.35, 17.5, 20.0), 17.0, 48.0
    for at in site.every(60.0):
        on = any(since <= at < since + 2.5 * HOUR_S for since in evenings)
        heats = on and warm < 85 + site.dice.uniform(-2, 2)
        warm += (1.9 if heats else 0.0) - (warm - 16.5) * 0.008
        if on and warm > 70 and site.dice.random() < 0.03:
            damp += site.dice.uniform(5, 15)
        damp += (48 - 0.4 * (warm - 17) - damp) * 0.08
        yield (
            at,
            {
                "temperature": site.gauss(warm, 0.15),
                "humidity": site.gauss(max(4.0, damp), 0.3),
                "power": round(site.dice.gauss(6000, 30) if heats else 1.8, 1),
            },
        )


@device("garden/{device}")
def irrigation(site: Site) -> Life:
    """Three zones that are watered by turns each second morning; rain fills the soil instead."""
    soil, rains, volume = [34.0, 31.0, 37.0], site.some_days(0.2, 0.0, 24.0), 211.42
    for at in site.every(300.0):
        morning = site.day(at) % 2 == 0 and 5.0 <= hour(at) < 6.5
        zone = int((hour(at) - 5) * 2) if morning else -1
        rain = any(since <= at < since + 2 * HOUR_S for since in rains)
        flow = site.dice.gauss(14.0 + zone, 0.3) if zone >= 0 and soil[zone] < 40 else 0.0
        volume += flow * 5 / 1000
        for place in range(3):
            soil[place] += (0.55 if flow and place == zone else 0.0) + 0.2 * rain - 0.012 * (0.3 + sun(at))
            soil[place] = min(soil[place], 46.0)
        yield (
            at,
            {
                "flow": round(flow, 1),
                "volume_total": round(volume, 3),
                "pressure": site.gauss(3.4 - 0.05 * flow, 0.03, 2),
                **{f"zone_{place + 1}_moisture": site.gauss(soil[place], 0.15) for place in range(3)},
            },
        )


@device("zigbee2mqtt/{device}")
def coffee_machine(site: Site) -> Life:
    """A coffee machine of an office on a plug: keeps warm on working days, cups, a descaling once."""
    cups = [
        since
        for low, high, count in ((8, 10, 6), (10, 12, 3), (12.5, 14, 5), (14, 17, 4))
        for _ in range(count)
        for since in site.some_days(0.7, low, high, weekends=False)
    ]
    energy = 77.12
    for at in site.every(120.0):
        on = not is_weekend(at) and 7.5 < hour(at) < 17.5
        brews = any(since <= at < since + 120 for since in cups)
        power = (1350.0 if brews else 380.0 if at % 900 < 120 else 4.0) if on else 0.6
        power = max(0.0, site.dice.gauss(power, 0.02 * power))
        energy += power / 30_000
        yield (
            at,
            {
                "power": round(power, 1),
                "current": round(power / 231, 2),
                "voltage": site.gauss(231 + 1.5 * wave_of_day(at, 3), 0.7, 0),
                "energy": round(energy, 2),
                "state": "ON",
            },
        )


@device("shop/{device}")
def display_case(site: Site) -> Life:
    """A chilled display: four defrosts a day, a night cover, refilled in the morning, closed on Sunday."""
    air, goods, cools = 3.0, 3.4, False
    for at in site.every(60.0):
        defrost = hour(at) % 6 < 0.35
        opened = site.day(at) % 7 < 6 and 7 < hour(at) < 21
        stocked = opened and 6.9 < hour(at) < 7.6
        cools = not defrost and air > (2.0 if cools else 4.0)
        heat = 0.12 if opened else 0.05
        air += heat + 0.2 * stocked + 0.15 * defrost - (0.28 if cools else 0.0)
        goods += (air - goods) * 0.02
        yield (
            at,
            {
                "air_temperature": site.gauss(air, 0.08),
                "product_temperature": site.gauss(goods, 0.05),
                "compressor_power": round(site.dice.gauss(640, 8) if cools else 22.0),
                "humidity": site.gauss(62 + 8 * opened - 4 * cools, 1.0),
            },
        )


@device("genset/{device}")
def standby_generator(site: Site) -> Life:
    """A diesel set that is tested for 20 minutes each Wednesday; its battery is kept charged."""
    coolant, fuel, hours = 38.0, 83.0, 412.6
    for at in site.every(60.0):
        runs = site.day(at) % 7 == 2 and 10.0 <= hour(at) < 10.34
        coolant += ((82 if runs else 38 + 2 * wave_of_day(at, 9)) - coolant) * (0.08 if runs else 0.015)
        fuel -= 0.03 * runs
        hours += runs / 60
        yield (
            at,
            {
                "rpm": round(site.dice.gauss(1500, 4)) if runs else 0,
                "oil_pressure": site.gauss(4.1, 0.05, 2) if runs else 0.0,
                "coolant_temperature": site.gauss(coolant, 0.2),
                "fuel_level": round(fuel + site.dice.gauss(0, 0.2), 1),
                "battery_voltage": site.gauss(13.9 if runs else 13.5, 0.02, 2),
                "engine_hours": round(hours, 1),
            },
        )


@device("school/{device}")
def school_heating(site: Site) -> Life:
    """The heating of a school: warm-up at five, setback at night and weekends, a week of holidays."""
    outdoor, supply, room = site.outdoor(), 35.0, 19.0
    for at in site.every(300.0):
        out = outdoor(at) - 5
        holiday = 14 <= site.day(at) < 21
        on = not is_weekend(at) and not holiday and 5 < hour(at) < 16
        wanted = 30 + 1.3 * (20 - out) if on else 24 + 0.5 * (20 - out)
        supply += (wanted - supply) * 0.12
        pupils = on and 8 < hour(at) < 15
        room += (supply - room) * 0.006 - (room - out) * 0.0085 + 0.02 * pupils
        yield (
            at,
            {
                "supply_temperature": site.gauss(supply, 0.3),
                "return_temperature": site.gauss(supply - 0.25 * (supply - room), 0.3),
                "outdoor_temperature": round(out, 1),
                "room_temperature": site.gauss(room, 0.05),
                "pump_speed": site.gauss(72, 0.6) if on or out < 6 else 0.0,
            },
        )


@device("boat/{device}")
def moored_boat(site: Site) -> Life:
    """A boat at its mooring: bilge water and its pump, shore power, batteries, a trip on some weekends."""
    bilge, charge, rains = 2.0, 99.0, site.some_days(0.3, 0.0, 24.0)
    trips = [since for since in site.some_days(0.5, 9.0, 11.0) if is_weekend(since)]
    for at in site.every(300.0):
        away = any(since <= at < since + 5 * HOUR_S for since in trips)
        rain = any(since <= at < since + 3 * HOUR_S for since in rains)
        pumps = bilge > 8
        bilge = bilge - 3.0 if pumps else bilge + 0.008 + 0.12 * rain + 0.03 * away
        charge = max(60.0, charge - 0.35) if away else min(100.0, charge + 0.8)
        yield (
            at,
            {
                "bilge_level": round(max(0.0, bilge + site.dice.gauss(0, 0.1)), 1),
                "pump_current": site.gauss(4.2, 0.1) if pumps else 0.0,
                "shore_voltage": 0.0 if away else site.gauss(228 + 2 * wave_of_day(at, 4), 0.9),
                "soc": round(charge),
                "battery_voltage": site.gauss(12.5 if away else 13.6, 0.03, 2),
                "cabin_temperature": site.gauss(16 + 5 * wave_of_day(at, 9) + 4 * sun(at), 0.1),
            },
        )


@device("hall/{device}")
def badminton_hall(site: Site) -> Life:
    """A sports hall: lights and people in the evenings, matches at weekends, ventilation by demand."""
    games = site.some_days(0.75, 17.0, 18.5) + [
        since for since in site.some_days(0.6, 9.0, 13.0) if is_weekend(since)
    ]
    carbon, warm = 430.0, 17.0
    for at in site.every(180.0):
        people = 22 if any(since <= at < since + 3.5 * HOUR_S for since in games) else 0
        fan = max(0.0, min(100.0, (carbon - 800) / 4))
        carbon += people * 1.3 - (carbon - 420) * (0.006 + fan / 1500)
        warm += people * 0.004 + (17 + wave_of_day(at, 10) - warm) * 0.02
        yield (
            at,
            {
                "co2": round(site.dice.gauss(carbon, 8)),
                "temperature": site.gauss(warm, 0.05),
                "humidity": site.gauss(48 + people * 0.3, 0.4),
                "illuminance": round(site.dice.gauss(520, 4)) if people else round(60 * sun(at)),
                "fan": round(fan),
            },
        )
