"""Two series of a device that go together, and part within their ranges."""

import math
import random
from collections.abc import Callable

import pytest

from agent.detect import Detector, Tuning
from agent.domain.records import Kind, Reading, Score, Seen
from agent.verdict.local_opinion import opine

START, HOUR = 1_700_000_000.0 // 86_400.0 * 86_400.0, 3600.0
DEVICE, DAY = "boiler/loop", 24 * HOUR
STEP_S = 300.0
Scored = list[tuple[Reading, Score]]


class Loop:
    """A heating loop: the return follows the flow, less the heat that the building takes."""

    def __init__(self, *tuning: Tuning, mates: int = 0) -> None:
        self.tuning = tuning
        self.detector = Detector(tuning=tuning)
        self.detector.connected(START)
        self.at = START
        self.dice = random.Random(4)
        self.mates = mates
        self.flow = 0.0
        self.cold = 0.0

    def values(self, taken: float) -> dict[str, float]:
        """Return flow and return; ``taken`` is the part of the flow's heat that stays in the building."""
        self.cold += -self.cold / 60.0 + self.dice.gauss(0.0, 0.9)  # a weather of some hours
        day = math.sin(2 * math.pi * (self.at - START) / DAY)
        self.flow = min(60.0, max(20.0, 40.0 + 4.0 * day + self.cold))
        back = 20.0 + (self.flow - 20.0) * (1.0 - taken) + self.dice.gauss(0.0, 0.1)
        values = {"flow_temperature": round(self.flow, 1), "return_temperature": round(back, 1)}
        more = {f"probe{place}_temperature": self.dice.gauss(20.0, 1.0) for place in range(self.mates)}
        return values | more

    def send(
        self, hours: float, taken: float = 0.4, values: Callable[[], dict[str, float]] | None = None
    ) -> Scored:
        """Send a message each five minutes, as the pipeline takes it; return what was scored."""
        scored: Scored = []
        until = self.at + hours * HOUR
        while self.at + STEP_S <= until:
            self.at += STEP_S
            for metric, value in (values() if values else self.values(taken)).items():
                scored.append(self.detector.judge(Reading(DEVICE, metric, self.at, value), self.at))
            self.detector.note_hour(DEVICE, self.at, self.at)
        return scored


def parted(scored: Scored, least: float = 1.0) -> Scored:
    """Return the readings of series that have parted from their partner."""
    return [one for one in scored if one[1].partner is not None and one[1].value >= least]


def alarms(scored: Scored) -> Scored:
    return [one for one in scored if one[1].alarm]


def known(*tuning: Tuning, days: float = 14.0) -> Loop:
    """Return a loop that is known, with no finding in the last days."""
    loop = Loop(*tuning)
    loop.send(days * 24 - 96)
    assert alarms(loop.send(96)) == []
    return loop


def test_a_parting_within_both_ranges_is_found_in_hours() -> None:
    """It is a suspicion at first, once an hour, and a warning with its words after three hours."""
    loop = known()
    scored = loop.send(8, taken=0.25)
    assert [one for one in alarms(scored) if one[1].partner is None] == []  # each is within its range
    found = parted(scored)
    reading, score = found[0]
    assert 2 * HOUR <= reading.at - (loop.at - 8 * HOUR) <= 5 * HOUR
    assert (score.kind, reading.metric) == (Kind.OTHER, "return_temperature")
    assert 1.0 <= score.value < 3.0  # never critical
    suspicions = [one for one in parted(scored, 0.25) if not one[1].alarm]
    assert 1 <= len(suspicions) <= 2
    assert suspicions[0][0].at < reading.at
    assert score.partner is not None
    assert score.expected is not None
    low, high = score.expected
    assert low < high < score.partner.mean
    opinion = opine(found[:1])
    assert opinion.summary.startswith("return_temperature has not gone with flow_temperature since ")
    assert " UTC: it was " in opinion.summary


def test_a_wall_clock_that_was_ahead_for_a_while_hides_nothing() -> None:
    """One look at a time of the next year, as before a time server is reached."""
    loop = known()
    ahead = loop.at + 365 * DAY
    loop.detector.note_hour(DEVICE, ahead, ahead)
    assert parted(loop.send(24, taken=0.25))


def test_without_a_parting_nothing_is_said() -> None:
    """The same readings, but that the two stay together."""
    loop = known()
    assert parted(loop.send(5 * 24), 0.25) == []


def test_what_goes_on_being_parted_is_reported_at_each_reading() -> None:
    """So its finding does not clear; two that are together again have none."""
    loop = known()
    loop.send(8, taken=0.25)
    scored = [one for one in loop.send(3, taken=0.25) if one[0].metric == "return_temperature"]
    assert len(parted(scored)) == len(scored)
    loop.send(4)
    assert parted(loop.send(24)) == []


def test_a_second_parting_is_found_too() -> None:
    """One teaches a line at most."""
    loop = known()
    loop.send(8, taken=0.25)
    loop.send(24)
    assert parted(loop.send(8, taken=0.2)) != []


def test_a_lasting_change_is_usual_after_days() -> None:
    """And the change back, which comes much later, is a parting again."""
    loop = known()
    assert parted(loop.send(24, taken=0.25)) != []
    loop.send(3 * 24, taken=0.25)
    assert parted(loop.send(12 * 24, taken=0.25)) == []


def test_a_change_that_is_left_again_lapses() -> None:
    """Within three days: what was adopted is not usual then."""
    loop = known()
    loop.send(3.5 * 24, taken=0.25)
    assert parted(loop.send(2.5 * 24)) == []
    loop.send(24)
    assert parted(loop.send(12, taken=0.2)) != []


def test_what_the_partner_never_showed_is_not_compared() -> None:
    """No regression is followed beyond its data: the series itself may be judged there."""
    loop = known()

    def hot() -> dict[str, float]:
        return {"flow_temperature": round(75.0 + loop.dice.gauss(0, 0.1), 1), "return_temperature": 44.0}

    assert parted(loop.send(8, values=hot), 0.25) == []


def test_a_parting_ends_though_the_partner_stays_where_it_never_was() -> None:
    """It is not judged there. After three days what was learnt gives way, and the two are compared again."""
    loop = known()
    assert parted(loop.send(8, taken=0.25))
    warmer = 0.0

    def hotter(taken: float, by: float = 0.0) -> Callable[[], dict[str, float]]:
        def values() -> dict[str, float]:
            nonlocal warmer
            warmer += by
            flow = round(loop.values(taken)["flow_temperature"] + warmer, 1)
            back = 20.0 + (flow - 20.0) * (1.0 - taken) + loop.dice.gauss(0.0, 0.1)
            return {"flow_temperature": flow, "return_temperature": round(back, 1)}

        return values

    loop.send(24, values=hotter(0.25, by=25.0 * STEP_S / DAY))
    assert parted(loop.send(24, values=hotter(0.25)), 0.25) == []
    loop.send(10 * 24, values=hotter(0.25))
    assert parted(loop.send(24, values=hotter(0.4)))


def test_series_of_their_own_are_no_pair() -> None:
    loop = Loop(mates=2)
    loop.send(8 * 24)
    views = {view.metric: view.goes_with for view in loop.detector.views(DEVICE)}
    assert views["return_temperature"] == ("flow_temperature",)
    assert views["flow_temperature"] == ("return_temperature",)
    assert views["probe0_temperature"] == views["probe1_temperature"] == ()


@pytest.mark.parametrize(("mates", "pair"), [(10, True), (11, False)])
def test_a_device_with_many_series_is_left_out(mates: int, *, pair: bool) -> None:
    """The work grows with the square of their number."""
    loop = Loop(mates=mates)
    loop.send(4 * 24)
    view = loop.detector.view(DEVICE, "return_temperature")
    assert view is not None
    assert bool(view.goes_with) is pair


def test_a_series_that_begins_again_is_compared_anew() -> None:
    """As after a change of its unit."""
    loop = known()
    for metric, at in (("return_temperature", loop.at + 1), ("return_temperature", loop.at + 2)):
        loop.detector.judge(Reading(DEVICE, metric, at, 40.0, "degC"), at)
        loop.detector.judge(Reading(DEVICE, metric, at, 40.0, "bar"), at)
        loop.detector.judge(Reading(DEVICE, metric, at, 40.0, "bar"), at)
    loop.send(1)
    view = loop.detector.view(DEVICE, "return_temperature")
    assert view is not None
    assert view.goes_with == ()


@pytest.mark.parametrize(("word", "taken", "found"), [("eager", 0.375, True), ("calm", 0.375, False)])
def test_sensitivity_moves_the_line(word: str, taken: float, *, found: bool) -> None:
    loop = Loop(Tuning("*", sensitivity=word))
    loop.send(14 * 24)
    assert bool(parted(loop.send(24, taken=taken))) is found


def test_ignored_series_have_no_partner() -> None:
    loop = Loop(Tuning("*/flow_temperature", ignore=True))
    loop.send(14 * 24)
    assert parted(loop.send(8, taken=0.25), 0.25) == []


def test_a_series_that_is_ignored_from_now_on_has_parted_from_none() -> None:
    """Also in the hour after the reload."""
    loop = known()
    loop.send(8, taken=0.25)
    loop.detector.reconfigure((), (Tuning("*/return_temperature", ignore=True),))
    assert alarms(loop.send(1, taken=0.25)) == []


@pytest.mark.parametrize(("hours", "first"), [(1, 0), (2, 1), (3, 1), (6, 1), (12, 7)])
def test_at_whatever_hours_a_device_sends_its_pairs_are_found(hours: int, first: int) -> None:
    assert together(hours, first, 1.0)


@pytest.mark.parametrize("scale", [1e-150, 1e-90, 1.0, 1e60])
def test_tiny_and_huge_values_are_compared(scale: float) -> None:
    """The product of the variances of two tiny ones is 0."""
    assert together(1, 0, scale)


def together(hours: int, first: int, scale: float) -> bool:
    """Return whether two series that go together are a pair after 200 messages."""
    loop = Loop()
    loop.at += first * HOUR
    for _ in range(200):
        loop.at += hours * HOUR
        for metric, value in loop.values(0.4).items():
            loop.detector.judge(Reading(DEVICE, metric, loop.at, value * scale), loop.at)
        loop.detector.note_hour(DEVICE, loop.at, loop.at)
    view = loop.detector.view(DEVICE, "return_temperature")
    assert view is not None
    return view.goes_with == ("flow_temperature",)


def test_a_person_may_call_it_usual() -> None:
    """Only so far: a wider parting is found."""
    loop = known()
    reading, _ = parted(loop.send(8, taken=0.25))[-1]
    seen = Seen("return_temperature", Kind.OTHER, reading.value, reading.value)
    loop.detector.allow(DEVICE, seen)
    assert parted(loop.send(24, taken=0.25)) == []
    assert parted(loop.send(12, taken=0.05)) != []


def test_a_forgotten_device_has_no_pairs() -> None:
    loop = known()
    loop.detector.forget(DEVICE)
    assert parted(loop.send(48, taken=0.25), 0.25) == []


def test_a_saved_state_changes_no_score() -> None:
    """Saved and loaded at any hour, while a pair is learnt, suspected, reported, adopted and lapses."""
    whole, halves = Loop(), Loop()
    cut = random.Random(2)
    for hours, taken in ((80, 0.4), (200, 0.4), (20, 0.25), (70, 0.25), (60, 0.4)):
        one = whole.send(hours, taken=taken)
        two: Scored = []
        left = float(hours)
        while left > 0.0:
            part = min(left, cut.choice((1, 5, 13, 40)) * STEP_S / HOUR)
            left -= part
            two += halves.send(part, taken=taken)
            blob = halves.detector.dump()
            halves.detector = Detector()
            halves.detector.load(blob)
            assert halves.detector.dump() == blob
        assert one == two
    assert parted(one) == []


def test_a_state_of_before_has_no_pairs() -> None:
    """It is taken as it was, and its pairs are learnt."""
    loop = known()
    blob = loop.detector.dump()
    begin, end = blob.index(b'"pairs":['), blob.rindex(b'"series":[')
    head = int.from_bytes(blob[4:8], "little")
    old = blob[:4] + (head - (end - begin)).to_bytes(4, "little") + blob[8:begin] + blob[end:]
    loop.detector = Detector()
    loop.detector.load(old)
    loop.send(4 * 24)
    view = loop.detector.view(DEVICE, "return_temperature")
    assert view is not None
    assert view.goes_with == ("flow_temperature",)
