"""An incident: alarms close together, their kind, and what the ranges learn."""

from agent.detect import ranges
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    CREEP,
    CREEP_AT,
    IN_A_ROW,
    INCIDENT_AT,
    INCIDENT_TOP,
    QUIET,
    RUN,
    TOTAL,
    State,
)
from agent.domain.records import Kind

SUSTAINED_BONUS = 1.01  # what lasts outweighs its own first reading, so that a window is named for it
CREEP_FORGET = 0.8  # a reading
CREEPS = 2.5  # about four records in a row
SURE_SHIFT = 5  # readings beyond the same end
MAX_RUN = 5000.0  # a stopped clock does not keep an incident open for ever

Scores = tuple[float, float, float, float, float]


def creep(state: State) -> None:
    """Note a value a little beyond its range; many such records close together are a drift."""
    total = state[TOTAL]
    state[CREEP] = 1.0 + state[CREEP] * CREEP_FORGET ** min(total - state[CREEP_AT], 100.0)
    state[CREEP_AT] = total


def name(scores: Scores, in_a_row: float, creeping: float, settings: DetectSettings) -> Kind:
    """Return the kind that fits the scores of value, residual, mean, step and drift best."""
    value, residual, mean, step, drift = scores
    beyond = max(residual, value)
    if in_a_row >= SURE_SHIFT:  # whatever noise there is, it is at another level
        return Kind.LEVEL_SHIFT
    if step >= 1.0 or step > max(beyond, mean, drift):
        return Kind.NOISE
    if in_a_row >= settings.shift_readings:
        return Kind.LEVEL_SHIFT
    if mean >= 1.0:
        return Kind.DRIFT if creeping >= CREEPS else Kind.LEVEL_SHIFT
    if beyond >= 1.0 or beyond >= max(mean, drift):
        return Kind.SPIKE
    return Kind.DRIFT if drift > mean else Kind.LEVEL_SHIFT


def go_on(state: State, scores: Scores, settings: DetectSettings, *, up: bool) -> tuple[Kind, float]:
    """Open or prolong the incident with an alarm, at the upper end or not; return its kind and score."""
    run = state[RUN] + 1.0
    at = state[AT]
    if run == 1.0:
        state[INCIDENT_AT] = at
        state[INCIDENT_TOP] = state[IN_A_ROW] = 0.0
        if state[TOTAL] - state[CREEP_AT] > settings.quiet_readings:
            state[CREEP] = 0.0
    state[RUN] = run
    state[QUIET] = 0.0
    beyond = scores[0] >= 1.0 or scores[1] >= 1.0
    side = 1.0 if up else -1.0
    in_a_row = max(0.0, side * state[IN_A_ROW]) + 1.0 if beyond else 0.0  # beyond the same end
    state[IN_A_ROW] = side * in_a_row
    top = max(scores)
    state[INCIDENT_TOP] = max(top, state[INCIDENT_TOP])
    kind = name(scores, in_a_row, state[CREEP], settings)
    if kind is not Kind.SPIKE and (scores[0] or scores[1]):
        top = SUSTAINED_BONUS * state[INCIDENT_TOP]
    lasted = abs(at - state[INCIDENT_AT]) >= settings.adopt_s and run >= settings.adopt_readings
    if lasted or run >= MAX_RUN:
        ranges.adopt(state)
        state[RUN] = 0.0
    return kind, top


def calm_down(state: State, shares: tuple[float, ...], slack: float, settings: DetectSettings) -> None:
    """Count a calm reading during an incident; enough of them end it, and the ranges learn of it."""
    state[QUIET] += 1.0
    if abs(state[IN_A_ROW]) < SURE_SHIFT:  # a pump that rests is at its new level again when it runs
        state[IN_A_ROW] = 0.0
    if state[QUIET] >= settings.quiet_readings:
        ranges.learn(state, shares, slack, brief=state[RUN] < settings.shift_readings)
        state[RUN] = 0.0
