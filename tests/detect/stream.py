"""Feeds values to a detector, one reading per step."""

from collections.abc import Iterable, Sequence

from agent.detect import Detector, DetectSettings, Limit
from agent.domain.records import Kind, Reading, Score, SeriesView
from tests.detect.signals import START

DEVICE, METRIC = "kitchen/th1", "temperature"


class Stream:
    """One series of one detector; ``at`` is the time of the next reading."""

    def __init__(
        self, *, step_s: float = 60.0, limits: Sequence[Limit] = (), settings: DetectSettings | None = None
    ) -> None:
        self.detector = Detector(settings, limits)
        self.detector.connected(START)
        self.step_s = step_s
        self.at = START

    def feed(self, values: Iterable[float], unit: str | None = None) -> list[Score]:
        """Return the scores of ``values``."""
        scores = []
        for value in values:
            scores.append(self.detector.update(Reading(DEVICE, METRIC, self.at, value, unit), self.at))
            self.at += self.step_s
        return scores

    def view(self) -> SeriesView:
        """Return what is known of the series."""
        view = self.detector.view(DEVICE, METRIC)
        assert view is not None
        return view

    def usual(self) -> tuple[float, float]:
        """Return the usual range now."""
        usual = self.view().usual
        assert usual is not None
        return usual


def alarms(scores: Iterable[Score]) -> int:
    """Count the readings at or above the alarm line."""
    return sum(score.alarm for score in scores)


def incidents(scores: Sequence[Score], *, line: float = 1.0, apart: int = 50) -> int:
    """Count the alarms that had none in the readings before."""
    count, last = 0, -apart - 1
    for place, score in enumerate(scores):
        if score.value >= line:
            count += place - last > apart
            last = place
    return count


def lead(scores: Iterable[Score]) -> Kind:
    """Return the kind of the highest score, as a window is named for it."""
    return max(scores, key=lambda score: score.value).kind
