"""The nature of a series: constant, two-valued, a meter, a battery, a direction.

It decides what is judged of a value, and what is not judged at all.
"""

import re
from typing import Final

from agent.detect.features import MANY_KINDS, STOCK, USE
from agent.detect.state import (
    BEFORE,
    FALLS,
    FIRST,
    GAP,
    KINDS,
    METER,
    MOVES,
    QUANTUM,
    RESETS,
    RISES,
    SECOND,
    TRAIT,
    TRAVEL,
    X_HI,
    X_LO,
    State,
)
from agent.domain.metric_names import DIMENSIONS, look_up

PLAIN, RESERVE, DIRECTION = 0.0, 1.0, 2.0  # more in agent.detect.features
MIN_REFILL = 0.5  # of its range: a battery that rises more was changed or charged
ZERO = 0.02  # of the value before: a fall to less is one to zero
MIN_RISES = 20.0
SURE_MOVES = 400.0  # changes of the value after which its nature is known
MAX_FALLS = 3.0  # a meter that falls more often than this and one in so many changes is none
FALL_IN = 200.0
RESET_IN = 5.0
GAP_PACE = 1.02  # how fast the usual gap follows: what was lost now and then does not count

_WORDS: Final = re.compile(r"[a-z]+\d*")
_RESERVES: Final = frozenset({"battery", "batt", "bat", "vbat", "vbatt", "accu", "akku", "soc"})
_DIRECTIONS: Final = frozenset(
    {
        "dir",
        "direction",
        "winddir",
        "winddirection",
        "bearing",
        "heading",
        "azimuth",
        "richtung",
        "windrichtung",
    }
)


#: Quantities of use, of light and of the weather: they come in bursts.
_USES: Final = frozenset(
    """
    power current electricity load cpu flow consumption usage utilization demand rate traffic bytes
    voc co co2 pm pm1 pm10 pm2_5 particles no2 o3 so2 nh3 h2s smoke
    illuminance irradiance light lux luminance radiation solar par uv
    wind gust wind_speed rain precipitation noise leq speed occupancy
    """.split()  # noqa: SIM905 - fifty words read best so
)
_BEGINS_OF_USES: Final = ("windsp", "windgu", "gust", "rainr", "solar", "noise")  # of compounds
#: Quantities without a natural bound: a refill, a flood. Stores of them rest for days and are filled at once.
_STOCKS: Final = frozenset(
    {"level", "volume", "weight", "mass", "depth", "distance", "moisture", "soil_moisture", "fill"}
)
_STORES: Final = frozenset({"fuel", "tank", "oil", "diesel", "salt", "pellet", "pellets", "lpg", "propane"})
_LOUD: Final = frozenset({"noise", "sound"})
_VAGUE: Final = frozenset({"output", "production", "valve", "door", "window"})


def trait_of(metric: str) -> float:
    """Return the trait that a metric's name gives to its values.

    The charge of a battery rests for days and rises at once; a direction has no lowest and no highest value;
    what is used or blows comes in bursts.
    """
    words = _WORDS.findall(metric.casefold())
    quantity = _quantity_of(metric, words)
    if not _DIRECTIONS.isdisjoint(words):
        return DIRECTION
    if quantity in _USES:
        return USE
    if not _RESERVES.isdisjoint(words) or (quantity in _STOCKS and not _STORES.isdisjoint(words)):
        return RESERVE
    return STOCK if quantity in _STOCKS else PLAIN


def _quantity_of(metric: str, words: list[str]) -> str:
    """Return what a name is about: its last listed word, what sounds like one of use, or nothing."""
    word = look_up(metric).word or ""
    for part in (word, *reversed(word.split("_"))):
        if part == "level" and not _LOUD.isdisjoint(words):
            return "noise"
        if part in _USES or (part in DIMENSIONS and part not in _VAGUE):
            return part
    known = (one for one in words if one in _USES or one in _STOCKS)
    return next(known, "noise" if any(one.startswith(_BEGINS_OF_USES) for one in words) else "")


def tell_apart(state: State, value: float) -> float:
    """Count distinct values, up to three; return the count."""
    if state[KINDS] == 1.0 and value != state[FIRST]:
        state[SECOND], state[KINDS] = value, 2.0
    elif state[KINDS] == 2.0 and value not in (state[FIRST], state[SECOND]):  # noqa: PLR2004 - two values known
        state[KINDS] = MANY_KINDS
    return state[KINDS]


def is_on(state: State, value: float) -> bool:
    """Return whether a contact that was off at first is on now."""
    return value == 1.0 and state[FIRST] == 0.0 and state[KINDS] == 2.0  # noqa: PLR2004 - two values known


def fall(prev: float, value: float) -> int:
    """Return the place where a fall is counted: as one to zero, or as another."""
    return RESETS if 0.0 <= value <= ZERO * prev else FALLS


def was_wild(state: State, prev: float, value: float) -> bool:
    """Return whether a single value was as far away as a sensor's error is: the others know nothing of it.

    A kettle may have run for one reading.
    """
    low, high = state[X_LO], state[X_HI]
    far = max(prev - high, low - prev)
    return low <= value <= high and far > high - low and state[TRAIT] != USE


def is_meter(state: State) -> bool:
    """Return whether a series that is judged by its values turns out to only rise, except for resets."""
    rises, moves = state[RISES], state[MOVES]
    return (
        not state[METER]
        and moves <= SURE_MOVES
        and not state[FALLS]
        and rises >= MIN_RISES
        and rises >= RESET_IN * state[RESETS]
    )


def is_plain(state: State) -> bool:
    """Return whether a meter has fallen too often for one."""
    return (
        state[FALLS] > MAX_FALLS + state[MOVES] / FALL_IN
        or state[RESETS] * RESET_IN > state[RISES] + MIN_RISES
    )


def step_of(state: State, prev: float, value: float, gap_s: float) -> float | None:
    """Return a meter's step as if its gap had been the usual one; None for a fall.

    A reading of zero may be one reset or a reading that was not ready: the return is not a step.
    """
    step = value - prev
    if step < 0.0:
        if 0.0 <= value <= ZERO * prev:
            state[BEFORE] = prev
        return None
    before = state[BEFORE]
    if before and value >= (1.0 - ZERO) * before:
        step = min(step, max(0.0, value - before))
    state[BEFORE] = 0.0
    return per_gap(state, step, gap_s)


def per_gap(state: State, step: float, gap_s: float) -> float:
    """Return a step as it would have been had the gap to the last reading been the usual one."""
    usual = state[GAP]
    if gap_s <= 0.0:
        return step
    if not usual:
        usual = gap_s
    elif gap_s > usual:
        usual = min(gap_s, usual * GAP_PACE)
    else:
        usual = max(gap_s, usual / GAP_PACE)
    state[GAP] = usual
    return step * usual / gap_s if gap_s > usual else step


def is_refill(state: State, prev: float, value: float) -> bool:
    """Return whether a battery was changed or charged."""
    step = value - prev
    far = MIN_REFILL * (state[X_HI] - state[X_LO]) + state[QUANTUM]
    return state[TRAIT] == RESERVE and state[X_HI] > state[X_LO] and step > far


def begin_again(state: State) -> None:
    """Let the counts of a series' changes begin again."""
    for place in (MOVES, TRAVEL, RISES, FALLS, RESETS, BEFORE):
        state[place] = 0.0
