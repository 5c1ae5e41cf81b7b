"""Days of ordinary devices, decoded and judged: the right findings, no other."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from agent.domain.records import Status, Window
from simulator.events import Message
from tests.benchmarks.inprocess import LocalAgent
from tests.pipeline import field_streams as streams
from tests.pipeline.field_streams import DAY_S, FREEZER, HOUR_S, ROOM, START

MINUTES = 60.0


class Life:
    """An agent that lived through a stream, with the windows that it sealed."""

    def __init__(self, source: Mapping[str, Any], messages: Iterable[Message], *, until: float) -> None:
        self.windows = list[Window]()
        self.agent = LocalAgent(sources=[source], on_window=self.windows.append)
        self.agent.hear(messages)
        self.agent.pass_time(until)

    @property
    def found(self) -> list[tuple[str, str]]:
        """Device and first kind of each finding that was opened."""
        return [(one.device, one.kind) for one in self.agent.openings]

    def metrics(self, device: str) -> dict[str, int]:
        """Return how many readings each metric of a device had."""
        return {view.metric: view.n for view in self.agent.detector.views(device)}


def test_a_freezer_in_a_list_is_found_within_minutes() -> None:
    """It warms by 0.4 K from one message to the next; the room in the same list is quiet."""
    thaw, until = START + 4 * DAY_S, START + 4 * DAY_S + 6 * HOUR_S
    life = Life(streams.GATEWAY, streams.freezer_thaws(thaw=thaw, until=until), until=until)
    both = {"temperature": 4 * 720 + 180}
    assert (life.metrics(ROOM), life.metrics(FREEZER), life.metrics("g1")) == (both, both, {})
    assert {device for device, _ in life.found} == {FREEZER}
    assert thaw < life.agent.openings[0].reported <= thaw + 10 * MINUTES


def test_readings_in_another_unit_are_converted() -> None:
    """Two days in degF after four in degC: no finding, one series, and no number of degF is called degC."""
    change, until = START + 4 * DAY_S, START + 6 * DAY_S
    life = Life(streams.ROOMS, streams.unit_changes(change=change, until=until), until=until)
    assert life.found == []
    (view,) = life.agent.detector.views("turned")
    assert (view.metric, view.unit, view.n) == ("value", "\N{DEGREE SIGN}C", 6 * 720)
    assert max(view.recent) < 25.0
    assert view.said is not None
    assert (view.said[0] > 60.0, view.said[1]) == (True, "\N{DEGREE SIGN}F")
    assert not list(life.agent.detector.unit_changes)
    candidates = [one for window in life.windows for one in window.candidates]
    assert {one.unit for one in candidates} == {"\N{DEGREE SIGN}C"}
    assert all(15.0 < one.value < 25.0 for one in candidates)


def test_a_box_whose_humidity_is_nan_is_watched_on() -> None:
    """A day of ``nan`` is found within hours, the device is not silent; 20 K more are found in minutes."""
    broken, hot, until = START + 3 * DAY_S, START + 4 * DAY_S, START + 4 * DAY_S + 2 * HOUR_S
    life = Life(streams.ROOMS, streams.humidity_breaks(broken=broken, hot=hot, until=until), until=until)
    whole = 4 * 1440 + 120
    assert life.metrics("box") == {"battery": whole, "temperature": whole, "humidity": 3 * 1440}
    assert not life.agent.detector.silent("box")
    assert life.agent.detector.unreadable() == []
    (opening,) = life.agent.openings
    assert broken < opening.reported <= broken + 3 * HOUR_S
    assert life.agent.why[0][1].local.summary.startswith("No value of humidity for 2.0 h, while other values")
    warm = next(one for one in life.windows if one.sealed > hot and one.local.status is Status.ANOMALY)
    assert warm.sealed <= hot + 5 * MINUTES
    assert "temperature" in warm.local.summary


@pytest.mark.parametrize("value", ["85.0", "-127", "nan", "unavailable"])
def test_a_sensor_that_sends_an_error_for_hours_is_found_once(value: str) -> None:
    """After an hour, in words that fit; the finding clears with the values."""
    broken = START + 3 * DAY_S + 10 * HOUR_S
    repaired, until = broken + 6 * HOUR_S, broken + 9 * HOUR_S
    messages = streams.sensor_breaks(broken=broken, repaired=repaired, until=until, value=value)
    life = Life(streams.HALL, messages, until=until)
    assert life.found == [("probe", "silence")]
    assert abs(life.agent.openings[0].reported - (broken + HOUR_S)) <= 5 * MINUTES
    assert life.agent.why[0][1].local.summary.startswith("It sends, but no value for 60 min")
    assert not life.agent.detector.unreadable()


def test_a_clock_that_starts_in_1970_makes_no_window_there() -> None:
    """The readings count at their receipt, so that the silence is found in minutes, once."""
    death = START + 4 * DAY_S + 12 * HOUR_S
    life = Life(streams.ROOMS, streams.reboots_in_1970(death=death), until=death + 36 * HOUR_S)
    assert life.metrics("reset") == {"temperature": int((death - START) / 60)}
    assert min(window.start for window in life.windows) == START
    assert max(window.end - window.start for window in life.windows) < 10 * MINUTES
    assert life.found == [("reset", "silence")]
    assert life.agent.openings[0].reported <= death + 10 * MINUTES


def test_text_with_decimal_commas_and_common_words_is_read() -> None:
    """Both devices of the site have readings."""
    until = START + DAY_S
    life = Life(streams.HALL, streams.text_only(until=until, words=("open", "closed")), until=until)
    assert life.metrics("k") == {"temperature": 1440}
    (temperature,), (door,) = map(life.agent.detector.views, ("k", "door"))
    assert (temperature.median or 0.0) > 18.0
    assert set(door.recent) == {0.0, 1.0}
