"""Healthy devices written apart from the detector."""

import math
from collections.abc import Iterator

from tests.benchmarks.detect.bases import DAY_S, HOUR_S, is_weekend
from tests.benchmarks.detect.site import Payload, Register, Site, hour, sun, wave_of_day

FRESH = Register(tuned=True)
device = FRESH.device
Life = Iterator[tuple[float, Payload]]


@device("heat/{device}")
def heat_pump(site: Site) -> Life:
    """A heat pump: it modulates with the weather, heats water at noon, defrosts when it is cold outside."""
    outdoor, flow, starts, hours = site.outdoor(), 30.0, 4711, 8123.0
    on = False
    for at in site.every(60.0):
        out = outdoor(at) - 8
        water = 12.0 < hour(at) < 13.2
        defrost = out < 4 and at % 5400 < 300
        wanted = 52.0 if water else 28 + max(0.0, 18 - out) * 0.5
        before, on = on, flow < wanted + (2 if on else -3)
        starts += on and not before
        hours += on / 60
        flow += (-1.2 if defrost else 0.5 if on else -0.15) * site.dice.uniform(0.8, 1.2)
        power = site.dice.gauss(1100 + 45 * max(0.0, 18 - out), 30.0) if on and not defrost else 12.0
        yield (
            at,
            {
                "outdoor": round(out, 1),
                "flow": round(flow, 1),
                "return": round(flow - (4.5 if on else 0.6) - 0.3 * site.dice.random(), 1),
                "power": round(power),
                "mode": "defrost" if defrost else "dhw" if water else "heat",
                "compressor_starts": starts,
                "compressor_hours": int(hours),
            },
        )


@device("tank/{device}/state")
def aquarium(site: Site) -> Life:
    """An aquarium: kept at 25 degC, light from 10 to 20 h, pH by the light, water every second Sunday."""
    warm, heating = 25.0, False
    for at in site.every(60.0):
        heating = warm < (25.1 if heating else 24.8)
        changed = site.day(at) % 14 == 6 and 10.0 < hour(at) < 10.2
        light = 10 < hour(at) < 20
        warm += (0.024 if heating else -0.008) - (0.1 if changed else 0.0)
        acid = 6.9 + 0.25 * math.sin(math.pi * max(0.0, min(1.0, (hour(at) - 10) / 10)))
        yield (
            at,
            {
                "temperature": site.gauss(warm, 0.02, 2),
                "ph": site.gauss(acid, 0.01, 2),
                "light": light,
                "heater": heating,
            },
        )


@device("garage/{device}")
def car_at_weekends(site: Site) -> Life:
    """A wallbox that charges long at weekends and never between; its energy counts on."""
    energy = 1830.4
    sessions = [
        site.start + day * DAY_S + site.dice.uniform(10, 15) * HOUR_S
        for day in range(site.days)
        if is_weekend(site.start + day * DAY_S) and site.dice.random() < 0.8
    ]
    for at in site.every(60.0):
        charging = any(since <= at < since + 4 * HOUR_S for since in sessions)
        power = site.dice.gauss(7360.0, 25.0) if charging else 3.2
        energy += power / 60_000
        yield (
            at,
            {"power_w": round(power, 1), "energy_kwh": round(energy, 2), "current": round(power / 230, 1)},
        )


@device("well/{device}")
def well_pump(site: Site) -> Life:
    """A well pump that runs on demand, and for an hour on dry mornings; the pressure saws."""
    pressure, on, cycles = 3.2, False, 20_511
    for at in site.every(60.0):
        watering = site.day(at) % 3 != 1 and 5.0 < hour(at) < 6.0
        use = 0.1 if watering else 0.06 if 6 < hour(at) < 23 and site.dice.random() < 0.15 else 0.001
        before, on = on, pressure < (3.8 if on else 2.4)
        cycles += on and not before
        pressure += (0.14 if on else 0.0) - use
        power = site.dice.gauss(780.0, 12.0) if on else 0.0
        yield at, {"pressure_bar": site.gauss(pressure, 0.02, 2), "power": round(power), "cycles": cycles}


@device("air/{device}")
def office_air(site: Site) -> Life:
    """Carbon dioxide of an office: people on working days, lunch, windows, now and then a long meeting."""
    level = 430.0
    meetings = site.some_days(0.25, 13.0, 16.0, weekends=False)
    for at in site.every(120.0):
        present = 0.0
        if not is_weekend(at) and 8 < hour(at) < 17.5 and not 12 < hour(at) < 12.8:
            present = 4 + 3 * wave_of_day(at, 6.0)
        if any(since <= at < since + 1.5 * HOUR_S for since in meetings):
            present += 5
        aired = 12 < hour(at) < 12.8
        level += 7.0 * present - (level - 420) * (0.12 if aired else 0.03)
        humid = 42 + (level - 420) / 150 + 3 * wave_of_day(at, 8.0)
        yield (
            at,
            {
                "co2": round(site.dice.gauss(level, 8.0)),
                "humidity": site.gauss(humid, 0.3),
                "temperature": site.gauss(21 + (level - 420) / 400, 0.05),
            },
        )


@device("garden/{device}")
def soil_moisture(site: Site) -> Life:
    """Soil that dries over days and is wet again with rain; every half an hour, on a battery."""
    wet, rain = 38.0, site.some_days(0.2, 0.0, 24.0)
    outdoor = site.outdoor()
    for at in site.every(1800.0):
        fell = any(since <= at < since + 1800 for since in rain)
        wet = min(46.0, wet + site.dice.uniform(4, 12)) if fell else wet - 0.02 - 0.05 * sun(at) * wet / 30
        yield (
            at,
            {
                "soil_moisture": site.gauss(wet, 0.2),
                "soil_temperature": site.gauss(12 + 0.3 * (outdoor(at) - 14), 0.1),
                "battery": 84,
            },
        )


@device("ups/{device}", format="generic")
def ups(site: Site) -> Life:
    """An uninterruptible supply: steady for weeks, a self-test every second Wednesday for half a minute."""
    for at in site.every(30.0):
        testing = site.day(at) % 14 == 2 and hour(at) * 3600 % DAY_S // 30 == 1200
        backup = 20.0 if at % 3600 < 1800 else 22.0
        yield (
            at,
            {
                "input_voltage": site.gauss(231.5 + 1.5 * wave_of_day(at, 3.0), 0.6),
                "battery_charge": 96 if testing else 100,
                "battery_voltage": 25.9 if testing else 27.3,
                "load_percent": round(site.dice.gauss(backup, 0.8)),
                "runtime_s": round(site.dice.gauss(2700 - 20 * backup, 15.0)),
            },
        )


@device("net/{device}")
def router(site: Site) -> Life:
    """A router: bytes in and out as counters that begin again with the weekly restart, clients, its load."""
    came = went = 0.0
    busy, since = site.wandering(1.0, 1500.0), site.start
    for at in site.every(60.0):
        if site.day(at) % 7 == 0 and 4.0 <= hour(at) < 4.02:
            came = went = 0.0
            since = at
        evening = 2.0 if 18 < hour(at) < 23 else 0.8 if 8 < hour(at) < 18 else -0.5
        rate = math.exp(12 + evening + 1.2 * busy(at))
        came, went = came + rate * 60, went + rate * 60 * site.dice.uniform(0.05, 0.2)
        clients = 9 + (6 if 7 < hour(at) < 23 else 0)
        yield (
            at,
            {
                "bytes_recv": int(came),
                "bytes_sent": int(went),
                "clients": max(3, round(site.dice.gauss(clients, 1.2))),
                "cpu": round(min(100.0, site.dice.gauss(6.0, 1.0) + rate / 1e6)),
                "uptime": int(at - since),
            },
        )


@device("zigbee2mqtt/{device}")
def smart_valve(site: Site) -> Life:
    """A radiator valve: sends on change of half a degree or of its position, or every hour."""
    warm, sent, told = 20.0, -1e9, (0.0, 0)
    for at in site.every(120.0):
        wanted = 21.0 if (8 if is_weekend(at) else 6) < hour(at) < 22 else 17.5
        opened = int(max(0.0, min(100.0, (wanted - warm) * 40)))
        warm += opened * 0.0008 - (warm - 14) * 0.002 + site.dice.gauss(0.0, 0.02)
        now = (round(2 * warm) / 2, 10 * (opened // 10))
        if now != told or at - sent > HOUR_S:
            sent, told = at, now
            yield (
                at,
                {
                    "local_temperature": now[0],
                    "position": now[1],
                    "occupied_heating_setpoint": wanted,
                    "battery": 70,
                    "linkquality": site.dice.randint(50, 120),
                },
            )


@device("plug/{device}")
def dishwasher(site: Site) -> Life:
    """A dishwasher most evenings: two heating phases, a pump between, standby otherwise."""
    runs, energy = site.some_days(0.7, 19.0, 21.5), 77.4
    for at in site.every(60.0):
        since = next((at - run for run in runs if run <= at < run + 7200), None)
        power = 0.6
        if since is not None:
            hot = 600 < since < 1900 or 4500 < since < 5400
            power = (
                site.dice.gauss(1950.0, 15.0)
                if hot
                else site.dice.uniform(35.0, 90.0)
                if since < 5400
                else 3.0
            )
        energy += power / 6e4
        yield (
            at,
            {
                "apower": round(power, 1),
                "aenergy": round(energy, 3),
                "voltage": site.gauss(230.0, 1.2),
                "output": True,
            },
        )


@device("gas/{device}")
def gas_pulses(site: Site) -> Life:
    """A gas meter's reed contact: pulses of 0.01 m3, most of them in the mornings."""
    total = 5123.45
    for at in site.every(300.0):
        rate = 6.0 if 5.5 < hour(at) < 9 else 3.0 if 16 < hour(at) < 22 else 0.5
        pulses = sum(site.dice.random() < rate / 12 for _ in range(12)) if site.dice.random() < 0.7 else 0
        total += pulses * 0.01
        yield at, {"pulses": pulses, "total_m3": round(total, 2)}


@device("wx/{device}")
def rain_gauge(site: Site) -> Life:
    """A tipping rain gauge: mostly nothing, showers, a day total that begins again at midnight."""
    wet, day, today = site.wandering(1.0, 5 * HOUR_S), 0, 0.0
    for at in site.every(300.0):
        if site.day(at) != day:
            day, today = site.day(at), 0.0
        rate = 0.254 * int(site.dice.expovariate(0.9)) if wet(at) > 1.2 else 0.0
        today += rate
        yield at, {"rain_5min": round(rate, 3), "rain_today": round(today, 3), "battery_ok": 1}


@device("room/{device}")
def light_and_presence(site: Site) -> Life:
    """Presence and light: sunlight by clouds, lamps in the evening, on change or every 10 minutes."""
    clouds, inside, sent = site.wandering(0.3, 1800.0), False, -1e9
    for at in site.every(30.0):
        home = 6.5 < hour(at) < 8 or 17 < hour(at) < 23 or (is_weekend(at) and 9 < hour(at) < 23)
        before, inside = inside, site.dice.random() < (0.97 if inside else 0.06) if home else False
        lamp = 140 if inside and sun(at) < 0.1 else 0
        light = 600 * sun(at) * max(0.05, min(1.0, 0.6 + clouds(at))) + lamp
        if inside is not before or at - sent >= 600:
            sent = at
            yield (
                at,
                {
                    "occupancy": inside,
                    "illuminance": round(light),
                    "temperature": site.gauss(21 + wave_of_day(at, 9.0), 0.05),
                },
            )


@device("plc/{device}")
def batch_mixer(site: Site) -> Life:
    """A mixer on working days: batches of 40 minutes by three recipes, cleaned on Fridays; else idle."""
    speed, until, batches = 0.0, 0.0, 811
    for at in site.every(30.0):
        shift = not is_weekend(at) and 6 < hour(at) < 21.5
        cleaning = shift and int(at // DAY_S + 3) % 7 == 4 and hour(at) > 20
        if at >= until:
            speed = site.dice.choice((0.0, 45.0, 60.0, 85.0)) if shift else 0.0
            until = at + (2400 if speed else 900)
            batches += speed > 0
        turning = 30.0 if cleaning else speed
        current = site.dice.gauss(2.0 + turning / 9, 0.15) if turning else 0.2
        yield (
            at,
            {
                "rpm": round(max(0.0, site.dice.gauss(turning, 0.4) if turning else 0.0), 1),
                "current_a": round(current, 2),
                "batches": batches,
            },
        )


@device("zigbee2mqtt/{device}")
def fridge_door(site: Site) -> Life:
    """A fridge: its temperature on change, its door at meals, every 50 minutes at least."""
    warm, on, sent, told = 5.0, False, -1e9, 0.0
    for at in site.every(60.0):
        meal = any(abs(hour(at) - time) < 0.6 for time in (7.2, 12.5, 18.8))
        opened = site.dice.random() < (0.08 if meal else 0.005 if 7 < hour(at) < 23 else 0.0)
        on = warm > (4.0 if on else 6.0)
        warm += (-0.07 if on else 0.03) + (0.4 if opened else 0.0) + site.dice.gauss(0.0, 0.01)
        if opened or abs(warm - told) > 0.4 or at - sent >= 3000:
            sent, told = at, warm
            yield (
                at,
                {
                    "temperature": round(warm, 1),
                    "contact": not opened,
                    "battery": 91,
                    "linkquality": site.dice.randint(70, 140),
                },
            )


@device("dhw/{device}")
def water_heater(site: Site) -> Life:
    """A heat pump water heater: showers in the morning and evening, legionella run on Sundays."""
    top, air, on = 51.0, site.outdoor(), False
    showers = site.some_days(0.95, 6.2, 7.5) + site.some_days(0.6, 20.0, 22.0)
    for at in site.every(60.0):
        hot = 62.0 if site.day(at) % 7 == 6 and 2 < hour(at) < 6 else 52.0
        on = top < (hot if on else hot - 5.0)
        drawn = any(since <= at < since + 480 for since in showers)
        top += (0.09 if on else -0.004) - (0.9 if drawn else 0.0) * site.dice.uniform(0.6, 1.0)
        yield (
            at,
            {
                "water_temperature": site.gauss(top, 0.05),
                "air_temperature": site.gauss(15 + 0.3 * (air(at) - 14) - (2 if on else 0), 0.1),
                "power": round(site.dice.gauss(430 + 4 * (top - 45), 6.0)) if on else 2,
                "fan": on,
            },
        )


@device("pond/{device}")
def fish_pond(site: Site) -> Life:
    """A pond: it follows the weather slowly, oxygen by sun and warmth, level by rain, topped up by hand."""
    weather, warm, level = site.outdoor(), 15.0, 92.0
    rain, top_up = site.some_days(0.2, 0.0, 24.0), site.some_days(0.1, 16.0, 19.0)
    for at in site.every(600.0):
        warm += 0.006 * (weather(at) + 4 * sun(at) - warm)
        wet = any(since <= at < since + 5400 for since in rain)
        hose = any(since <= at < since + 1800 for since in top_up)
        level = min(100.0, level - 0.006 + (0.12 if wet else 0.0) + (1.1 if hose else 0.0))
        oxygen = 11.5 - 0.17 * warm + 1.6 * sun(at - 2 * HOUR_S)
        yield (
            at,
            {
                "temperature": site.gauss(warm, 0.03, 2),
                "oxygen": site.gauss(oxygen, 0.06, 2),
                "level": site.gauss(level, 0.15),
                "pump_power": round(site.dice.gauss(64.0, 0.6), 1),
            },
        )


@device("{device}/air")
def meeting_room(site: Site) -> Life:
    """A meeting room: empty at night and weekends, some meetings a day, now and then a full one."""
    level, warm = 425.0, 21.0
    meetings = [
        (since, heads)
        for slot in (9.0, 11.0, 14.0, 15.5)
        for since in site.some_days(0.55, slot, slot + 0.5, weekends=False)
        for heads in (site.dice.choice((2, 3, 4, 4, 6, 11)),)
    ]
    for at in site.every(300.0):
        heads = sum(count for since, count in meetings if since <= at < since + 3600)
        level += 16.0 * heads - (level - 420) * 0.09
        warm += 0.03 * heads - 0.05 * (warm - 20.5 - 0.5 * wave_of_day(at, 9.0))
        yield (
            at,
            {
                "co2": round(site.dice.gauss(level, 6.0)),
                "temperature": site.gauss(warm, 0.05),
                "humidity": site.gauss(41 + (level - 420) / 120, 0.3),
                "voc": round(max(20.0, site.dice.gauss(90 + (level - 420) / 5, 8.0))),
            },
        )


@device("charger/{device}")
def depot_chargers(site: Site) -> Life:
    """Two chargers of a depot: one van every night, one of visitors by day."""
    van, visits = site.some_days(0.8, 17.5, 19.5), site.some_days(0.5, 8.0, 15.0, weekends=False)
    hours = {since: site.dice.uniform(1.5, 6.0) for since in van + visits}
    energy = [8123.4, 902.7]
    for at in site.every(60.0):
        powers = [
            site.dice.gauss(10_900.0, 40.0)
            if any(since <= at < since + hours[since] * HOUR_S for since in starts)
            else 4.1
            for starts in (van, visits)
        ]
        energy = [before + power / 60_000 for before, power in zip(energy, powers, strict=True)]
        yield (
            at,
            {
                "a": {"power": round(powers[0]), "energy_kwh": round(energy[0], 2)},
                "b": {"power": round(powers[1]), "energy_kwh": round(energy[1], 2)},
                "mains_voltage": site.gauss(231.0 - sum(powers) / 9000 + wave_of_day(at, 3.0), 0.5),
            },
        )


@device("garden/{device}")
def rain_barrel(site: Site) -> Life:
    """A rain barrel: showers fill it, watering on dry evenings empties it; every quarter of an hour."""
    depth, rain = 55.0, site.some_days(0.3, 0.0, 24.0)
    watering = site.some_days(0.5, 18.0, 20.0)
    amount = {since: site.dice.uniform(3.0, 12.0) for since in rain}
    for at in site.every(900.0):
        depth += sum(amount[since] / 4 for since in rain if since <= at < since + HOUR_S)
        depth -= 4.0 if any(since <= at < since + 1800 for since in watering) else 0.0
        depth = min(95.0, max(4.0, depth))
        yield at, {"depth_cm": site.gauss(depth, 0.3), "battery_voltage": site.gauss(3.6, 0.005, 2)}


@device("power/{device}")
def ups_load(site: Site) -> Life:
    """The load behind a supply: office PCs by day, a backup at night, a test on the first of the month."""
    people = site.wandering(6.0, HOUR_S)
    for at in site.every(30.0):
        office = not is_weekend(at) and 7.5 < hour(at) < 18
        load = 18.0 + (24.0 + people(at) if office else 0.0) + (7.0 if 1 < hour(at) < 2.5 else 0.0)
        testing = site.day(at) == 24 and 10 < hour(at) < 10.01
        yield (
            at,
            {
                "load": round(max(12.0, site.dice.gauss(load, 0.7))),
                "input_voltage": site.gauss(230.5 + 1.2 * wave_of_day(at, 3.0), 0.7),
                "output_voltage": site.gauss(230.0, 0.2),
                "battery_charge": 97 if testing else 100,
                "temperature": site.gauss(27 + load / 25, 0.1),
            },
        )


@device("green/{device}")
def greenhouse(site: Site) -> Life:
    """A greenhouse: warm by sun, vented above 28 degC, watered in the morning."""
    weather, inside, humid = site.outdoor(), 18.0, 70.0
    for at in site.every(180.0):
        vent = inside > 28.0
        watered = 7.0 < hour(at) < 7.4
        inside += 0.04 * (weather(at) + 16 * sun(at) - inside) - (0.5 if vent else 0.0)
        humid += 0.05 * (78 - 14 * sun(at) - (12 if vent else 0) + (15 if watered else 0) - humid)
        yield (
            at,
            {
                "temperature": site.gauss(inside, 0.1),
                "humidity": site.gauss(humid, 0.5),
                "vent": vent,
                "soil_moisture": site.gauss(55 + 4 * wave_of_day(at, 3.0), 0.3),
            },
        )


@device("pulse/{device}")
def pulse_counter(site: Site) -> Life:
    """A gas meter behind a pulse counter with the temperature of its cellar."""
    total, burns = 71_204, site.some_days(0.9, 5.0, 7.0) + site.some_days(0.8, 16.0, 20.0)
    for at in site.every(600.0):
        burning = any(since <= at < since + 2.5 * HOUR_S for since in burns)
        total += site.dice.randint(3, 9) if burning else site.dice.random() < 0.1
        yield at, {"total": int(total), "temperature": site.gauss(13 + 0.4 * wave_of_day(at, 10.0), 0.05)}
