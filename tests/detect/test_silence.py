"""Silence by learnt interval."""

import random

import pytest

from agent.detect import Detector
from agent.domain.records import Reading, Silence

DEVICE = "hall/door"
DAY = 86_400.0


class Rig:
    """A device, its detector and their clocks."""

    def __init__(self) -> None:
        self.detector = Detector()
        self.clock = 1000.0
        self.at = 1.7e9
        self.detector.connected(self.clock)

    def speak(self, gap_s: float, times: int = 1, *, waited_s: float | None = None, metrics: int = 1) -> None:
        """Let readings come ``gap_s`` apart in event time, ``waited_s`` (by default as long) by the clock."""
        for _ in range(times):
            self.at += gap_s
            self.clock += gap_s if waited_s is None else waited_s
            for metric in range(metrics):
                self.detector.update(Reading(DEVICE, f"m{metric}", self.at, 1.0), self.clock)

    def wait(self, seconds: float) -> list[Silence]:
        """Let time pass, as the pipeline does: tick when something is due."""
        until = self.clock + seconds
        found = []
        while (due := self.detector.next_due()) is not None and due <= until:
            found += self.detector.tick(due)
        self.clock = until
        return found


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_silent_device_is_found_once(rig: Rig) -> None:
    """A device that sent each minute is silent after 5 minutes, reported once until it sends again."""
    rig.speak(60.0, 100)
    assert rig.wait(299.0) == []
    (silence,) = rig.wait(2.0)
    assert (silence.device, silence.expected_interval_s, silence.silent_s) == (DEVICE, 60.0, 300.0)
    assert (silence.last_metric, silence.last_value, silence.score) == ("m0", 1.0, 1.0)
    assert rig.detector.silent(DEVICE)
    assert rig.wait(1e6) == []
    rig.speak(60.0, 3)
    assert not rig.detector.silent(DEVICE)
    assert len(rig.wait(3600.0)) == 1


def test_a_device_of_two_rates_is_awaited_at_its_slow_one(rig: Rig) -> None:
    """A printer sends each 5 s while it prints, each minute at rest. Either way it is found dead."""
    for hours in (3, 6, 2):
        rig.speak(60.0, 300)
        rig.speak(5.0, hours * 720)
        assert rig.wait(55.0) == []
    assert len(rig.wait(245.0)) == 1
    rig.speak(60.0, 300)
    assert len(rig.wait(360.0)) == 1


def test_fast_device_has_ten_seconds(rig: Rig) -> None:
    """However fast a device speaks, 10 s of silence are allowed."""
    rig.speak(0.1, 500)
    assert rig.wait(9.9) == []
    assert len(rig.wait(0.2)) == 1


def test_unknown_interval_is_never_silent(rig: Rig) -> None:
    """A device with fewer than 20 gaps has no interval to miss."""
    rig.speak(60.0, 20)
    assert rig.detector.next_due() is None
    assert rig.wait(1e7) == []
    assert rig.detector.device_times() == {DEVICE: (2200.0, None)}


def test_backlog_teaches_the_interval(rig: Rig) -> None:
    """A backlog comes in a moment; its event times show how often the device sends."""
    rig.speak(60.0, 200, waited_s=0.001)
    assert rig.wait(280.0) == []
    assert len(rig.wait(40.0)) == 1


def test_batches_are_waited_for(rig: Rig) -> None:
    """A device that sends ten old readings every ten minutes is not silent in between."""
    for _ in range(50):
        rig.speak(60.0, 9, waited_s=0.0)
        assert rig.wait(600.0) == []
        rig.speak(60.0, 1, waited_s=0.0)


@pytest.mark.parametrize("every_s", [30.0, 600.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("inside_s", [1e-4, 0.02, 0.5])
def test_bursts_teach_no_interval(rig: Rig, every_s: float, inside_s: float) -> None:
    """Forty readings in a moment, from the first burst on: the pause after them is not a silence."""
    for _ in range(60):
        rig.speak(inside_s, 40)
        assert rig.wait(every_s) == []
    found = rig.wait(6 * every_s)
    assert len(found) == 1
    assert every_s / 1.5 < found[0].expected_interval_s < every_s * 1.5


def test_a_few_seconds_of_a_fast_device_are_not_known_yet(rig: Rig) -> None:
    """Half a minute of readings may be one burst, however many came, and gives no interval."""
    rig.speak(1e-4, 40)
    rig.speak(0.1, 280)
    assert rig.detector.next_due() is None
    rig.speak(0.1, 40)
    assert rig.detector.next_due() == rig.clock + 10.0


@pytest.mark.parametrize("interval_s", [0.1, 0.5])
def test_a_stall_in_the_first_seconds_of_a_fast_device_is_forgotten(rig: Rig, interval_s: float) -> None:
    """As when a gateway sets its clock soon after it has started: silence is judged some minutes later."""
    rig.speak(interval_s, 20)
    rig.speak(DAY, 1, waited_s=interval_s)
    rig.speak(interval_s, 2000)
    assert rig.wait(9.0) == []
    assert len(rig.wait(30.0)) == 1


def test_an_outage_late_in_life_is_not_taken_for_the_rhythm(rig: Rig) -> None:
    """After a day at one reading a minute an hour's outage leaves the next one as noticeable."""
    rig.speak(60.0, 1440)
    assert len(rig.wait(3600.0)) == 1
    rig.speak(60.0, 3)
    assert len(rig.wait(1000.0)) == 1


def test_irregular_device_is_given_time(rig: Rig) -> None:
    """Reports on change at random times are not a silence."""
    rng = random.Random(1)
    found = []
    for _ in range(3000):
        pause = rng.expovariate(1 / 600.0)
        found += rig.wait(pause)
        rig.speak(pause, waited_s=0.0)
    assert len(found) <= 2


def test_metrics_of_one_message_are_one_beat(rig: Rig) -> None:
    """Eight metrics in a message do not make a device eight times as fast."""
    rig.speak(60.0, 100, metrics=8)
    assert rig.wait(290.0) == []


def test_metrics_on_their_own_topics_are_one_beat(rig: Rig) -> None:
    """Metrics that come some milliseconds apart do not either."""
    for _ in range(100):
        rig.speak(0.005, 5)
        rig.speak(59.975)
    assert rig.wait(290.0) == []


@pytest.mark.parametrize("step_s", [-1e9, 1e9, -3600.0, 3600.0])
def test_clock_step_of_a_device_is_survived(rig: Rig, step_s: float) -> None:
    """A device whose clock is set keeps its interval, within a factor."""
    rig.speak(60.0, 100)
    rig.at += step_s
    rig.speak(60.0, 100)
    assert rig.wait(290.0) == []
    assert len(rig.wait(600.0)) == 1


def test_time_stands_still_while_disconnected(rig: Rig) -> None:
    """No silence is found while the link is down, and a full interval's grace is given after."""
    rig.speak(60.0, 100)
    rig.detector.disconnected(rig.clock)
    assert rig.wait(1e5) == []
    assert rig.detector.tick(rig.clock) == []
    rig.detector.connected(rig.clock)
    assert rig.wait(299.0) == []
    assert len(rig.wait(2.0)) == 1


def test_outage_does_not_stretch_the_interval(rig: Rig) -> None:
    """A wait while disconnected does not count as the device's own rhythm."""
    rig.speak(60.0, 100)
    rig.detector.disconnected(rig.clock)
    rig.wait(7200.0)
    rig.detector.connected(rig.clock)
    rig.speak(60.0, 120, waited_s=0.0)
    rig.speak(60.0, 5)
    assert rig.wait(290.0) == []
    assert len(rig.wait(20.0)) == 1


def test_offline_is_a_silence_at_once(rig: Rig) -> None:
    """A device that reports itself offline is silent at once, and only once."""
    rig.speak(60.0, 100)
    silence = rig.detector.device_state(DEVICE, False, rig.clock + 1.0)
    assert silence is not None
    assert silence.silent_s == 1.0
    assert rig.detector.device_state(DEVICE, False, rig.clock + 2.0) is None
    assert rig.wait(1e6) == []
    assert rig.detector.device_state(DEVICE, True, rig.clock) is None
    assert rig.detector.silent(DEVICE)
    rig.speak(60.0)
    assert not rig.detector.silent(DEVICE)


def test_online_gives_grace(rig: Rig) -> None:
    """A device that reports itself online has its full interval to send."""
    rig.speak(60.0, 100)
    rig.clock += 200.0
    rig.detector.device_state(DEVICE, True, rig.clock)
    assert rig.wait(299.0) == []
    assert len(rig.wait(2.0)) == 1


def test_a_device_that_is_heard_without_a_value_is_not_silent(rig: Rig) -> None:
    """Its silence is counted from its last message; what it lacks is named once it would have been silent."""
    rig.speak(60.0, 100)
    for _ in range(20):
        assert rig.wait(60.0) == []
        rig.detector.heard(DEVICE, rig.clock)
    assert rig.detector.unreadable() == [DEVICE]
    assert len(rig.wait(301.0)) == 1
    rig.detector.heard(DEVICE, rig.clock)
    assert not rig.detector.silent(DEVICE)
    assert len(rig.wait(301.0)) == 1
    rig.speak(1.0)
    assert rig.detector.unreadable() == []


def lacks(rig: Rig, seconds: float) -> list[float]:
    """Let the device send no value each minute; return after how long it is reported."""
    found = []
    for _ in range(round(seconds / 60.0)):
        assert rig.wait(60.0) == []
        rig.at += 60.0
        if lack := rig.detector.heard(DEVICE, rig.clock):
            assert lack.lacking
            found.append(lack.silent_s)
    return found


def test_a_device_that_sends_no_value_for_an_hour_is_reported_once(rig: Rig) -> None:
    """Its sensor is broken; again only after a value, and over a restart as well."""
    rig.speak(60.0, 100)
    assert lacks(rig, 3540.0) == []
    again = Detector()
    again.load(rig.detector.dump())
    rig.detector = again
    assert lacks(rig, 3 * 3600.0) == [3600.0]
    rig.speak(60.0)
    assert lacks(rig, 2 * 3600.0) == [3600.0]


def test_no_values_at_night_are_reported_as_its_silence_would_be(rig: Rig) -> None:
    """An inverter without sun: at first, and not once its nights are known; at noon it is."""
    found = []
    for _ in range(8):
        rig.speak(60.0, 14 * 60)
        found.append(lacks(rig, 10 * 3600.0))
    assert found == [[3600.0], *[[]] * 7]
    rig.speak(60.0, 7 * 60)
    assert lacks(rig, 2 * 3600.0) == [3600.0]


def test_a_text_between_two_readings_is_no_lack(rig: Rig) -> None:
    """A device may send its state more often than its values."""
    rig.speak(60.0, 100)
    for _ in range(4):
        rig.wait(60.0)
        rig.detector.heard(DEVICE, rig.clock)
    assert rig.detector.unreadable() == []
    assert len(rig.wait(301.0)) == 1


def test_a_heard_device_survives_a_restart(rig: Rig) -> None:
    """A saved state and the rows behind it lead to the same silences."""
    rig.speak(60.0, 100)
    rig.wait(200.0)
    rig.detector.heard(DEVICE, rig.clock)
    again = Detector()
    again.load(rig.detector.dump())
    assert again.next_due() == rig.detector.next_due() == rig.clock + 300.0


def test_an_unknown_device_that_is_heard_has_no_state(rig: Rig) -> None:
    """Silence is about devices that have sent a reading."""
    rig.detector.heard("other", rig.clock)
    assert rig.wait(1e6) == []
    assert rig.detector.unreadable() == []


def test_unknown_device_says_nothing(rig: Rig) -> None:
    """The state of a device that never sent a reading is not a silence."""
    assert rig.detector.device_state("nobody", False, 1.0) is None
    assert not rig.detector.silent("nobody")


def test_due_is_exact_for_many(rig: Rig) -> None:
    """The earliest due is that of the device that is due first, and ticks come in that order."""
    for gap_s in (7.0, 60.0, 30.0):
        for place in range(60):
            rig.detector.update(Reading(f"every {gap_s}", "m", 1e9 + place * gap_s, 1.0), 2000.0)
    assert rig.detector.next_due() == 2035.0
    assert [silence.device for silence in rig.detector.tick(2299.0)] == ["every 7.0", "every 30.0"]
    assert rig.detector.next_due() == 2300.0


def test_an_announced_interval_is_kept_over_a_restart(rig: Rig) -> None:
    """It belongs to the rhythm of a device that has sent a reading."""
    rig.speak(60.0, 10)
    rig.detector.expect_interval(DEVICE, 7200.0)
    rig.detector.expect_interval("other", 60.0)
    again = Detector()
    again.load(rig.detector.dump())
    for detector in (rig.detector, again):
        assert {name: one.announced_s for name, one in detector._watch.rhythms.items()} == {DEVICE: 7200.0}
