"""An anomaly that comes back was not over: one event is one finding."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from random import Random

import pytest

from agent.detect.limits import Bounds
from agent.domain.records import CALM, Finding, FindingEvent, FindingState, Kind, Score, Trigger
from agent.pipeline.window import identify
from agent.verdict.finding import BACK_S, Findings
from agent.verdict.local_opinion import opine, pick_candidates
from agent.verdict.notice import news
from agent.verdict.verdict import conclude
from tests.support.make import T0, answered, reading, window

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LIMIT = Bounds(2.6, None)
Values = dict[str, tuple[float, Score]]


class Device:
    """Windows of one device, each a moment with a value for some metrics, and its findings."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.opened: list[float] = []
        self.updates: list[float] = []
        self._rows = count(1)

    def send(self, at: float, values: Values) -> Finding | None:
        row = next(self._rows)
        readings = [(reading(v, T0 + at, metric=m), s) for m, (v, s) in values.items()]
        sealed = replace(
            window(),
            id=identify(
                journal="j",
                agent="gw",
                device="d1",
                trigger=Trigger.AGE,
                lo=row,
                hi=row,
                last_seq=row,
                count=1,
            ),
            lo=row,
            hi=row,
            count=len(readings),
            sealed=T0 + at,
            local=opine(readings),
            candidates=pick_candidates(readings),
        )
        outcome = answered(sealed, sealed.local.status, kind=sealed.local.kind)
        verdict = conclude(sealed, outcome, agent="gw", created=T0 + at)
        before = self.findings.get("d1")
        finding, event = self.findings.move(verdict, sealed, reviewed=False)
        if event is FindingEvent.OPENED:
            self.opened.append(at)
        elif finding is not None and news(event, finding, before) is FindingEvent.UPDATED:
            self.updates.append(at)
        return finding


def held(value: float) -> tuple[float, Score]:
    return value, LIMIT.judge(value) or CALM


def alarm(kind: Kind = Kind.SPIKE) -> tuple[float, Score]:
    return 30.0, Score(1.5, kind)


CALM_VALUE = (20.0, CALM)


def hovering(seed: int) -> Iterator[float]:
    """Yield the voltage at each hour: noise about the limit that sinks slowly and follows the night."""
    rng = Random(seed)
    for hour in range(240):
        night = 0.01 if hour % 24 < 12 else -0.01
        yield round(2.62 - hour / 240 * 0.04 + night + rng.gauss(0.0, 0.01), 2)


@pytest.mark.parametrize("seed", range(5))
def test_a_value_that_hovers_at_its_limit_is_one_or_two_findings(seed: int) -> None:
    """Each breach was a finding, though other metrics are sent six times as often."""
    device = Device()
    breaches, was = 0, False
    for hour, volt in enumerate(hovering(seed)):
        breaches += held(volt)[1].limit and not was
        was = held(volt)[1].limit
        device.send(hour * HOUR, {"battery_voltage": held(volt), "temperature": CALM_VALUE})
        for minute in range(10, 60, 10):
            device.send(hour * HOUR + minute * MINUTE, {"temperature": CALM_VALUE})
    assert breaches > 20
    assert 1 <= len(device.opened) <= 3
    assert len(device.opened) + len(device.updates) <= 6


def test_a_rare_metric_stays_a_finding_until_it_is_usual_again() -> None:
    """Calm windows of other metrics do not clear it, and after its first usual value they do."""
    device = Device()
    device.send(0.0, {"humidity": alarm()})
    for minute in range(1, 50):
        finding = device.send(minute * MINUTE, {"temperature": CALM_VALUE})
        assert finding is not None
        assert finding.state is FindingState.OPEN
    states = []
    for minute in range(50, 53):
        metric = "humidity" if minute == 50 else "temperature"
        finding = device.send(minute * MINUTE, {metric: CALM_VALUE})
        assert finding is not None
        states.append(finding.state)
    assert states == [FindingState.OPEN, FindingState.OPEN, FindingState.CLEARED]


@pytest.mark.parametrize(
    ("value", "least_s"), [(alarm, 2 * HOUR), (lambda: held(2.5), BACK_S)], ids=["learnt", "limit"]
)
def test_the_calm_that_clears_grows_with_a_return(
    value: Callable[[], tuple[float, Score]], least_s: float
) -> None:
    """Twice the pause after which it came back; a day for a limit."""
    device = Device()
    device.send(0.0, {"x": value()})
    for minute in (1, 2, 3):
        device.send(minute * MINUTE, {"x": (2.7, CALM)})
    back = HOUR + 3 * MINUTE
    device.send(back, {"x": value()})
    assert len(device.opened) == 2
    at, cleared = back, None
    while cleared is None:
        at += 5 * MINUTE
        finding = device.send(at, {"x": (2.7, CALM)})
        cleared = at if finding is not None and finding.state is FindingState.CLEARED else None
    assert cleared - (back + 5 * MINUTE) == pytest.approx(least_s)


def test_another_anomaly_in_the_long_calm_is_news() -> None:
    """So is a value that is twice as far beyond its limit as ever; the same once more is not."""
    device = Device()

    def calm(at: float) -> None:
        for minute in range(4):
            device.send(at + minute * MINUTE, {"volt": held(2.7), "x": CALM_VALUE})

    device.send(0.0, {"volt": held(2.5)})
    calm(5 * MINUTE)
    device.send(HOUR, {"volt": held(2.5)})
    calm(2 * HOUR)
    device.send(3 * HOUR, {"volt": held(2.45)})
    calm(4 * HOUR)
    device.send(5 * HOUR, {"volt": held(2.2)})
    calm(6 * HOUR)
    device.send(7 * HOUR, {"x": alarm()})
    assert device.opened == [0.0, HOUR]
    assert device.updates == [5 * HOUR, 7 * HOUR]


def test_what_comes_back_later_or_is_another_anomaly_clears_as_the_first() -> None:
    """A day after its end it is an event of its own, and so is one of another metric at any time."""
    device = Device()
    for at, metric in ((0.0, "x"), (DAY + HOUR, "x"), (DAY + 2 * HOUR, "y")):
        device.send(at, {metric: alarm()})
        for minute in (1, 2, 3):
            finding = device.send(at + minute * MINUTE, {metric: CALM_VALUE})
        assert finding is not None
        assert finding.state is FindingState.CLEARED
