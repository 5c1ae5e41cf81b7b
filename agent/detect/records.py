"""The record test, and what a range learns of incidents."""

from collections.abc import Iterable
from math import inf

from agent.detect.features import (
    MEAN,
    NEGLIGIBLE,
    NOISE,
    RESIDUAL,
    SLOW,
    TABLE,
    VALUE,
    WEEK_S,
    draw,
    ends,
    is_excused,
    line,
)
from agent.detect.profile import usual
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ADOPTED,
    ADOPTED_AT,
    AT,
    BACK_AT,
    BIG,
    BORN_AT,
    FEATURES,
    INCIDENT_AT,
    LINE,
    M_HI,
    M_LO,
    METER,
    PROFILED,
    RANGE,
    RECENT,
    RECENTS,
    RECORD,
    RETURNS,
    RUN,
    SEEN,
    SEEN_AT,
    TINY,
    TOP,
    V_HI,
    V_LO,
    M,
    S,
    State,
    V,
)

#: Before it is judged a range grows at most so many times its width at once.
MAX_WARM_GROWTH = 0.5
REMEMBERED = 3  # value, near record and residual: what they showed may return
#: The ranges that an adoption widens, and the places where that is noted.
LAPSING = ((VALUE, ADOPTED), (RESIDUAL, ADOPTED + 1), (NOISE, ADOPTED + 2))
OUTVOTED = 0.9  # part of the values that may outvote the others
ISOLATED = 2.0  # times the width of the others: so far away is an outlier
PACE = 0.3  # of the usual record, at each new one
MAX_SCORE = 1000.0


def test(state: State, feature: int, value: float, settings: DetectSettings) -> float:
    """Return how many alarm lines ``value`` is beyond a feature's range.

    A new record below the alarm line widens the range; one at or above it is kept for the end of the
    incident, when the range learns from it. One of a mean that only the first week excuses is kept for the
    end of that week.
    """
    low, high = ends(feature)
    lo, hi = state[low], state[high]
    over = value - hi if value > hi else value - lo
    size = abs(over)
    far = state[LINE + feature]
    if far == inf:
        most = MAX_WARM_GROWTH * (hi - lo)
        by = size if not most or size <= most else most
        widen(state, feature, by if over > 0 else -by)
        state[RECORD + feature] += (by - state[RECORD + feature]) * PACE
        return 0.0
    if size < far:
        follow = TABLE[feature].follow
        widen(state, feature, over * follow)
        if follow < 1.0 and size > abs(state[TOP + feature]) and is_excused(state, settings):
            state[TOP + feature] = over * (1.0 - follow)
        pace = PACE if follow == 1.0 else settings.mean_pace
        state[RECORD + feature] += (size - state[RECORD + feature]) * pace
        state[LINE + feature] = line(state, feature, settings)
        return size / far if follow == 1.0 or size > NEGLIGIBLE * far else 0.0
    if size > abs(state[TOP + feature]):
        state[TOP + feature] = over
    return min(size / far, MAX_SCORE)


def test_means(state: State, settings: DetectSettings) -> tuple[float, float]:
    """Return how many alarm lines short mean and mean step are beyond their ranges; learn a small step."""
    mean, step, shifted, noisy = state[M], state[V], 0.0, 0.0
    if not state[M_LO] <= mean <= state[M_HI]:
        shifted = test(state, MEAN, mean, settings)
    if step > state[V_HI]:
        noisy = test(state, NOISE, step, settings)
    elif step < state[V_LO]:
        state[V_LO] = step
    return shifted, noisy


def widen(state: State, feature: int, by: float) -> None:
    """Move the upper end of a feature's range up, or with a negative ``by`` the lower end down."""
    low, high = ends(feature)
    if by > 0:
        state[high] += by
    else:
        state[low] += by


def restart(state: State, feature: int, value: float) -> None:
    """Let a feature's range begin again at ``value``."""
    low, high = ends(feature)
    state[low] = state[high] = value
    state[RECORD + feature] = state[TOP + feature] = 0.0
    if feature < REMEMBERED:
        state[SEEN + feature] = 0.0


def retire(state: State, feature: int) -> None:
    """Let no value of a feature be beyond its range."""
    low, high = ends(feature)
    state[low], state[high] = -inf, inf


def learn(state: State, settings: DetectSettings) -> None:
    """Learn of an incident that is over: one alarm line at most.

    Its extent becomes usual when another one, half a day later or more, has it too: sooner in a young series,
    and where it comes for the third time.
    """
    at = state[INCIDENT_AT]
    again = _returns(state, at, settings) or (
        bool(state[SEEN_AT]) and state[RETURNS] + 1.0 >= settings.returns
    )
    back = again and any(state[TOP + one] and state[SEEN + one] for one in (VALUE, RESIDUAL))
    brief = state[RUN] < settings.shift_readings
    for feature in range(FEATURES):
        top, far = state[TOP + feature], state[LINE + feature]
        if abs(top) < far and TABLE[feature].follow < 1.0 and is_excused(state, settings):
            continue
        state[TOP + feature] = 0.0
        before = state[SEEN + feature] if feature < REMEMBERED else 0.0
        if not top:
            continue
        place = ends(feature)[1 if top > 0 else 0]
        now, by = state[place] + top, min(abs(top), far)
        edge = state[place] + (by if top > 0 else -by)
        if again and before:
            edge = max(edge, min(now, before)) if top > 0 else min(edge, max(now, before))
        if brief:  # a longer one is not of the tail
            state[RECORD + feature] += (by - state[RECORD + feature]) * PACE
        state[place] = edge
        if feature < REMEMBERED:
            state[SEEN + feature] = now or TINY  # 0 is none
    if back and state[RUN] >= settings.quiet_readings:  # values that stay take their means along
        _widen_means(state)
    first = again or not state[SEEN_AT]
    state[RETURNS] = 1.0 if first else state[RETURNS] + 1.0
    state[SEEN_AT] = at if first else state[SEEN_AT]
    draw(state, settings)


def _returns(state: State, at: float, settings: DetectSettings) -> bool:
    """Return whether an incident at ``at`` is so much later than the last that what both have is usual."""
    pause = min(settings.return_s, settings.return_share * abs(at - state[BORN_AT]))
    return bool(state[SEEN_AT]) and abs(at - state[SEEN_AT]) >= pause


def end_first_week(state: State, settings: DetectSettings) -> None:
    """Learn what the means did in the first week, one alarm line at most: the next weekend is like it."""
    if state[AT] - state[BORN_AT] < WEEK_S:
        return
    for feature, rule in enumerate(TABLE):
        top = state[TOP + feature]
        if top and rule.follow < 1.0:
            state[TOP + feature] = 0.0
            state[LINE + feature] = line(state, feature, settings)
            by = min(abs(top), state[LINE + feature])
            widen(state, feature, by if top > 0.0 else -by)


def adopt(state: State, settings: DetectSettings) -> None:
    """Take the level of an incident that lasts as usual, for the time being."""
    low, high = outvote(state[RECENT : RECENT + RECENTS])
    base = usual(state, state[AT]) if state[PROFILED] else 0.0
    levels = ((low, high), (low - base, high - base), (state[V], state[V]))
    for (feature, place), (lowest, highest) in zip(LAPSING, levels, strict=True):
        lo, hi = (state[end] for end in ends(feature))
        above, below = max(0.0, highest - hi), min(0.0, lowest - lo)
        by = above if above >= -below else below
        if state[METER]:
            by = state[TOP + VALUE] if feature == VALUE else 0.0
        if abs(by) < BIG:  # not of a retired one
            widen(state, feature, by)
            state[place] = state[place] + by if state[place] * by >= 0.0 else by
    for feature in range(FEATURES):
        state[TOP + feature] = 0.0
    if any(state[place] for _, place in LAPSING):
        state[ADOPTED_AT], state[BACK_AT] = state[AT], 0.0
    else:  # the values were usual, their means were not
        for feature, mean in ((MEAN, state[M]), (SLOW, state[S])):
            low, high = ends(feature)
            widen(state, feature, 2.0 * (max(0.0, mean - state[high]) or min(0.0, mean - state[low])))
    draw(state, settings)


def outvote(values: Iterable[float]) -> tuple[float, float]:
    """Return lowest and highest value without the few that are far from all others."""
    kept = sorted(values)
    fewest = max(2, int(OUTVOTED * len(kept)))
    while len(kept) > fewest:
        below, above = kept[1] - kept[0], kept[-1] - kept[-2]
        if below >= above and below > ISOLATED * (kept[-1] - kept[1]):
            kept.pop(0)
        elif above > ISOLATED * (kept[-2] - kept[0]):
            kept.pop()
        else:
            break
    return kept[0], kept[-1]


def settle(state: State, y: float, settings: DetectSettings) -> None:
    """Keep an adopted level that stays for days; let one lapse that is left again."""
    at, residual = state[AT], y - (usual(state, state[AT]) if state[PROFILED] else 0.0)
    values = (y, residual, state[V])
    back = all(_was_usual(state, *one, value) for one, value in zip(LAPSING, values, strict=True))
    if back and not state[BACK_AT]:
        state[BACK_AT] = at
    elif back and abs(at - state[BACK_AT]) >= settings.adopt_s:
        held, age = state[BACK_AT] - state[ADOPTED_AT], state[BACK_AT] - state[BORN_AT]
        if held >= settings.keep_share * age:
            _keep(state)
        else:
            _lapse(state, settings)
        _resume_means(state, residual)
    elif not back:
        state[BACK_AT] = 0.0
        if abs(at - state[ADOPTED_AT]) >= settings.keep_s:
            _keep(state)
            _resume_means(state, residual)


def _resume_means(state: State, residual: float) -> None:
    """Let the means go on from a residual, where they were usual."""
    for feature, place in ((MEAN, M), (SLOW, S)):
        low, high = ends(feature)
        state[place] = min(max(residual, state[low]), state[high])


def _was_usual(state: State, feature: int, place: int, value: float) -> bool:
    low, high = ends(feature)
    by = state[place]
    return state[low] - min(by, 0.0) <= value <= state[high] - max(by, 0.0)


def _lapse(state: State, settings: DetectSettings) -> None:
    """Take back what was adopted, and remember it in case it returns.

    One alarm line of it stays, and as much as an earlier incident had too.
    """
    again, known = _returns(state, state[ADOPTED_AT], settings), 0.0
    taken = []
    for feature, place in LAPSING:
        by, end = state[place], ends(feature)[1 if state[place] > 0 else 0]
        if by and feature < REMEMBERED:
            adopted, before = state[end], state[SEEN + feature]
            if again and before:
                back = max(0.0, adopted - before) if by > 0 else min(0.0, adopted - before)
                back = min(back, by) if by > 0 else max(back, by)
                known, by = max(known, abs(by - back)), back
            state[SEEN + feature] = adopted or TINY
        state[end] -= by
        taken.append((feature, by))
        state[place] = 0.0
    state[SEEN_AT], state[RETURNS] = state[ADOPTED_AT], 1.0
    state[ADOPTED_AT] = state[BACK_AT] = 0.0
    draw(state, settings)
    for feature, by in taken:
        most = min(abs(by), state[LINE + feature])
        widen(state, feature, most if by > 0 else -most)
    if known:
        _widen_means(state)


def _keep(state: State) -> None:
    """Take an adopted level for good."""
    _widen_means(state)
    for _, place in LAPSING:
        state[place] = 0.0
    state[ADOPTED_AT] = state[BACK_AT] = 0.0


def _widen_means(state: State) -> None:
    """Let the means go wherever the values went."""
    of_low, of_high = ends(RESIDUAL if state[PROFILED] else VALUE)
    for feature, rule in enumerate(TABLE):
        if rule.mean:
            low, high = ends(feature)
            state[low] = min(state[low], state[of_low])
            state[high] = max(state[high], state[of_high])


def shrink(state: State, towards: Iterable[float], rate: float) -> None:
    """Let each range forget: both ends move by ``rate`` of the way towards a value in it, nan for none."""
    place = RANGE
    for value in towards:
        low, high = state[place], state[place + 1]
        if -inf < low <= value <= high < inf:
            state[place] = low + (value - low) * rate
            state[place + 1] = high - (high - value) * rate
        place += 2
