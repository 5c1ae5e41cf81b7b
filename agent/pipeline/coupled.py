"""Coupled devices: those that people described together, side by side in a prompt."""

from collections.abc import Sequence
from fnmatch import filter as matching, fnmatchcase

from agent.detect import Detector
from agent.domain.records import SeriesView

MAX_OTHERS = 3  # devices next to the one of a window
MAX_COVERED = 12  # devices under one glob: one that covers more couples nothing
MAX_METRICS = 2


class Coupled:
    """Finds the devices under the same globs of the knowledge; without globs there are none."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._globs: tuple[str, ...] = ()
        self._covered: dict[str, list[str]] = {}
        self._devices = -1  # that were known when the globs were compared with all of them

    def reconfigure(self, globs: Sequence[str]) -> None:
        """Take the globs of the facts that may leave the site."""
        self._globs, self._devices = tuple(globs), -1

    def views(self, device: str, metrics: Sequence[str]) -> list[SeriesView]:
        """Return the series of these metrics of the devices coupled with ``device``, narrow globs first."""
        if not metrics or not self._globs:
            return []
        if self._devices != self._detector.device_count:
            names = sorted(self._detector.devices())
            every = {glob: matching(names, glob) for glob in self._globs}
            self._covered = {glob: found for glob, found in every.items() if len(found) <= MAX_COVERED}
            self._devices = self._detector.device_count
        groups = [found for glob, found in self._covered.items() if fnmatchcase(device, glob)]
        others = dict.fromkeys(one for found in sorted(groups, key=len) for one in found if one != device)
        views = [
            self._detector.view(other, metric)
            for other in list(others)[:MAX_OTHERS]
            for metric in metrics[:MAX_METRICS]
        ]
        return [view for view in views if view is not None]
