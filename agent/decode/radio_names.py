"""Identity, units and left-out keys of messages in the way of rtl_433.

https://github.com/merbanan/rtl_433/blob/master/docs/DATA_FORMAT.md
"""

from typing import Any

from agent.decode.device_ids import identity

#: Keys of the radio and of the protocol.
RADIO_KEYS = frozenset({
    "time", "model", "id", "channel", "subtype", "type", "mic", "protocol", "mod", "freq", "freq1", "freq2",
    "raw_msg", "code", "codes", "rows", "data", "len", "num_rows", "msg_type", "message_type",
    "sequence_num", "sequence", "unit", "button", "flags", "transmit", "exception", "brand", "duration",
    "pulses", "crc", "checksum", "counter_id", "uid", "device", "sid", "house_code", "housecode", "cmd",
    "learn", "tamper_count",
})  # fmt: skip

_UNIT_OF_SUFFIX = (
    ("_C", "°C"), ("_F", "°F"), ("_hPa", "hPa"), ("_kPa", "kPa"), ("_PSI", "psi"), ("_bar", "bar"),
    ("_mm_h", "mm/h"), ("_in_h", "in/h"), ("_mm", "mm"), ("_in", "in"), ("_km_h", "km/h"), ("_mi_h", "mph"),
    ("_m_s", "m/s"), ("_lux", "lx"), ("_lx", "lx"), ("_klx", "klx"), ("_mV", "mV"), ("_V", "V"),
    ("_kWh", "kWh"), ("_Wh", "Wh"), ("_W", "W"), ("_A", "A"), ("_Hz", "Hz"), ("_deg", "°"), ("_ppm", "ppm"),
    ("_ug_m3", "µg/m³"), ("_cm", "cm"), ("_km", "km"), ("_dB", "dB"), ("_pct", "%"),
)  # fmt: skip
_UNIT_OF_NAME = {"humidity": "%", "moisture": "%", "rssi": "dBm", "snr": "dB", "noise": "dBm"}


def radio_device(fields: dict[str, Any]) -> str | None:
    """Return ``model/id``; without an id the channel is the id; None where the message has no identity."""
    number = fields.get("id")
    if number is None or number == "":
        number = fields.get("channel")
    return identity(fields.get("model"), number)


def radio_unit(metric: str) -> str | None:
    """Return the unit that the name of a value ends with."""
    last = metric.rpartition(".")[2]
    for end, unit in _UNIT_OF_SUFFIX:
        if last.endswith(end):
            return unit
    return _UNIT_OF_NAME.get(last.casefold())
