"""Values that a sensor sends when it has none."""

import re

# The DS18B20 after power-on (85) and unplugged (-127), sixteen bits that mean "not there", and these in
# tenths and hundredths, with and without a sign.
_POWER_ON = 85.0
#: Most readings are between these, and sentinels are not.
NEAR, FAR = -127.0, 85.0
_SENTINELS = frozenset({
    _POWER_ON, -127.0, -273.15, 32767.0, -32768.0, 65535.0, 3276.7, -3276.8, 6553.5, 327.67, -327.68, 655.35,
    9999.0, -9999.0, -999.0, -999.9, 2147483647.0, -2147483648.0, 4294967295.0,
})  # fmt: skip

_TEMPERATURE = re.compile(
    r"(?:\A|[^A-Za-z])(?:[tT]emp|TEMP|[tT][cC]?(?=\Z|[^A-Za-z]))|[a-z0-9](?:Temp|Tmp)|[tT]emperatur|"
    r"(?:\A|[^A-Za-z])[tT]mp"
)
# Things that are 85 °C now and then, or are set to it.
_HOT = re.compile(
    r"boiler|kessel|heiz|heat|flow|vorlauf|return|solar|collector|kollektor|oven|ofen|cpu|gpu|core|chip|motor|"
    r"engine|(?<!s)oil|exhaust|flue|abgas|sauna|kettle|steam|hot|water|wasser|furnace|set|target|soll|max|limit|esp32",
    re.IGNORECASE,
)
_ABSOLUTE_ZERO_C = -273.15
_MIN_EPOCH = 1e9  # a smaller number is not a time


def is_measured(value: float) -> bool:
    """Return whether a finite number is neither a sentinel nor a time, whatever its metric is."""
    return NEAR < value < FAR or (_ABSOLUTE_ZERO_C <= value < _MIN_EPOCH and value not in _SENTINELS)


def is_sentinel(device: str, metric: str, value: float, unit: str | None) -> bool:
    """Return whether ``value`` means that the sensor has none; only where the metric is a temperature.

    85 °C is usual in a boiler or a processor: there it is a value.
    """
    if (value not in _SENTINELS and value >= _ABSOLUTE_ZERO_C) or not _TEMPERATURE.search(metric):
        return False
    fahrenheit_or_kelvin = unit is not None and unit.strip("°").casefold() in {"f", "degf", "k"}
    if value == _POWER_ON:
        return not fahrenheit_or_kelvin and not _HOT.search(f"{device}.{metric}")
    return value in _SENTINELS or not fahrenheit_or_kelvin
