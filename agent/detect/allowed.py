"""Values and silences that people called usual, and anomalies that they judged.

The ranges of a series stay as they are: a wide one would blind it on its other side too. A score is excused
where its value is between the usual range and the allowed values.
"""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from agent.domain.records import CALM, Do, Kind, Past, Score, Seen

MARGIN = 0.1  # of usual and allowed values together: no event repeats itself exactly
AFTERMATH = 60  # readings after an excused one, in which means and steps have not yet settled
CLOSE = 1e-6  # of a value at which a series may rest
MAX_FLAT = 8
MAX_SERIES = 1000
MAX_SILENCES = 8  # of a device
MAX_PAST = 3  # anomalies of a series
DAY_S = 86_400.0
REACH_S = 5400.0  # a silence that begins so much earlier or later is the same one of another day
LATER_S, LATER = 600.0, 0.25  # and it may end so much later: seconds, and a part of its length

_VALUES = (Kind.SPIKE, Kind.LEVEL_SHIFT)
_MEANS = (Kind.DRIFT, Kind.NOISE)


class Allowance:
    """The allowed values of one series, in its unit."""

    __slots__ = ("flat", "hulls", "left", "unit")

    def __init__(
        self,
        unit: str | None,
        hulls: Mapping[str, tuple[float, float]] | None = None,
        flat: Iterable[float] = (),
        left: int = 0,
    ) -> None:
        self.unit = unit
        self.hulls = dict(hulls or {})  # lowest and highest allowed value, by the kind that they were
        self.flat = list(flat)  # values at which it may rest
        self.left = left  # readings of the aftermath

    def allow(self, seen: Seen) -> None:
        """Take values of one kind."""
        if seen.kind is Kind.FLATLINE:
            self.flat = [*self.flat, seen.low][-MAX_FLAT:]
            return
        kind = Kind.SPIKE if seen.kind in _VALUES else seen.kind
        low, high = self.hulls.get(kind, (inf, -inf))
        self.hulls[kind] = (min(low, seen.low), max(high, seen.high))

    def excuse(self, score: Score, value: float) -> Score:
        """Return the score of the next reading, CALM if it is allowed."""
        self.left = max(0, self.left - 1)
        if score.kind is Kind.FLATLINE:
            return CALM if any(abs(value - one) <= CLOSE * abs(one) for one in self.flat) else score
        if score.limit or not score.value:
            return score
        if score.kind in _VALUES:
            if not self._within(Kind.SPIKE, score, value):
                return score
            self.left = AFTERMATH
            return CALM
        after = self.left and score.kind in _MEANS and self._within(Kind.SPIKE, score, value)
        return CALM if after or self._within(score.kind, score, value) else score

    def _within(self, kind: Kind, score: Score, value: float) -> bool:
        hull = self.hulls.get(kind)
        if hull is None:
            return False
        usual = hull if score.expected is None else score.expected
        low, high = min(hull[0], usual[0]), max(hull[1], usual[1])
        margin = MARGIN * (high - low)
        below, above = hull[0] < usual[0] + margin, hull[1] > usual[1] - margin  # the allowed sides
        return low - margin * below <= value <= high + margin * above


class Allowed:
    """All that people have allowed."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, Allowance]] = {}  # by device, by metric
        self._silences: dict[str, list[list[float]]] = {}  # by device: second of the day and length
        #: Judged anomalies and their unit, by device and by metric.
        self._past: dict[str, dict[str, tuple[str | None, list[Past]]]] = {}
        #: Devices whose allowed silence is not over, with its begin.
        self.waiting: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._series)

    def allow(self, device: str, unit: str | None, seen: Seen) -> None:
        """Allow the values of one series."""
        metrics = self._series.setdefault(device, {})
        known = metrics.get(seen.metric)
        if known is None or known.unit != unit:
            known = metrics[seen.metric] = Allowance(unit)
        known.allow(seen)
        if sum(map(len, self._series.values())) > MAX_SERIES:
            del self._series[next(iter(self._series))]

    def of(self, device: str, metric: str, unit: str | None) -> Allowance | None:
        """Return what is allowed of a series, if it was in this unit."""
        found = self._series.get(device, {}).get(metric)
        return found if found is not None and found.unit == unit else None

    def judge(self, device: str, unit: str | None, metric: str, case: Past) -> None:
        """Keep an anomaly that a person has judged; the last word on a finding counts."""
        metrics = self._past.pop(device, {})
        known_unit, known = metrics.pop(metric, (unit, []))
        kept = [one for one in known if known_unit == unit and one.finding != case.finding]
        metrics[metric] = (unit, [*kept, case][-MAX_PAST:])
        self._past[device] = metrics
        if sum(map(len, self._past.values())) > MAX_SERIES:
            oldest = next(iter(self._past))
            del self._past[oldest][next(iter(self._past[oldest]))]
            if not self._past[oldest]:
                del self._past[oldest]

    def past(self, device: str, metric: str, unit: str | None) -> tuple[Past, ...]:
        """Return the last judged anomalies of a series, if it was in this unit."""
        known_unit, known = self._past.get(device, {}).get(metric, (unit, []))
        return tuple(known) if known_unit == unit else ()

    def allow_silence(self, device: str, begin: float, end: float | None) -> None:
        """Allow a silence at this hour of the day, up to its length; without an end it is not over."""
        if end is None:
            self.waiting[device] = begin
        elif 0.0 < end - begin < DAY_S:
            kept = self._silences.setdefault(device, [])
            kept.append([begin % DAY_S, end - begin])
            del kept[:-MAX_SILENCES]

    def speak(self, device: str, clock: float) -> None:
        """Take a reading of a device whose allowed silence was not over."""
        begin = self.waiting.pop(device, None)
        if begin is not None:
            self.allow_silence(device, begin, clock)

    def silent_until(self, device: str, begin: float) -> float:
        """Return until when a silence since ``begin`` is allowed, ``begin`` if it is not."""
        if device in self.waiting:
            return inf
        until = begin
        for second, length in self._silences.get(device, ()):
            late = (begin - second + REACH_S) % DAY_S - REACH_S
            if -REACH_S <= late <= REACH_S:
                until = max(until, begin - late + length + min(REACH_S, LATER_S + LATER * length))
        return until

    def forget(self, device: str) -> None:
        """Forget what was allowed of a device."""
        self._series.pop(device, None)
        self._silences.pop(device, None)
        self._past.pop(device, None)
        self.waiting.pop(device, None)

    def dump(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "series": [
                [device, metric, one.unit, one.hulls, one.flat, one.left]
                for device, metrics in self._series.items()
                for metric, one in metrics.items()
            ],
            "silences": self._silences,
            "waiting": self.waiting,
            "past": [
                [device, metric, unit, cases]
                for device, metrics in self._past.items()
                for metric, (unit, cases) in metrics.items()
            ],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`dump` gave; without anything nothing is allowed."""
        self._series = {}
        for device, metric, unit, hulls, flat, left in state.get("series", ()):
            pairs = {kind: (low, high) for kind, (low, high) in hulls.items()}
            self._series.setdefault(device, {})[metric] = Allowance(unit, pairs, flat, left)
        self._past = {}
        for device, metric, unit, cases in state.get("past", ()):
            known = [Past(key, Do(outcome), Kind(kind), low, high) for key, outcome, kind, low, high in cases]
            self._past.setdefault(device, {})[metric] = (unit, known)
        self._silences = dict(state.get("silences", {}))
        self.waiting = dict(state.get("waiting", {}))
