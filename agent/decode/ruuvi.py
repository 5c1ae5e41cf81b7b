"""Ruuvi data format 5 (RAWv2) in a Bluetooth advertisement.

https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2
"""

import re
import struct

_ADVERTISEMENT = re.compile(r"FF990405([0-9A-F]{34})", re.ASCII | re.IGNORECASE)
_FIELDS = struct.Struct(">hHHhhhHBH")
_NO_SIGNED, _NO_UNSIGNED, _NO_COUNT, _NO_POWER = -0x8000, 0xFFFF, 0xFF, 0x7FF  # not available


def ruuvi_values(data: str) -> dict[str, float]:
    """Return the values of an advertisement in hexadecimal; empty where it is not of format 5.

    A value that the sensor marks as not available is left out.
    """
    found = _ADVERTISEMENT.search(data)
    if found is None:
        return {}
    temperature, humidity, pressure, x, y, z, power, moves, _ = _FIELDS.unpack(bytes.fromhex(found[1]))
    rows = (
        ("temperature", temperature, _NO_SIGNED, 0.005, 0.0),
        ("humidity", humidity, _NO_UNSIGNED, 0.0025, 0.0),
        ("pressure", pressure, _NO_UNSIGNED, 0.01, 500.0),
        ("accelX", x, _NO_SIGNED, 0.001, 0.0),
        ("accelY", y, _NO_SIGNED, 0.001, 0.0),
        ("accelZ", z, _NO_SIGNED, 0.001, 0.0),
        ("voltage", power >> 5, _NO_POWER, 0.001, 1.6),  # the rest is the power of the sender
        ("movementCounter", moves, _NO_COUNT, 1.0, 0.0),
    )
    return {name: round(raw * step + base, 6) for name, raw, missing, step, base in rows if raw != missing}
