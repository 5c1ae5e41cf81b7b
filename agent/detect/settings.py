"""The thresholds of the rules; a share is a part of the range seen so far."""

from dataclasses import dataclass, replace
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Strictness of the rules; ``docs/detection.md`` gives the source of each figure."""

    # When a series is judged, and how strictly while little is known.
    warm_readings: int = 150  # nothing but limits alarms before so many readings ...
    warm_s: float = 86_400.0  # ... or so much time, with at least as many as introduce a series
    warm_use_s: float = 3 * 86_400.0  # of power, traffic, wind and other things that come in bursts
    young_moves: float = 100.0  # the alarm line is 1 + young/n times as far after n changes of the value
    young_day: float = 2.0  # and so many times its width farther in the first day of a value
    young_days: float = 1.0  # means and noise: and young_days/days times farther
    young_week: float = 1.0  # means: and so many times farther in the first week
    young_slow: float = 600.0  # the slow mean: 1 + young_slow/n times as far
    young_turns: float = 2.0  # water marks: 1 + 2/n times as far after n half days
    young_slow_days: float = 3.0  # and so many times by the day

    # Alarm lines beyond the range of each feature: a share of its width, and so many usual records.
    spike_share: float = 0.10  # value
    near_share: float = 0.16  # value less the short mean, until the hours of the day are known
    residual_share: float = 0.10  # value less the usual value of this hour
    mean_share: float = 0.42  # short mean
    noise_share: float = 0.30  # mean step between readings
    drift_share: float = 0.50  # slow mean
    mark_share: float = 0.42  # where an hour always comes back to
    records: float = 4.0  # a line is at least so many usual records away
    crowd: float = 0.3  # every doubling of a device's judged series moves their lines so much farther
    crowd_tail: float = 0.5  # and more, for each time that max_skew counts
    crowd_days: float = 3.0  # and more in the first days
    crowd_week: float = 2.0  # so many times as far in the first week: what comes once a week is news then
    stock: float = 2.0  # and of a level or a weight for good: a refill may be larger than all before
    rough_share: float = 1.0  # more of the width, the more a series rests and jumps
    counter_factor: float = 3.0  # a meter's steps and their mean
    max_skew: float = 6.0  # times as far for a series with one long tail
    one_sided: float = 1.7  # a series whose jumps go so many times farther one way has no near record
    load: float = 0.05  # roughness of a setting, or of a load that is seldom on: only its value is judged
    mean_pace: float = 0.006  # of the usual record of a mean, at each reading
    mean_weight: float = 0.1
    noise_weight: float = 0.05
    drift_weight: float = 1 / 64

    # Learning of incidents, and forgetting.
    half_life_readings: float = 10_000.0  # of the ranges: the longer of the two
    half_life_s: float = 30 * 86_400.0
    shift_readings: int = 3  # so many beyond in a row are a new level, not a spike
    quiet_readings: int = 10  # an incident ends after so many calm readings
    adopt_readings: int = 60  # a new level is usual after so many readings
    adopt_s: float = 3600.0  # and so much time
    keep_s: float = 3 * 86_400.0  # and stays so, if it is not left again before,
    keep_share: float = 0.02  # or was held for so much of the age of the series: it is a mode of it
    return_s: float = 12 * 3600.0  # what comes back after so much time is usual
    return_share: float = 0.1  # of the age of the series, where that is less
    returns: float = 3.0  # and what comes so many times, however soon: a load that cycles

    # Severity: critical is what is so far beyond all that was ever seen, for some readings.
    critical_spans: float = 2.0  # times the width of all that was seen
    stay_spans: float = 1.0  # what is so far beyond is not adopted before keep_s
    critical_days: float = 7.0  # and so much has to be known

    # Flatline and silence.
    flat_readings: int = 30  # shorter runs of equal values never alarm
    flat_factor: float = 3.0  # times the longest run seen
    rest_factor: float = 10.0  # times the longest run, at the value that rests longest
    flat_adopt_s: float = 86_400.0  # a stuck value is usual so long after its first alarm
    meter_rest_s: float = 86_400.0  # a meter may rest so long in any case
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
    "near_share",
    "residual_share",
    "mean_share",
    "noise_share",
    "drift_share",
    "mark_share",
    "records",
    "flat_factor",
    "rest_factor",
)
#: How far the alarm lines are by the words of the configuration.
SENSITIVITY = {"calm": 2.0, "normal": 1.0, "eager": 0.5}


@lru_cache(maxsize=8)
def _scaled(settings: DetectSettings, sensitivity: float) -> DetectSettings:
    return replace(settings, **{name: getattr(settings, name) * sensitivity for name in LINES})
