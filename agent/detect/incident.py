"""An incident: alarms close together, their kind, how bad it is, and its end."""

from agent.detect import records, watermarks
from agent.detect.features import MEAN, NEAR, NOISE, RESIDUAL, SLOW, STOCK, USE, VALUE
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ADOPTED_AT,
    AT,
    BORN_AT,
    BUSY,
    CHECKED,
    CHECKED_AT,
    CREEP,
    CREEP_AT,
    DRIFT,
    EVER_HI,
    EVER_LO,
    IN_A_ROW,
    INCIDENT_AT,
    INCIDENT_TOP,
    LINE,
    MARK,
    QUANTUM,
    QUIET,
    RECENT,
    RECENTS,
    RUN,
    TOTAL,
    TRAIT,
    State,
)
from agent.domain.records import Kind

SUSTAINED_BONUS = 1.01  # what lasts outweighs its own first reading, so that a window is named for it
CREEP_FORGET = 0.8  # a reading
CREEPS = 2.4  # three records in a row
SURE_SHIFT = 5  # readings beyond the same end
MAX_RUN = 5000.0  # a stopped clock does not keep an incident open for ever
STEPS = 5.0  # of the sensor, which are never critical
MOST = 2.9  # the score of a reading that is no more than unusual

Scores = list[float]  # of each feature


def creep(state: State) -> None:
    """Note a value a little beyond its range; many such records close together are a drift."""
    total = state[TOTAL]
    state[CREEP] = 1.0 + state[CREEP] * CREEP_FORGET ** min(total - state[CREEP_AT], 100.0)
    state[CREEP_AT] = total


def name(scores: Scores, in_a_row: float, creeping: float, settings: DetectSettings) -> Kind:
    """Return the kind that fits the scores of the features best."""
    mean, noise, drift = scores[MEAN], scores[NOISE], scores[SLOW]
    level = max(scores[VALUE], scores[RESIDUAL])
    beyond = max(level, scores[NEAR])
    if in_a_row >= SURE_SHIFT and level >= 1.0:  # whatever noise there is, it is at another level
        return Kind.LEVEL_SHIFT
    if noise >= 1.0 or noise > max(beyond, mean, drift):
        return Kind.NOISE
    if in_a_row >= settings.shift_readings and level >= 1.0:
        return Kind.LEVEL_SHIFT
    if mean >= 1.0 or in_a_row > SURE_SHIFT:  # still on its way from its short mean
        return Kind.DRIFT if creeping >= CREEPS else Kind.LEVEL_SHIFT
    if beyond >= 1.0 or beyond >= max(mean, drift):
        return Kind.SPIKE
    return Kind.DRIFT if drift > mean else Kind.LEVEL_SHIFT


def go_on(
    state: State, scores: Scores, x: float, settings: DetectSettings, *, up: bool
) -> tuple[Kind, float]:
    """Open or prolong the incident with an alarm, at the upper end or not; return its kind and score."""
    run = state[RUN] + 1.0
    at = state[AT]
    if run == 1.0:
        state[INCIDENT_AT] = at
        state[INCIDENT_TOP] = state[IN_A_ROW] = 0.0
        state[CHECKED_AT], state[CHECKED] = at, x
        if state[TOTAL] - state[CREEP_AT] > settings.quiet_readings:
            state[CREEP] = 0.0
    state[RUN], state[BUSY] = run, 1.0
    state[QUIET] = 0.0
    beyond = max(scores[VALUE], scores[NEAR], scores[RESIDUAL]) >= 1.0
    side = 1.0 if up else -1.0
    in_a_row = max(0.0, side * state[IN_A_ROW]) + 1.0 if beyond else 0.0  # beyond the same end
    state[IN_A_ROW] = side * in_a_row
    top = max(scores)
    lasting = in_a_row if beyond else run  # the range follows a slow rise
    if top > MOST and not is_critical(state, x, lasting, settings):
        top = MOST
    state[INCIDENT_TOP] = max(top, state[INCIDENT_TOP])
    if 0.0 < max(scores[VALUE], scores[RESIDUAL]) < 1.0:
        creep(state)
    kind = name(scores, in_a_row, state[CREEP], settings)
    if kind is not Kind.SPIKE and beyond:
        top = SUSTAINED_BONUS * state[INCIDENT_TOP]
    if _has_lasted(state, x, settings) or run >= MAX_RUN:
        records.adopt(state, settings)
        watermarks.adopt(state)
        state[RUN] = 0.0
    return kind, top


def _has_lasted(state: State, x: float, settings: DetectSettings) -> bool:
    """Return whether the level of an incident may be taken as usual: it is not far, and it has settled."""
    at, since_s = state[AT], abs(state[AT] - state[INCIDENT_AT])
    if state[RUN] < settings.adopt_readings or abs(at - state[CHECKED_AT]) < settings.adopt_s:
        return False
    if since_s >= settings.keep_s:
        return True
    level = sum(state[RECENT : RECENT + RECENTS]) / RECENTS
    outwards = level - state[CHECKED] if level > state[EVER_HI] else state[CHECKED] - level
    if not state[EVER_LO] <= level <= state[EVER_HI] and outwards > state[LINE + VALUE]:  # as a thaw does
        state[CHECKED_AT], state[CHECKED] = at, level
        return False
    return not (watermarks.are_known(state) and _is_far(state, x, settings.stay_spans))


def is_critical(state: State, x: float, in_a_row: float, settings: DetectSettings) -> bool:
    """Return whether a value is far beyond all that was ever seen, for some readings, and much was seen."""
    if state[TRAIT] in (USE, STOCK):  # a storm, a kettle, a flood, a refill
        return False
    known = abs(state[AT] - state[BORN_AT]) >= settings.critical_days * 86_400.0
    return known and _is_far(state, x, settings.critical_spans) and in_a_row >= settings.shift_readings


def _is_far(state: State, x: float, spans: float) -> bool:
    """Return whether a value is so many times the usual width beyond all that was known half a day ago."""
    low, high = state[EVER_LO], state[EVER_HI]
    return max(x - high, low - x) > spans * (high - low) + STEPS * state[QUANTUM]


def calm_down(state: State, settings: DetectSettings) -> None:
    """Count a calm reading during an incident; enough of them end it, and the ranges learn of it."""
    state[QUIET] += 1.0
    if abs(state[IN_A_ROW]) < SURE_SHIFT:  # a pump that rests is at its new level again when it runs
        state[IN_A_ROW] = 0.0
    if state[QUIET] >= settings.quiet_readings:
        records.learn(state, settings)
        state[RUN] = 0.0
        note_busy(state)


def note_busy(state: State) -> None:
    """Note whether anything but the plain tests needs every reading."""
    state[BUSY] = 1.0 if state[RUN] or state[DRIFT] or state[MARK] or state[ADOPTED_AT] else 0.0
