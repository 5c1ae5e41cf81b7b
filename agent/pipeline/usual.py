"""Usual ranges for charts: those of a device with its first window of an hour."""

from agent.detect import Detector
from agent.domain.records import Window
from agent.journal.samples import USUAL_S, Usual

MAX_SERIES = 32  # of a device
MAX_DEVICES = 20_000


class UsualRanges:
    """Decides when the usual ranges of a device are journaled; for people alone, nothing depends on them."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._hours: dict[str, int] = {}  # of the last ones

    def take(self, window: Window) -> list[Usual]:
        """Return the usual ranges to journal with a window, none if its device has some of this hour."""
        hour = int(window.end / USUAL_S)
        if not window.count or hour <= self._hours.get(window.device, -1):
            return []
        if len(self._hours) >= MAX_DEVICES:
            self._hours.clear()
        self._hours[window.device] = hour
        views = self._detector.newest_views(window.device, MAX_SERIES)
        # A series that is converted is journaled in the unit that was sent.
        return [(one.metric, *one.usual) for one in views if one.usual is not None and one.said is None]
