"""Messages of ordinary devices over days, each with one fault.

Each yields them in the order in which they are sent: a freezer in a gateway's list thaws, a sensor turns
from degrees Celsius to Fahrenheit, a humidity turns to ``nan``, a clock starts in 1970, a site sends words.
"""

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from simulator.events import Message

DAY_S, HOUR_S = 86_400.0, 3_600.0
START = datetime(2026, 9, 7, tzinfo=UTC).timestamp()  # a Monday

ROOM, FREEZER = "AC233F000002", "AC233F000003"
GATEWAY = {"topic": "ble/{gateway}", "format": "ble_gateway"}
ROOMS = {"topic": "room/{device}"}
HALL = {"topic": "hall/{device}/{metric}"}


def _message(at: float, topic: str, body: Any) -> Message:
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return Message(at, "", topic, text.encode(), 1, "", 1)


def _times(step_s: float, until: float) -> Iterator[float]:
    return (START + number * step_s for number in range(math.ceil((until - START) / step_s)))


def _room(dice: random.Random, at: float) -> float:
    return 21.0 + 1.5 * math.sin(2 * math.pi * (at % DAY_S / HOUR_S - 10) / 24) + dice.gauss(0, 0.1)


def freezer_thaws(*, thaw: float, until: float, seed: int = 1) -> Iterator[Message]:
    """A room and a freezer in one list, every two minutes; the freezer warms by 0.4 K each from ``thaw``."""
    dice = random.Random(seed)
    for at in _times(120.0, until):
        cold = -18.0 if at < thaw else min(15.0, -18.0 + (at - thaw) / 300)
        sensors = [(ROOM, 21 + dice.gauss(0, 0.1)), (FREEZER, cold + dice.gauss(0, 0.2))]
        body = [
            {"timestamp": int(at), "type": "S1", "mac": mac, "temperature": round(value, 1)}
            for mac, value in sensors
        ]
        yield _message(at, "ble/g1", body)


def unit_changes(*, change: float, until: float, seed: int = 1) -> Iterator[Message]:
    """The same temperature in degrees Fahrenheit from ``change`` on, with its unit in the message."""
    dice = random.Random(seed)
    for at in _times(120.0, until):
        value = _room(dice, at)
        if at < change:
            body = {"value": round(value, 2), "unit": "\N{DEGREE SIGN}C"}
        else:
            body = {"value": round(value * 1.8 + 32, 2), "unit": "\N{DEGREE SIGN}F"}
        yield _message(at, "room/turned", body)


def humidity_breaks(
    *, broken: float, until: float, hot: float = math.inf, seed: int = 1
) -> Iterator[Message]:
    """Humidity is a bare ``nan`` from ``broken`` on; the temperature is 20 K too high from ``hot`` on."""
    dice = random.Random(seed)
    for at in _times(60.0, until):
        humidity = "nan" if at >= broken else f"{41 + dice.gauss(0, 0.5):.1f}"
        temperature = _room(dice, at) + (20.0 if at >= hot else 0.0)
        body = f'{{"battery":61,"temperature":{temperature:.2f},"humidity":{humidity}}}'
        yield _message(at, "room/box", body)


def sensor_breaks(
    *, broken: float, repaired: float, until: float, value: str, seed: int = 1
) -> Iterator[Message]:
    """A temperature alone; from ``broken`` to ``repaired`` the sensor sends ``value`` in its place."""
    dice = random.Random(seed)
    for at in _times(60.0, until):
        text = value if broken <= at < repaired else f"{_room(dice, at):.2f}"
        yield _message(at, "hall/probe/temperature", text)


def reboots_in_1970(*, death: float, reboots: int = 7, seed: int = 1) -> Iterator[Message]:
    """Every minute until ``death``; the reboots are 200 minutes apart, each with two messages of 1970."""
    dice = random.Random(seed)
    starts = [death - (place + 1) * 12_000.0 for place in range(reboots)]
    for at in _times(60.0, death):
        since = next((at - start for start in starts if 0 <= at - start < 120.0), None)
        time = int(at) if since is None else f"1970-01-01T00:00:{12 + round(since) % 48:02d}Z"
        yield _message(at, "room/reset", {"temperature": round(_room(dice, at), 2), "timestamp": time})


def text_only(*, until: float, words: tuple[str, ...], seed: int = 1) -> Iterator[Message]:
    """A temperature as text with a decimal comma, and one of ``words`` now and then."""
    dice = random.Random(seed)
    for at in _times(60.0, until):
        yield _message(at, "hall/k/temperature", f"{_room(dice, at):.1f}".replace(".", ","))
        if dice.random() < 0.2:
            yield _message(at + 1, "hall/door/state", dice.choice(words))


def sensor_is_replaced(*, swap: float, until: float, seed: int = 1) -> Iterator[Message]:
    """Every five minutes; from ``swap`` on the readings come from another sensor, with another id."""
    dice = random.Random(seed)
    for at in _times(300.0, until):
        device = "old_sensor" if at < swap else "new_sensor"
        yield _message(at, f"room/{device}", {"temperature": round(_room(dice, at), 2)})


def bridge_is_off(
    *, off: float, back: float, until: float, devices: int = 25, seed: int = 1
) -> Iterator[Message]:
    """Sensors behind one bridge, two of them each minute in turn; none while the bridge is off."""
    dice = random.Random(seed)
    for number, at in enumerate(_times(60.0, until)):
        if off <= at < back:
            continue
        for place in (number % devices, (number + devices // 2) % devices):
            value = round(_room(dice, at) - 3.0 + place / 4, 2)
            yield _message(at, f"zigbee2mqtt/b25_{place:02d}", {"temperature": value, "battery": 90})
