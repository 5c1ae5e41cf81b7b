"""The features of a series and the rule of each, with its alarm line.

A record test asks how far a feature is beyond the range that it has shown. The alarm line of each is drawn
here and nowhere else: a share of the range's width, farther while little is known or for a series that rests
and jumps, and never closer than some usual records, which are large in a heavy tail.
"""

from collections.abc import Callable
from math import inf, log2, sqrt
from typing import Final, NamedTuple

from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ABOVE,
    AT,
    BORN,
    BORN_AT,
    FALLS,
    FOLDS,
    HOURS,
    KINDS,
    LINE,
    MATES,
    MEANT,
    MEANT_MOVES,
    METER,
    MOVES,
    N_HI,
    N_LO,
    PROFILE,
    PROFILED,
    QUANTUM,
    R_HI,
    R_LO,
    RANGE,
    RECENT,
    RECORD,
    SETTLED,
    TINY,
    TOTAL,
    TRAIT,
    TRAVEL,
    WARM,
    X_HI,
    X_LO,
    State,
)

VALUE, NEAR, RESIDUAL, MEAN, NOISE, SLOW = range(6)
DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
FULL_DAY: Final = 0.3  # of the width of the values: hours that differ so much are a rhythm
FLOOR: Final = 0.01  # of the value's range: what every feature may always do
MANY_KINDS: Final = 3.0
RESERVE: Final = 1.0  # the trait of a battery's charge, as agent.detect.nature has it
DIRECTION: Final = 2.0  # that of a direction
USE: Final = 3.0  # that of power, traffic, light, wind: it comes in bursts
STOCK: Final = 4.0  # that of a level, a volume, a weight: it may be filled at once
METER_STEPS: Final = 2.0  # of a meter more than ever are not far
SINGLE: Final = 2.0  # steps of the sensor: a value that goes from one to the next moves no farther
POSITIONS: Final = 4.0  # the same: a setting or a stage has a range of at most so many
NEGLIGIBLE: Final = 0.2  # of an alarm line: a mean's record of that size is not worth a score
USELESS: Final = 0.65  # of the width of the values: a wider residual adds nothing to them
EVEN: Final = 0.2  # of the readings in the thinner half of the range are nothing special
FEW_MEANS: Final = 160  # readings since the means began, before which they are not judged
SLOW_BEGINS: Final = 192  # the same: from here on the slow mean has a range,
SLOW_FROM: Final = 640  # and is judged


class Feature(NamedTuple):
    """A feature and its rule."""

    share: Callable[[DetectSettings], float]  # of the range's width
    youth: Callable[[State, DetectSettings], float]  # how much farther the line is; inf: not judged
    follow: float = 1.0  # part of a small record that the range follows at once
    records: float = 1.0  # how many usual records the line is away, against the others
    rough: float = 0.0  # how much the line yields to a series that rests and jumps
    of_meters: bool = False  # judged for the steps of a meter too
    tailed: bool = False  # the line is farther for a series with one long tail
    mean: bool = False  # a mean, which may go wherever the values go


def _by_moves(state: State, settings: DetectSettings) -> float:
    moves = state[MOVES]
    return 1.0 + settings.young_moves / moves if moves else inf


def _value(state: State, settings: DetectSettings) -> float:
    first_day = settings.young_day if state[AT] - state[BORN_AT] < DAY_S else 0.0
    return _by_moves(state, settings) + first_day


def _near(state: State, settings: DetectSettings) -> float:
    if state[PROFILED] and state[FOLDS] >= state[SETTLED] + 2 * HOURS:
        return inf
    up, down = state[N_HI], -state[N_LO]
    longer, shorter = (up, down) if up > down else (down, up)
    if longer > settings.one_sided * shorter:
        return inf  # its jumps go one way
    return _by_moves(state, settings)


def _first_days(state: State, settings: DetectSettings) -> float:
    """Return what the days add that were not seen yet: a series must show what its days are like."""
    days = (state[AT] - state[BORN_AT]) / DAY_S
    if days <= 0.0:
        return inf
    return settings.young_days / days + (settings.young_day if days < 1.0 else 0.0)


def _residual(state: State, settings: DetectSettings) -> float:
    seen = state[MOVES] - state[MEANT_MOVES]
    if not state[PROFILED] or state[FOLDS] < state[SETTLED] or not seen:
        return inf
    if state[R_HI] - state[R_LO] > USELESS * (state[X_HI] - state[X_LO]):
        return inf  # the hours of the day explain nothing
    return 1.0 + settings.young_moves / seen + settings.young_days / _known_days(state)


def _known_days(state: State) -> float:
    """Return the days since there are residuals."""
    return max(1.0, (state[FOLDS] - state[SETTLED]) / HOURS + 1.0)


def first_week(state: State, settings: DetectSettings) -> float:
    """Return what is added until a weekend was seen, for a series whose hours differ.

    It may follow people: an empty building or a machine at rest is news only once.
    """
    span = state[X_HI] - state[X_LO]
    if state[AT] - state[BORN_AT] >= WEEK_S or not state[PROFILED] or not 0.0 < span < inf:
        return 0.0
    hours = state[PROFILE:RECENT]
    return settings.young_week * min(1.0, (max(hours) - min(hours)) / (FULL_DAY * span))


def is_excused(state: State, settings: DetectSettings) -> bool:
    """Return whether the lines of the means are farther because no weekend was seen yet."""
    young = state[AT] - state[BORN_AT] < WEEK_S
    return young and (is_of_use(state) or first_week(state, settings) > settings.young_week / 2.0)


def _mean(state: State, settings: DetectSettings) -> float:
    seen = state[MOVES] - state[MEANT_MOVES]
    if (
        seen < 1.0
        or state[TOTAL] - state[MEANT] < FEW_MEANS
        or (state[PROFILED] and state[FOLDS] < state[SETTLED])
    ):
        return inf
    days = settings.young_days / _known_days(state) if state[PROFILED] else _first_days(state, settings)
    return 1.0 + settings.young_moves / seen + days + first_week(state, settings)


def _noise(state: State, settings: DetectSettings) -> float:
    if state[TOTAL] - state[BORN] < FEW_MEANS:
        return inf
    return _by_moves(state, settings) + _first_days(state, settings)


def _slow(state: State, settings: DetectSettings) -> float:
    seen = state[TOTAL] - state[MEANT]
    if not state[PROFILED] or seen < SLOW_FROM or state[FOLDS] < state[SETTLED] + HOURS:
        return inf
    days = settings.young_slow_days * DAY_S / (state[AT] - state[BORN_AT])
    return 1.0 + settings.young_slow / seen + days + first_week(state, settings)


#: In the order of the places in the state.
TABLE: Final = (
    Feature(lambda k: k.spike_share, _value, rough=1.0, tailed=True, of_meters=True),
    Feature(lambda k: k.near_share, _near, records=0.85, rough=5.0),
    Feature(lambda k: k.residual_share, _residual, rough=1.0, tailed=True),
    Feature(lambda k: k.mean_share, _mean, follow=0.02, rough=1.0, of_meters=True, tailed=True, mean=True),
    Feature(lambda k: k.noise_share, _noise, follow=0.02, rough=1.0),
    Feature(lambda k: k.drift_share, _slow, follow=0.02, rough=4.0, tailed=True, mean=True),
)


def ends(feature: int) -> tuple[int, int]:
    """Return the places of the low and the high end of a feature's range."""
    low = RANGE + 2 * feature
    return low, low + 1


def roughness(state: State) -> float:
    """Return how much a series rests and jumps: 0 for noise, towards 1 for a setting or a rare load."""
    moves, span = state[MOVES], state[X_HI] - state[X_LO]
    if not moves or span <= 0.0 or state[METER]:
        return 0.0
    rest = 1.0 - moves / (state[TOTAL] - state[BORN])
    jump = sqrt(state[TRAVEL] / moves) / span
    return rest * jump if jump < 1.0 else rest


def is_coarse(state: State) -> bool:
    """Return whether a series that rests and jumps does so because its sensor is coarse: by single steps.

    In the first week it may be a load that did not run yet, and the charge of a battery rests for days.
    """
    if state[AT] - state[BORN_AT] < WEEK_S or state[TRAIT] == RESERVE:
        return False
    step = state[QUANTUM]
    single = state[TRAVEL] <= (SINGLE * step) ** 2 * state[MOVES]
    return single and state[X_HI] - state[X_LO] > POSITIONS * step


def skewness(state: State, settings: DetectSettings) -> float:
    """Return how much farther youth makes the lines of a series with one long tail: 1 for an even one."""
    above = state[ABOVE]
    thin = min(1.0 - above, above)
    return 1.0 + (settings.max_skew - 1.0) * (1.0 - thin / EVEN) if thin < EVEN else 1.0


def crowd(state: State, settings: DetectSettings, tail: float) -> float:
    """Return how much farther the lines are for all series of a device that has many of them.

    Each is a chance of a false finding of the device. Where records fall off exponentially, the logarithm
    of their number keeps the sum as small as that of one series. A long tail needs more, and so do the
    first days, of whose events each series shows others.
    """
    mates, days = state[MATES], (state[AT] - state[BORN_AT]) / DAY_S
    far = settings.crowd_week if days * DAY_S < WEEK_S and is_of_use(state) else 1.0
    if mates <= 1.0:
        return far
    first_days = settings.crowd_days / (days * days) if days > 1.0 else settings.crowd_days
    return far * (1.0 + settings.crowd * log2(mates) * (1.0 + settings.crowd_tail * tail + first_days))


def judged(state: State, settings: DetectSettings) -> bool:
    """Return whether there is anything to compare a value with.

    There is nothing for a constant, ON/OFF, a direction, or what only rose so far: it may be a meter.
    """
    known = state[WARM] and state[KINDS] >= MANY_KINDS and (state[FALLS] or state[METER])
    return bool(known) and state[TRAIT] != DIRECTION and not is_new_use(state, settings)


def is_new_use(state: State, settings: DetectSettings) -> bool:
    """Return whether the days of a series of use are unknown: its first peak is not a fault."""
    return is_of_use(state) and state[AT] - state[BORN_AT] < settings.warm_use_s


def is_of_use(state: State) -> bool:
    """Return whether a series shows what is used: it comes in bursts, or counts them."""
    return state[TRAIT] == USE or state[METER] == 1.0


def is_first_week_of_many(state: State) -> bool:
    """Return whether weekly events of a device are unknown; for a series of use its crowd has them."""
    return state[MATES] > 1.0 and state[AT] - state[BORN_AT] < WEEK_S and not is_of_use(state)


class Common(NamedTuple):
    """How far the lines of all features of a series are."""

    rough: float
    tail: float  # how much farther youth makes the lines of a long tail, beyond the same
    crowd: float
    week: float  # more in the first week of a device with many series
    times: float  # 1, or more for a meter
    slack: float  # of the sensor
    floor: float  # what every feature but the value may always do
    load: bool  # it seldom leaves its rest
    coarse: bool  # it only seems to


def weigh(state: State, settings: DetectSettings) -> Common:
    """Return what the alarm lines of a series have in common."""
    rough = roughness(state)
    coarse = rough > settings.load and is_coarse(state)
    if coarse:
        rough = 0.0
    tail = skewness(state, settings) - 1.0
    meter = state[METER]
    return Common(
        rough * settings.rough_share,
        tail,
        crowd(state, settings, tail),
        settings.crowd_week if is_first_week_of_many(state) else 1.0,
        settings.counter_factor if meter else 1.0,
        state[QUANTUM] * (METER_STEPS if meter else 1.0),
        FLOOR * (state[X_HI] - state[X_LO]),
        rough * settings.rough_share > settings.load * settings.rough_share,
        coarse,
    )


def draw(state: State, settings: DetectSettings) -> None:
    """Draw the alarm lines of all features."""
    if not judged(state, settings):
        for feature in range(len(TABLE)):
            state[LINE + feature] = inf
        return
    common = weigh(state, settings)
    for feature in range(len(TABLE)):
        state[LINE + feature] = line(state, feature, settings, common)


def expected(state: State, base: float) -> tuple[float, float]:
    """Return what is usual of the value now: its range, and that around the usual value of the hour."""
    low, high = state[X_LO], state[X_HI]
    if state[PROFILED]:
        r_low, r_high = ends(RESIDUAL)
        narrow = max(low, base + state[r_low]), min(high, base + state[r_high])
        if narrow[0] <= narrow[1]:
            return narrow
    return low, high


def line(state: State, feature: int, settings: DetectSettings, common: Common | None = None) -> float:
    """Return how far beyond its range a feature alarms."""
    rule = TABLE[feature]
    if state[METER] and not rule.of_meters:
        return inf
    place = RANGE + 2 * feature
    width = state[place + 1] - state[place]
    if width == inf:  # retired
        return inf
    youth = rule.youth(state, settings)
    if youth == inf:
        return inf
    rough, tail, many, week, times, slack, floor, load, coarse = common or weigh(state, settings)
    if feature != VALUE:
        if load:
            return inf  # what seldom leaves its rest has no mean, no noise and no hours
        if coarse and rule.follow < 1.0:
            slack = 0.0  # a mean of steps is finer than a step
        slack += floor
    if rule.tailed:
        youth += (youth - 1.0) * tail
    share = (rule.share(settings) + rule.rough * rough) * youth * times
    if rule.tailed and not state[METER] and is_of_use(state):
        share *= 1.0 + tail  # the next peak may be far higher
    elif state[TRAIT] == STOCK:
        share *= settings.stock
    usual = settings.records * rule.records * times * state[RECORD + feature]
    if feature not in (MEAN, NOISE):  # they show what lasts
        many *= week
    return max(share * width + slack, usual) * many + TINY
