"""The closed lists of metric words and units that may leave the site."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import count

from agent.domain.records import Window

MAX_PARTS = 4

_WORDS = frozenset(
    """
    a ac absolute acceleration active air alarm ambient amperage angle apparent aqi area atmospheric average
    back battery bottom brightness bus case cell charge charging chlorine circulation coil cold compressor
    concentration condensate condenser conductivity consumption contact controller cooling cooler co co2 count
    counter cpu current cycle daily day dc delta demand density depth dew dewpoint differential direction
    discharge disk distance door drain draw duration duty ec efficiency energy engine evaporator exhaust
    export fan feed fill filter flow force formaldehyde forward freezer frequency front fuel gas grid ground
    gust heat heating height high hot hour hours humidity hz illuminance illumination import indoor index
    inlet input inside instant intake internal inverter irradiance left level light line lines linkquality
    liquid load low lower luminance lux main mains mass max mean memory min minute moisture mold motion motor
    nh3 no2 noise o2 o3 oil output outdoor outlet outside oxygen ozone panel particles peak ph phase pipe
    pm pm1 pm10 pm25 pm2_5 point position power precipitation presence pressure probe production pulse pump
    pv radiation radon rain rainfall rate reactive relative reservoir resistance return reverse rh right room
    rpm rssi runtime salinity setpoint shaft signal snr so2 soil solar sound speed stage static status
    steam storage strength suction supply surface sv switch system t tank target temp temperature tension tilt
    time top torque total turbidity tvoc upper uptime usage utilization uv uvi value valve velocity vibration
    viscosity voc volt voltage volume vpd wall water weight wind x y z zone
    """.split()  # noqa: SIM905 - two hundred words read best so
)

_CASED = {"MW": "MW", "MVA": "MVA", "mS/cm": "mS/cm"}  # lower case would change the size
_UNITS = {
    "%": "%", "percent": "%", "pct": "%", "%rh": "%", "rh": "%", "°c": "degC", "ºc": "degC",
    "℃": "degC", "c": "degC", "degc": "degC", "celsius": "degC", "deg_c": "degC", "°f": "degF",
    "f": "degF", "degf": "degF", "fahrenheit": "degF", "k": "K", "kelvin": "K", "pa": "Pa",
    "hpa": "hPa", "kpa": "kPa", "mpa": "MPa", "bar": "bar", "mbar": "mbar", "psi": "psi", "v": "V",
    "mv": "mV", "kv": "kV", "a": "A", "ma": "mA", "w": "W", "kw": "kW", "mw": "mW", "va": "VA",
    "kva": "kVA", "var": "var", "kvar": "kvar", "wh": "Wh", "kwh": "kWh", "mwh": "MWh", "j": "J",
    "kj": "kJ", "hz": "Hz", "khz": "kHz", "rpm": "rpm", "1/min": "rpm", "m": "m", "mm": "mm",
    "cm": "cm", "km": "km", "m/s": "m/s", "mm/s": "mm/s", "km/h": "km/h", "m/s2": "m/s2",
    "m/s²": "m/s2", "g": "g", "kg": "kg", "t": "t", "l": "L", "ml": "mL", "m3": "m3", "m³": "m3",
    "l/min": "L/min", "l/h": "L/h", "l/s": "L/s", "m3/h": "m3/h", "m³/h": "m3/h", "lx": "lx",
    "lux": "lx", "lm": "lm", "w/m2": "W/m2", "w/m²": "W/m2", "ppm": "ppm", "ppb": "ppb",
    "ug/m3": "ug/m3", "µg/m³": "ug/m3", "μg/m³": "ug/m3", "µg/m3": "ug/m3", "mg/m3": "mg/m3",
    "mg/l": "mg/L", "db": "dB", "dba": "dBA", "db(a)": "dBA", "dbm": "dBm", "s": "s", "ms": "ms",
    "min": "min", "h": "h", "d": "d", "°": "deg", "deg": "deg", "ohm": "ohm", "Ω": "ohm",
    "ω": "ohm", "kohm": "kohm", "µs/cm": "uS/cm", "us/cm": "uS/cm", "ms/cm": "mS/cm", "n": "N",
    "nm": "Nm", "mm/h": "mm/h", "ntu": "NTU", "ph": "pH", "byte": "B", "b": "B", "kb": "kB",
    "mb": "MB", "gb": "GB", "lqi": "lqi", "bq/m3": "Bq/m3", "bq/m³": "Bq/m3",
}  # fmt: skip

_SPLIT = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBERED = re.compile(r"([a-z]{2,64})(\d{1,2})")
_INDEX = re.compile(r"[a-z]?\d{1,2}")
PLACEHOLDER = re.compile(r"\bmetric_(\d{1,3})\b")


@lru_cache(maxsize=1024)
def metric_word(name: str) -> str | None:
    """Return the metric's name made of known words only (``supply_temperature_2``), or None."""
    if len(name) > 64 or not name.isascii():  # noqa: PLR2004 - no known word is that long
        return None
    parts = [part for part in _SPLIT.split(_CAMEL.sub("_", name).lower()) if part]
    if "_".join(parts) in _WORDS:
        return "_".join(parts)
    parts = [piece for part in parts for piece in _pieces(part)]
    joined = "_".join(parts)
    if not 1 <= len(parts) <= MAX_PARTS or not (set(parts) & _WORDS):
        return None
    known = all(part in _WORDS or _INDEX.fullmatch(part) for part in parts)
    return joined if known else None


def _pieces(part: str) -> tuple[str, ...]:
    """Split ``temperature2`` into word and number."""
    numbered = None if part in _WORDS else _NUMBERED.fullmatch(part)
    return numbered.groups() if numbered and numbered.group(1) in _WORDS else (part,)


@lru_cache(maxsize=256)
def unit_word(unit: str | None) -> str | None:
    """Return the unit as ASCII from the closed list, or None."""
    if not unit or len(unit) > 16:  # noqa: PLR2004 - as above
        return None
    return _CASED.get(unit.strip()) or _UNITS.get(unit.strip().lower())


def unit_spellings(unit: str | None) -> frozenset[str]:
    """Return all known ways to write ``unit``, casefolded; none for a unit outside the list."""
    word = unit_word(unit)
    if word is None or word in _CASED:
        return frozenset()
    return frozenset(spelling.casefold() for spelling, known in _UNITS.items() if known == word)


def name_metrics(names: Iterable[str]) -> dict[str, str]:
    """Give each metric, in order, a known word, or ``metric_1``, ``metric_2``... where there is none."""
    named: dict[str, str] = {}
    taken: set[str] = set()
    number = count(1)
    for name in names:
        if name in named:
            continue
        word = metric_word(name)
        place = next(number)
        if word is None or word in taken:
            word = f"metric_{place}"
        taken.add(word)
        named[name] = word
    return named


def reveal(summary: str, window: Window) -> str:
    """Put the real metric names of ``window``'s candidates back where the prompt had placeholders."""
    words = name_metrics(reading.metric for reading in window.candidates)
    real = {word: name for name, word in words.items()}
    return PLACEHOLDER.sub(lambda match: real.get(match.group(), match.group()), summary)
