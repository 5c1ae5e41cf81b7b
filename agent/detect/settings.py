"""The thresholds of the rules; a share is a part of the range seen so far."""

from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Strictness of the rules; ``docs/detection.md`` gives the source of each figure."""

    warm_readings: int = 300  # nothing but limits alarms before
    young_readings: float = 500.0  # the alarm line is 1 + young/n times as far while little was seen
    young_day: float = 3.0  # and this many times as far in the first day of a series
    spike_share: float = 0.12  # value
    residual_share: float = 0.12  # value less the usual value of this hour
    mean_share: float = 0.35  # short mean
    noise_share: float = 0.30  # mean step between readings
    drift_share: float = 0.50  # slow mean against that of an hour ago and more
    mean_weight: float = 0.1
    noise_weight: float = 0.05
    drift_weight: float = 1 / 64
    half_life_readings: float = 10_000.0  # of the ranges: the longer of the two
    half_life_s: float = 30 * 86_400.0
    shift_readings: int = 3  # so many beyond in a row are a new level, not a spike
    quiet_readings: int = 10  # an incident ends after so many calm readings
    adopt_readings: int = 60  # a new level is usual after so many readings
    adopt_s: float = 3600.0  # and so much time
    flat_readings: int = 30  # shorter runs of equal values never alarm
    flat_factor: float = 3.0  # times the longest run seen
    rest_factor: float = 10.0  # times the longest run, at the value that rests longest
    flat_adopt_s: float = 86_400.0  # a stuck value is usual after so much time
    silence_gaps: int = 20  # gaps needed to know a device's interval
    silence_factor: float = 5.0  # times the usual gap
    pause_factor: float = 3.0  # times the usual gap: longer ones do not teach the interval
    silence_longest: float = 2.0  # times the longest gap
    min_silence_s: float = 10.0
    max_series: int = 10_000

    def at(self, sensitivity: float) -> "DetectSettings":
        """Return the thresholds with each alarm line so many times as far; silence has its own settings."""
        return self if sensitivity == 1.0 else _scaled(self, sensitivity)


#: Alarm lines that a sensitivity moves.
LINES = (
    "spike_share",
    "residual_share",
    "mean_share",
    "noise_share",
    "drift_share",
    "flat_factor",
    "rest_factor",
)
#: How far the alarm lines are by the words of the configuration.
SENSITIVITY = {"calm": 2.0, "normal": 1.0, "eager": 0.5}


@lru_cache(maxsize=8)
def _scaled(settings: DetectSettings, sensitivity: float) -> DetectSettings:
    return replace(settings, **{name: getattr(settings, name) * sensitivity for name in LINES})
