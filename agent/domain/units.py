"""Units of measurement: spellings, and conversion within a dimension.

A unit that is not in the table is not an error: its text is kept, and nothing converts from or to it.
"""

import unicodedata
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import Final, NamedTuple

MAX_SPELLING: Final = 24  # characters of the longest text that is looked up
_WORD: Final = 4  # letters of a spelling whose case does not matter behind a number
DIGITS: Final = 12  # of a converted value: 68 degF is 20 degC, not 20.000000000000057

# Dimension: canonical unit, factor and offset to the dimension's base, and further spellings. A spelling is
# found in any case, unless another unit has the same letters: then as written here. The first unit wins.
_TABLE: Final = """
temperature
  degC 1 273.15 °C C c Cel celsius deg_C degreeC degrees_C oC *C
  degF 0.5555555555555556 255.3722222222222 FAH °F F f fahrenheit deg_F [degF] degreeF oF
  K 1 0 kelvin °K
fraction
  % 1 0 percent pct prozent %RH %rH RH rF %rF %r.H. %EL %LEL vol% Vol.-% percentage
  permille 0.1 0 ‰
  ratio 100 0 /
  ppm 1e-4 0 ppmv
  ppb 1e-7 0 ppbv
power
  W 1 0 w watt watts
  mW 1e-3 0 milliwatt
  kW 1e3 0 kw kilowatt
  MW 1e6 0 megawatt
  GW 1e9 0
  hp 745.6998715822702 0 PS
  BTU/h 0.29307107017222 0 BTUh
apparent
  VA 1 0 voltampere
  kVA 1e3 0
  MVA 1e6 0
reactive
  var 1 0 VAr
  kvar 1e3 0
  Mvar 1e6 0
energy
  Wh 1 0 wh
  kWh 1e3 0 kwh kilowatthour
  MWh 1e6 0
  GWh 1e9 0
  J 0.0002777777777777778 0 joule Ws
  kJ 0.2777777777777778 0
  MJ 277.77777777777777 0
  GJ 277777.77777777775 0
  kcal 1.1622222222222223 0
apparent energy
  VAh 1 0
  kVAh 1e3 0
reactive energy
  varh 1 0
  kvarh 1e3 0
voltage
  V 1 0 v volt volts VDC VAC Vdc Vac
  mV 1e-3 0 millivolt
  uV 1e-6 0
  kV 1e3 0
current
  A 1 0 a amp amps ampere
  mA 1e-3 0 milliampere
  uA 1e-6 0
  kA 1e3 0
charge
  Ah 1 0
  mAh 1e-3 0
resistance
  ohm 1 0 Ω ohms
  kohm 1e3 0 kΩ
  Mohm 1e6 0 MΩ
pressure
  Pa 1 0 pascal
  hPa 100 0
  kPa 1e3 0
  MPa 1e6 0
  bar 1e5 0 barg bara bar(g) bar(a)
  mbar 100 0 millibar
  psi 6894.757293168361 0 psig psia
  mmHg 133.322387415 0 mm[Hg] torr
  inHg 3386.38864034 0 [in_i'Hg]
  inH2O 249.08891 0 inWC
  mmH2O 9.80665 0 mmWS
  mH2O 9806.65 0 mWS mWC mWG
length
  m 1 0 meter metre meters metres
  mm 1e-3 0
  cm 1e-2 0
  km 1e3 0
  um 1e-6 0 micron
  nm 1e-9 0
  in 0.0254 0 inch inches "
  ft 0.3048 0 foot feet
  mi 1609.344 0 mile miles
speed
  m/s 1 0 mps ms-1
  mm/s 1e-3 0
  km/h 0.2777777777777778 0 kmh kph
  mph 0.44704 0 mi/h
  kn 0.5144444444444445 0 kt knot knots kts
  ft/s 0.3048 0
acceleration
  m/s2 1 0 ms-2
rain rate
  mm/h 1 0 mm/hr
  mm/d 0.041666666666666664 0 mm/day
  in/h 25.4 0 in/hr
volume
  L 1 0 l liter litre liters litres
  mL 1e-3 0 ml
  hL 100 0
  m3 1e3 0 cbm Nm3
  gal 3.785411784 0 gallon gallons
  ft3 28.316846592 0 cuft
flow
  L/min 1 0 lpm LPM
  L/h 0.016666666666666666 0 l/h lph
  L/s 60 0 l/s lps
  m3/h 16.666666666666668 0 cbm/h Nm3/h m3/hr
  m3/s 60000 0
  gal/min 3.785411784 0 gpm
  ft3/min 28.316846592 0 cfm
mass
  g 1 0 gram
  kg 1e3 0 kilogram
  mg 1e-3 0
  t 1e6 0 ton tonne
  lb 453.59237 0 lbs pound
  oz 28.349523125 0
mass concentration
  ug/m3 1 0 mcg/m3
  mg/m3 1e3 0
  mg/L 1e6 0
  g/m3 1e6 0
  g/L 1e9 0
conductivity
  uS/cm 1 0
  mS/cm 1e3 0
  S/m 1e4 0
  mS/m 10 0
  S/cm 1e6 0
frequency
  Hz 1 0 hertz
  kHz 1e3 0
  MHz 1e6 0
  GHz 1e9 0
  rpm 0.016666666666666666 0 1/min min-1 U/min r/min
time
  s 1 0 sec second seconds sek
  ms 1e-3 0 msec millisecond milliseconds
  us 1e-6 0 usec
  min 60 0 minute minutes mins
  h 3600 0 hr hrs hour hours std
  d 86400 0 day days
angle
  deg 1 0 ° degree degrees
  rad 57.29577951308232 0
data
  B 1 0 byte bytes
  kB 1e3 0
  MB 1e6 0
  GB 1e9 0
  TB 1e12 0
  KiB 1024 0
  MiB 1048576 0
  GiB 1073741824 0
data rate
  bit/s 1 0 bps
  kbit/s 1e3 0 kbps
  Mbit/s 1e6 0 Mbps
radioactivity
  Bq/m3 1 0
  pCi/L 37 0
dose rate
  uSv/h 1 0
  nSv/h 1e-3 0
force
  N 1 0 newton
  kN 1e3 0
torque
  Nm 1 0 N.m
irradiance
  W/m2 1 0
  kW/m2 1e3 0
irradiation
  Wh/m2 1 0
  kWh/m2 1e3 0
illuminance
  lx 1 0 lux
  klx 1e3 0
luminous flux
  lm 1 0 lumen
magnetic field
  uT 1 0
  mT 1e3 0
sound
  dB 1 0 decibel
sound A
  dBA 1 0 dB(A)
radio level
  dBm 1 0
acidity
  pH 1 0
turbidity
  NTU 1 0
link quality
  lqi 1 0
heat per degree
  W/K 1 0
"""


class Unit(NamedTuple):
    """One unit; ``value * factor + offset`` is the value in the base unit of its dimension."""

    name: str  # canonical, ASCII
    dimension: str
    factor: float
    offset: float


def _read_table() -> tuple[dict[str, Unit], dict[str, str], dict[str, str]]:
    units: dict[str, Unit] = {}
    exact: dict[str, str] = {}
    folded: dict[str, str] = {}
    dimension = ""
    for line in _TABLE.splitlines():
        if not line.startswith(" "):
            dimension = line
            continue
        name, factor, offset, *spellings = line.split()
        units[name] = Unit(name, dimension, float(factor), float(offset))
        for spelling in map(_plain, (name, *spellings)):
            exact.setdefault(spelling, name)
            folded.setdefault(spelling.casefold(), name)
    return units, exact, folded


def _plain(text: str) -> str:
    """Return a spelling without spaces, superscripts and the two signs for micro and ohm."""
    text = unicodedata.normalize("NFKC", text.replace("º", "°"))
    return "".join(text.split()).replace("μ", "u").replace("^", "").replace("**", "")


_UNITS, _EXACT, _FOLDED = _read_table()
UNITS: Final = MappingProxyType(_UNITS)


@lru_cache(maxsize=512)
def is_spelling(text: str) -> bool:
    """Return whether ``text`` behind a number is a unit, and not part of a name such as ``4k`` or ``5G``.

    A short one is spelled exactly as in the table, a longer one in any case.
    """
    if len(text) > MAX_SPELLING:
        return False
    spelling = _plain(text)
    return spelling in _EXACT or (len(spelling) >= _WORD and spelling.casefold() in _FOLDED)


@lru_cache(maxsize=512)
def canonical(text: str) -> str | None:
    """Return the canonical name of a unit as people and devices write it, None for an unknown one."""
    if not text or len(text) > MAX_SPELLING:
        return None
    spelling = _plain(text)
    return _EXACT.get(spelling) or _FOLDED.get(spelling.casefold())


def find_dimension(text: str) -> str | None:
    """Return the quantity that a unit measures, None for an unknown unit."""
    name = canonical(text)
    return None if name is None else UNITS[name].dimension


class Conversion(NamedTuple):
    """The way from one unit to another of its dimension."""

    factor: float
    offset: float

    def apply(self, value: float) -> float:
        """Return ``value`` in the other unit, infinite where no float holds it."""
        converted = value * self.factor + self.offset
        return float(f"{converted:.{DIGITS}g}") if isfinite(converted) else converted


SAME: Final = Conversion(1.0, 0.0)


@lru_cache(maxsize=512)
def conversion(given: str, wanted: str) -> Conversion | None:
    """Return the conversion from unit ``given`` to ``wanted``, None where there is none.

    It is :data:`SAME` for two spellings of one unit, and for one unknown unit spelled the same.
    """
    if given == wanted:
        return SAME
    ours, theirs = canonical(given), canonical(wanted)
    if ours is None or theirs is None:
        return SAME if given.strip().casefold() == wanted.strip().casefold() else None
    if ours == theirs:
        return SAME
    one, other = UNITS[ours], UNITS[theirs]
    if one.dimension != other.dimension:
        return None
    return Conversion(one.factor / other.factor, (one.offset - other.offset) / other.factor)
