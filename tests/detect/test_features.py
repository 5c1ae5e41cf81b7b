"""Each feature's rule and the record test, alone, on a state made by hand."""

import pytest

from agent.detect import features, nature, records
from agent.detect.features import MEAN, NEAR, NOISE, RESIDUAL, SLOW, VALUE, ends
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ABOVE,
    AT,
    BEFORE,
    FALLS,
    FOLDS,
    INCIDENT_AT,
    KINDS,
    LINE,
    MATES,
    MOVES,
    PROFILED,
    RECORD,
    RUN,
    SEEN_AT,
    TOP,
    TOTAL,
    TRAIT,
    WARM,
    State,
    blank,
)

SETTINGS = DetectSettings()
DAY_S = 86_400.0


def known(days: float = 10.0) -> State:
    """A series that has moved once a minute, with all its ranges from -4 to 4 but the value's: 16 to 24."""
    state = blank()
    state[TOTAL] = state[MOVES] = state[FALLS] = days * 1440.0
    state[AT], state[FOLDS], state[PROFILED] = days * DAY_S, days * 24.0, 1.0
    state[WARM], state[KINDS], state[ABOVE] = 1.0, 3.0, 0.5
    for feature in range(len(features.TABLE)):
        low, high = ends(feature)
        state[low], state[high] = (16.0, 24.0) if feature == VALUE else (-2.0, 2.0)
    features.draw(state, SETTINGS)
    return state


@pytest.mark.parametrize(
    ("feature", "share"),
    [
        (VALUE, SETTINGS.spike_share),
        (RESIDUAL, SETTINGS.residual_share),
        (MEAN, SETTINGS.mean_share),
        (NOISE, SETTINGS.noise_share),
        (SLOW, SETTINGS.drift_share),
    ],
)
def test_line_is_a_share_of_the_range_and_nearer_with_time(feature: int, share: float) -> None:
    """It is never closer than the share, and comes closer to it the more was seen."""
    low, high = ends(feature)
    young, old = known(5.0), known(300.0)
    width = young[high] - young[low]
    assert young[LINE + feature] > old[LINE + feature] >= share * width
    assert old[LINE + feature] < 1.2 * share * width + 0.2


def test_lines_of_many_series_are_twice_as_far_in_the_first_week() -> None:
    """A weekly event is news in the first one; a series that is alone keeps its line."""
    for mates, times in ((4.0, SETTINGS.crowd_week), (1.0, 1.0)):
        lines = []
        for days in (6.99, 7.01):
            state = known(days)
            state[MATES] = mates
            features.draw(state, SETTINGS)
            lines.append(state[LINE + VALUE])
        assert lines[0] / lines[1] == pytest.approx(times, rel=0.02)


def test_lines_of_a_stock_are_farther_for_good() -> None:
    """A refill may be larger than all before."""
    state = known(100.0)
    plain = state[LINE + VALUE]
    state[TRAIT] = features.STOCK
    features.draw(state, SETTINGS)
    assert state[LINE + VALUE] == pytest.approx(SETTINGS.stock * plain)


def test_line_is_some_usual_records_away() -> None:
    """A heavy tail sets large records, and its line is farther."""
    state = known()
    state[RECORD + VALUE] = 3.0
    features.draw(state, SETTINGS)
    assert state[LINE + VALUE] == pytest.approx(3.0 * SETTINGS.records)


def test_near_record_retires_when_the_hours_are_known() -> None:
    """It is judged in the first days alone."""
    assert known(2.0)[LINE + NEAR] < float("inf")
    assert known(5.0)[LINE + NEAR] == float("inf")


@pytest.mark.parametrize("place", [WARM, KINDS, FALLS])
def test_nothing_is_judged_without_something_to_compare_with(place: int) -> None:
    """Not while it warms up, nor with one or two values, nor what only rose so far."""
    state = known()
    state[place] = 0.0
    features.draw(state, SETTINGS)
    assert {state[LINE + feature] for feature in range(len(features.TABLE))} == {float("inf")}


def test_direction_is_not_judged() -> None:
    """North is as near to 359 as to 1."""
    state = known()
    state[TRAIT] = nature.trait_of("wind_dir")
    features.draw(state, SETTINGS)
    assert state[LINE + VALUE] == float("inf")


def test_small_record_widens_and_a_large_one_waits() -> None:
    """A record below the line is learnt at once; one beyond is kept until the incident is over."""
    state = known()
    line = state[LINE + VALUE]
    assert 0.0 < records.test(state, VALUE, 24.0 + line / 2.0, SETTINGS) < 1.0
    assert state[ends(VALUE)[1]] == 24.0 + line / 2.0
    assert records.test(state, VALUE, 60.0, SETTINGS) > 1.0
    assert state[ends(VALUE)[1]] == 24.0 + line / 2.0
    assert state[TOP + VALUE] > 30.0


@pytest.mark.parametrize("alarms", [1.0, 500.0])
def test_incident_teaches_one_line(alarms: float) -> None:
    """However long it was; another one half a day later makes its extent usual."""
    state = known()
    for day, edge in ((6.0, None), (8.0, 40.0)):
        before, line = state[ends(VALUE)[1]], state[LINE + VALUE]
        records.test(state, VALUE, 40.0, SETTINGS)
        state[RUN], state[INCIDENT_AT] = alarms, day * DAY_S
        records.learn(state, SETTINGS)
        assert state[ends(VALUE)[1]] == pytest.approx(before + line if edge is None else edge)
        assert state[SEEN_AT] == day * DAY_S


def test_first_readings_are_outvoted_by_the_others() -> None:
    """One bogus reading of many is left out; two levels are both kept."""
    assert records.outvote([85.0, *(20.0 + place / 10.0 for place in range(29))]) == (20.0, 22.8)
    assert records.outvote([1.0] * 15 + [100.0] * 15) == (1.0, 100.0)


def test_meter_that_reads_zero_and_returns_makes_no_step() -> None:
    """Its return counts by how far it is above its total before; a true reset is counted from zero."""
    state = blank()
    assert nature.step_of(state, 1348.0, 0.0, 120.0) is None
    assert nature.step_of(state, 0.0, 1348.5, 120.0) == pytest.approx(0.5)
    assert nature.step_of(state, 1348.5, 0.0, 120.0) is None
    assert nature.step_of(state, 0.0, 3.0, 120.0) == pytest.approx(3.0)
    assert state[BEFORE] == 0.0
