"""The local detector: scores each reading by its series, and detects silence."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from heapq import nlargest, nsmallest
from itertools import islice
from math import inf
from operator import attrgetter, itemgetter

from agent.detect import calm, codec, company, nature, pairs, presence
from agent.detect.allowed import Allowed
from agent.detect.features import MANY_KINDS, is_new_use
from agent.detect.limits import Bounds, Limit, LimitUse, choose, find_use
from agent.detect.pauses import offset_of
from agent.detect.rhythm import Rhythm, Watch
from agent.detect.series import observe
from agent.detect.settings import SENSITIVITY, DetectSettings
from agent.detect.state import KINDS, MATES, PREV, PROFILE, PROFILED, RECENT, TOTAL, WARM, State
from agent.detect.tracked import NO_UNIT, Odd, Series
from agent.detect.tuning import Tuning, TuningUse, choose_tuning, expect_of, find_tuning_use
from agent.detect.view import FIRST_CHANGE, SECOND_KIND, count_readings, view_series
from agent.domain.records import (
    CALM,
    IGNORED,
    Do,
    Kind,
    Partner,
    Past,
    Progress,
    Reading,
    RhythmView,
    Score,
    Seen,
    SeriesView,
    Silence,
)

ALARM = Score(2.0, Kind.LEVEL_SHIFT, (0.0, 0.0))  # of a contact such as that of a leak
EVICTED_AT_ONCE = 100
MAX_NAME = 120  # of a series in a sentence
MAX_CHANGES = 100  # changes of unit that nobody has read
RANKED_AT_ONCE = 1000  # of which the next evictions take theirs
CROWD = 32  # series of a device, beyond which it matters little exactly how many they are
GREEDY_SHARE = 10  # a device with more than this part of all series makes room before the others


_Rank = tuple[bool, int, str, str]  # whether it was ever judged, last seen, device, metric


@dataclass(slots=True)
class DetectStats:
    """Counters of this process, read by the metrics at scrape."""

    series: int = 0
    evicted: int = 0


@dataclass(frozen=True, slots=True)
class UnitChange:
    """A series that began again in another unit."""

    device: str
    metric: str
    was: str | None
    unit: str | None

    def __str__(self) -> str:
        was, unit = self.was or "no unit", self.unit or "no unit"
        return f"The unit of {f'{self.device}/{self.metric}'[:MAX_NAME]} changed from {was} to {unit}"


class Detector:
    """Scores readings in the order of their rows. Pure: time comes as arguments, nothing is logged."""

    def __init__(
        self,
        settings: DetectSettings | None = None,
        limits: Sequence[Limit] = (),
        tuning: Sequence[Tuning] = (),
        zone: tzinfo | None = None,
    ) -> None:
        """Make a detector that knows nothing yet; ``zone`` is the site's, for its hours."""
        self._settings = settings or DetectSettings()
        self._limits, self._tuning = tuple(limits), tuple(tuning)
        self._strictness = {factor: self._settings.at(factor) for factor in SENSITIVITY.values()}
        self._series: dict[str, dict[str, Series]] = {}  # by device, by metric
        self._zone = zone
        self._watch = Watch(self._settings, None if zone is None else partial(offset_of, zone))
        self._allowed = Allowed()
        self._crowds: dict[str, int] = {}  # by device with more than CROWD series: how many are judged
        self._noted: dict[str, int] = {}  # by device: the hour of the last look at its series
        self._pairs: dict[str, pairs.Pairs] = {}  # by device, of those with some series
        self._absent: dict[str, float] = {}  # device with series that fell away -> clock of the look
        self._count = 0  # readings ever
        self._next: list[_Rank] = []  # what gives way next, as it was ranked
        self.stats = DetectStats()
        self.unit_changes: deque[UnitChange] = deque(maxlen=MAX_CHANGES)  # the reader empties it

    # ---------------------------------------------------------------------------------- readings

    @property
    def zone(self) -> tzinfo | None:
        """The site's time zone."""
        return self._zone

    def update(self, reading: Reading, clock: float) -> Score:
        """Score one reading and learn from it, as :meth:`judge` does."""
        return self.judge(reading, clock)[1]

    def judge(self, reading: Reading, clock: float) -> tuple[Reading, Score]:
        """Score one reading and learn from it; return it in the unit of its series.

        Args:
            reading: its value is finite.
            clock: agent time of its row, seconds.
        """
        device, at = reading.device, reading.at
        self._watch.hear(device, at, clock)
        if self._allowed.waiting:
            self._allowed.speak(device, clock)
        try:
            series = self._series[device][reading.metric]
        except KeyError:
            series = self._meet(reading)
        self._count = series.seen = self._count + 1
        series.word = reading.word
        frame, unit = series.frame, reading.unit
        # As `_learns` has it; a meter has no frame.
        learning = not series.state[WARM] or (series.uses and is_new_use(series.state, self._settings))
        if (
            frame is not None
            and (unit is None or unit == series.unit)
            and calm.take(series, frame, reading.value, at, self._strictness[series.sensitivity])
        ):
            bounds = series.bounds
            score = CALM if bounds is None else bounds.judge(reading.value) or CALM
            return reading, self._learning(score, series.state) if learning and series.judged else score
        return self._judge_closely(reading, series)

    def _learns(self, series: Series) -> bool:
        """Whether a series is to be judged but is not yet."""
        state = series.state
        return series.judged and (not state[WARM] or is_new_use(state, self._settings))

    def _learning(self, score: Score, state: State) -> Score:
        """Return the score of a reading with the progress of its series, which is still learning."""
        progress = count_readings(state, self._settings)
        # Not `replace`, which takes as long as the rest of a reading.
        return Score(
            score.value, score.kind, score.expected, score.limit, progress,
            score.unchecked, score.said, score.unit_was, partner=score.partner,
        )  # fmt: skip

    def _judge_closely(self, reading: Reading, series: Series) -> tuple[Reading, Score]:
        """Score a reading about which something may be remarkable."""
        device, value = reading.device, reading.value
        limit, bounds = series.limit, series.bounds
        series.frame = None
        said: tuple[float, str] | None = None
        was: str | None = None
        if series.odd or reading.unit != series.unit:
            before = series.unit
            way = series.agree(reading)
            if way is None:
                return reading, _foreign(reading, before, limit)
            said, limit = series.said, series.limit
            bounds = series.bounds if series.unit or limit is None else limit.bounds(reading.unit)
            if said is not None:
                value = way.apply(value)
                reading = Reading(device, reading.metric, reading.at, value, series.unit)
            elif series.unit != before and series.was is not None and not series.state[TOTAL]:
                was = series.was
                self.unit_changes.append(UnitChange(device, reading.metric, was, series.unit))
        state = series.state
        learning, kinds = self._learns(series), state[KINDS]
        score = observe(state, value, reading.at, self._strictness[series.sensitivity])
        if series.alarm and nature.is_on(state, value):
            score = ALARM
        if series.diagnostic or series.ignored:
            score, learning, kinds = IGNORED if series.ignored else CALM, False, MANY_KINDS
        allowance = self._allowed.of(device, reading.metric, series.unit) if self._allowed else None
        if allowance is not None:
            score = allowance.excuse(score, value)
        known = self._pairs.get(device)
        parting = known.tell(series.metric) if known is not None and known.parted and series.judged else None
        if parting is not None and parting.score > score.value:
            score = self._parted(device, parting)
        elif allowance is None and parting is None and series.plain:
            series.frame = calm.frame_of(state, reading.at)
        if limit is not None:
            broken = None if bounds is None else bounds.judge(value)
            score = broken or (score if bounds is not None else replace(score, unchecked=limit.unit))
        if said is not None or was is not None:
            score = replace(score, said=said, unit_was=was)
        if learning:
            return reading, self._learning(score, state)
        if kinds < MANY_KINDS and state[KINDS] == SECOND_KIND != kinds:
            return reading, replace(score, progress=FIRST_CHANGE)
        return reading, score

    def note_hour(self, device: str, at: float, clock: float) -> None:
        """Note levels and presence of a device's series once an hour; call it with each judged message.

        Of series that may go together some levels an hour.
        """
        known = self._pairs.get(device)
        # It is far ahead where the wall clock was.
        if known is not None and (at >= known.due or known.due > max(at, clock) + pairs.HOUR_S):
            self._compare(device, known, at)
        hour, last = int(at // 3600.0), self._noted.get(device, 0)
        if hour <= last <= max(hour, int(clock // 3600.0)) + 1:
            return
        self._noted[device] = hour
        if hour < last:
            return  # the wall clock was ahead for a while
        metrics = self._series.get(device, {}).values()
        if known is None and pairs.are_few(pairs.levels(metrics, at)):
            self._pairs[device] = pairs.Pairs()
        for series in metrics:
            series.note_hour(hour)
        if presence.look(metrics, next_hour=hour == last + 1):
            self._absent.setdefault(device, clock)

    def _compare(self, device: str, known: pairs.Pairs, at: float) -> None:
        """Note the levels of the series of a device, and each hour which of them have parted."""
        metrics = self._series.get(device, {})
        found = pairs.levels(metrics.values(), at)
        if not pairs.are_few(found) or not known.has_room(found):
            del self._pairs[device]
        elif known.take(at, found):
            for metric in known.parted:
                if metric in metrics:
                    metrics[metric].frame = None

    def _parted(self, device: str, one: pairs.Parting) -> Score:
        """Return the score of a series that has parted from its partner."""
        mate = self._series[device].get(one.partner)
        since = pairs.hour_words(one.since, self._zone)
        partner = Partner(one.partner, one.given, None if mate is None else mate.unit, one.level, since)
        return Score(one.score, Kind.OTHER, (one.low, one.high), partner=partner)

    def _meet(self, reading: Reading) -> Series:
        """Begin a series, and make room for it."""
        if self.stats.series >= self._settings.max_series:
            self._evict()
        device, metric = reading.device, reading.metric
        tuning = choose_tuning(self._tuning, device, metric)
        series = Series(metric, reading.unit, choose(self._limits, device, metric), tuning)
        metrics = self._series.setdefault(device, {})
        known = any(one.tuning is tuning for one in metrics.values())
        metrics[metric] = series
        self.stats.series += 1
        self._add_mate(device, series)
        if self._tuning and not known:
            self._expect(device)
        return series

    def _add_mate(self, device: str, series: Series) -> None:
        """Count a new series; those of a crowd are gone through now and then, so that each costs the same."""
        before = self._crowds.get(device)
        if before is None:
            self._count_mates(device)
            return
        self._crowds[device] = count = before + series.judged
        if _rounded(count) == _rounded(before):
            series.state[MATES] = _rounded(count)
        else:
            self._set_mates(device, count)

    def _regard(self, device: str) -> None:
        """Count the series of a device that are judged, and let what is configured hold for its silence."""
        self._count_mates(device)
        self._expect(device)

    def _count_mates(self, device: str) -> None:
        """Let each series of a device know how many of them are judged."""
        metrics = self._series[device].values()
        count = sum(series.judged for series in metrics)
        if len(metrics) > CROWD:
            self._crowds[device] = count
        else:
            self._crowds.pop(device, None)
        self._set_mates(device, count)

    def _set_mates(self, device: str, count: int) -> None:
        mates = _rounded(count)
        for series in self._series[device].values():
            series.state[MATES] = mates

    def _expect(self, device: str) -> None:
        """Let what is configured for the series of a device hold for its silence."""
        held = [series.tuning for series in self._series[device].values()]
        self._watch.expect(device, expect_of(self._tuning, held))

    def _evict(self) -> None:
        """Forget many series at once, so that it is seldom: never judged ones first, then longest unseen.

        A device with a tenth of all gives way before the others: it must not cost them what they learnt.
        """
        share = max(1, self._settings.max_series // GREEDY_SHARE)
        greedy: set[str] = set()
        if self.stats.series - len(self._series) >= share:
            greedy = {device for device, metrics in self._series.items() if len(metrics) > share}
        least = min(EVICTED_AT_ONCE, share)
        evicted = nsmallest(share, self._ranks(greedy)) if greedy else self._take_least(least)
        for _, _, device, metric in evicted:
            del self._series[device][metric]
            self.stats.series -= 1
            self.stats.evicted += 1
        for device in {device for _, _, device, _ in evicted}:
            self._count_mates(device)
            if not self._series[device]:
                del self._series[device]
                self._noted.pop(device, None)
                self._pairs.pop(device, None)
                self._watch.rhythms.pop(device, None)

    def _ranks(self, devices: Iterable[str]) -> Iterator[_Rank]:
        """Yield the series of devices by how little is lost with them."""
        warm = self._settings.warm_readings
        for device in devices:
            for metric, series in self._series[device].items():
                yield series.state[TOTAL] >= warm, series.seen, device, metric

    def _take_least(self, count: int) -> list[_Rank]:
        """Return the series with which least is lost.

        Those that were never judged keep their rank until they are seen again, before any that came since.
        """
        ranked = []
        for rank in self._next:
            series = self._series.get(rank[2], {}).get(rank[3])
            if series is not None and series.seen == rank[1]:
                ranked.append(rank)
        if len(ranked) < count:
            ranked = nsmallest(max(count, RANKED_AT_ONCE), self._ranks(self._series))
        self._next = [rank for rank in ranked[count:] if not rank[0]]
        return ranked[:count]

    def reconfigure(self, limits: Sequence[Limit], tuning: Sequence[Tuning] = ()) -> None:
        """Take other limits and other tuning from now on."""
        self._limits, self._tuning = tuple(limits), tuple(tuning)
        for device, metrics in self._series.items():
            for metric, series in metrics.items():
                series.hold(choose(self._limits, device, metric))
                series.tune(choose_tuning(self._tuning, device, metric))
            self._regard(device)

    # ----------------------------------------------------------------------------------- silence

    def connected(self, clock: float) -> None:
        """Let the silence clocks run from ``clock`` on, with a full interval's grace."""
        self._watch.connected(clock)

    def disconnected(self, clock: float) -> None:
        """Stop the silence clocks."""
        self._watch.disconnected(clock)

    def next_due(self, until: float = inf) -> float | None:
        """Return the clock of the earliest possible silence, or None; any later one if after ``until``."""
        due = self._watch.next_due(until)
        if self._absent:
            first = min(self._absent.values())
            due = first if due is None else min(due, first)
        return due

    def tick(self, clock: float) -> list[Silence]:
        """Return the devices that have been silent too long at ``clock``, each once until it speaks again.

        Series that have fallen away are silences too, once until they are back.
        """
        found = []
        for device, rhythm in self._watch.tick(clock):
            until = self._allowed.silent_until(device, rhythm.clock)
            if until > clock:
                self._watch.postpone(device, until)
            else:
                found.append(self._silence(device, rhythm, clock))
        for device in [one for one, due in self._absent.items() if due <= clock]:
            del self._absent[device]
            found += self._absence(device, clock)
        return found

    def _absence(self, device: str, clock: float) -> list[Silence]:
        """Return the silence of the series of a device that fell away."""
        absent = tuple(presence.take_due(self._series.get(device, {}).values()))
        if not absent or device not in self._watch.rhythms:
            return []
        rhythm = self._watch.rhythms[device]
        first = min(absent, key=attrgetter("at"))
        silence = self._silence(device, rhythm, clock)
        return [replace(silence, last_at=first.at, silent_s=max(0.0, rhythm.at - first.at), absent=absent)]

    def device_state(self, device: str, online: bool, clock: float) -> Silence | None:  # noqa: FBT001
        """Take availability that a device reports: offline is a silence at once, online restarts its clock.

        At an hour at which its silence is usual, offline is usual as well. The clock is restarted once
        between two readings: who only repeats that it is there is silent all the same.
        """
        rhythm = self._watch.rhythms.get(device)
        if rhythm is None:
            return None
        if online:
            if rhythm.anchor <= rhythm.clock:
                self._watch.restart(device, clock)
            return None
        if rhythm.silent or rhythm.rests(clock, self._watch):
            return None
        if self._allowed.silent_until(device, rhythm.clock) > clock:
            return None
        rhythm.silent = True
        return replace(self._silence(device, rhythm, clock), offline=True)

    def heard(self, device: str, clock: float) -> Silence | None:
        """Take a message of a device without a value in it: the device is not silent, but may lack values."""
        if not self._watch.hear_no_value(device, clock):
            return None
        rhythm = self._watch.rhythms[device]
        if self._allowed.silent_until(device, rhythm.clock) > clock:
            return None
        return replace(self._silence(device, rhythm, clock), lacking=True)

    def absent(self, device: str) -> list[str]:
        """Return the metrics of a device that have fallen away, or came back within the last hours."""
        return presence.absent(self._series.get(device, {}).values())

    def seniority(self, device: str) -> int | None:
        """Return how many devices were met before a tracked one, None for another."""
        rhythm = self._watch.rhythms.get(device)
        return None if rhythm is None else rhythm.older

    def usual_interval(self, device: str) -> float:
        """Return the usual time between two readings of a device, 0 where it is not known."""
        rhythm = self._watch.rhythms.get(device)
        return 0.0 if rhythm is None else rhythm.interval_s

    def silent(self, device: str) -> bool:
        """Return whether a device was found silent and has sent nothing since."""
        rhythm = self._watch.rhythms.get(device)
        return rhythm is not None and rhythm.silent

    def alike(self, metric: str, device: str, other: str, before: float) -> bool:
        """Return whether a metric of two devices moved together in the days before an event time."""
        both = [self._series.get(name, {}).get(metric) for name in (device, other)]
        one, two = (None if series is None else series.hourly for series in both)
        return one is not None and two is not None and company.alike(one, two, before=before)

    def share_day(self, metric: str, device: str, other: str) -> bool:
        """Return whether a metric of two devices rises and falls at the same hours of the day."""
        both = [self._series.get(name, {}).get(metric) for name in (device, other)]
        days = [one.state[PROFILE:RECENT] for one in both if one is not None and one.state[PROFILED]]
        return len(days) == len(both) and company.share_day(*days)

    def silence_progress(self, device: str) -> Progress | None:
        """Return how far a device is from being judged by its silence, None when it is, or never will be."""
        rhythm = self._watch.rhythms.get(device)
        return None if rhythm is None or rhythm.expect.muted else rhythm.progress(self._settings)

    def learns(self, device: str) -> bool:
        """Return whether a series of the device cannot be judged yet."""
        return any(self._learns(series) for series in list(self._series.get(device, {}).values()))

    def unreadable(self) -> list[str]:
        """Return the devices that send, but have had no reading for too long; from any thread."""
        return [device for device, rhythm in list(self._watch.rhythms.items()) if rhythm.unreadable]

    def _silence(self, device: str, rhythm: Rhythm, clock: float) -> Silence:
        newest = max(self._series.get(device, {}).values(), key=attrgetter("seen"), default=None)
        rest = None if rhythm.pauses is None else rhythm.pauses.nearest(clock)
        return Silence(
            device=device,
            last_at=rhythm.at,
            last_metric=newest.metric if newest else None,
            last_value=newest.state[PREV] if newest else None,
            expected_interval_s=rhythm.interval_s,
            silent_s=clock - rhythm.clock,
            score=1.0,
            usually="" if rest is None else rest.words(self._zone),
            on_events=rhythm.on_events and not rhythm.expect.interval_s,
        )

    # ------------------------------------------------------------------------------------ people

    def allow(self, device: str, seen: Seen) -> None:
        """Take cited values of a series, or that it falls away, as usual from now on."""
        series, known = self._series.get(device, {}).get(seen.metric), self._pairs.get(device)
        if known is not None:
            known.allow(seen.metric)
        if series is not None and seen.kind is Kind.SILENCE:
            presence.allow(series)
        elif series is not None:
            self._allowed.allow(device, series.unit, seen)
            series.frame = None

    def note_past(self, device: str, finding: str, outcome: Do, seen: Seen) -> None:
        """Keep values of a finding that a person has judged, for the model."""
        series = self._series.get(device, {}).get(seen.metric)
        if series is not None:
            case = Past(finding, outcome, seen.kind, seen.low, seen.high)
            self._allowed.judge(device, series.unit, seen.metric, case)

    def allow_silence(self, device: str, begin: float, end: float | None) -> None:
        """Take a silence as usual at its hour of the day; clocks, without ``end`` it is not over."""
        rhythm = self._watch.rhythms.get(device)
        if rhythm is not None:
            over = end if end is not None or rhythm.clock <= begin else rhythm.clock
            self._allowed.allow_silence(device, begin, over)

    def forget(self, device: str) -> None:
        """Drop all that is known of a device."""
        self.stats.series -= len(self._series.pop(device, {}))
        self._watch.rhythms.pop(device, None)
        self._absent.pop(device, None)
        self._allowed.forget(device)
        self._noted.pop(device, None)
        self._crowds.pop(device, None)
        self._pairs.pop(device, None)

    # ------------------------------------------------------------------------------------- views

    def view(self, device: str, metric: str) -> SeriesView | None:
        """Return what is known of one series."""
        series = self._series.get(device, {}).get(metric)
        return self._view(device, series) if series is not None else None

    def views(self, device: str) -> list[SeriesView]:
        """Return what is known of the series of one device."""
        return [self._view(device, series) for series in list(self._series.get(device, {}).values())]

    def some_views(self, device: str, metrics: Iterable[str], limit: int) -> list[SeriesView]:
        """Return the views of these metrics, then of others by name, at most ``limit`` in all."""
        known = self._series.get(device, {})
        wanted = dict.fromkeys(metric for metric in metrics if metric in known)
        if len(wanted) < limit:
            wanted.update(dict.fromkeys(nsmallest(limit, known)))
        return [self._view(device, known[metric]) for metric in islice(wanted, limit)]

    def newest_views(self, device: str, limit: int) -> list[SeriesView]:
        """Return the views of the series of a device, the last seen ones if there are more than ``limit``."""
        every = list(self._series.get(device, {}).values())
        if len(every) > limit:
            every = nlargest(limit, every, key=attrgetter("seen"))
        return [self._view(device, series) for series in every]

    def _view(self, device: str, series: Series) -> SeriesView:
        limit, bounds = series.limit, series.bounds
        if limit is not None and bounds is None:  # shown as it was configured, with its unit
            bounds = Bounds(limit.low, limit.high)
        state = series.state
        learning = self._learns(series)
        view = view_series(state, device=device, metric=series.metric, unit=series.unit, bounds=bounds)
        return replace(
            view,
            usual=None if series.diagnostic or series.ignored else view.usual,
            progress=count_readings(state, self._settings) if learning else None,
            unchecked=limit.unit if limit is not None and series.bounds is None else None,
            said=series.said,
            unit_was=series.was if series.learning else None,
            diagnostic=series.diagnostic,
            word=series.word,
            ignored=series.ignored,
            sensitivity=series.tuning.sensitivity,
            tuned_by=series.tuning.pattern or None,
            past=self._allowed.past(device, series.metric, series.unit),
            goes_with=self._pairs[device].partners(series.metric) if device in self._pairs else (),
        )

    def learning_count(self) -> int:
        """Count the series that are not judged yet; from any thread."""
        every = (series for metrics in list(self._series.values()) for series in list(metrics.values()))
        return sum(self._learns(series) for series in every)

    def relearning(self) -> list[UnitChange]:
        """Return the series that learn again after a change of their unit; from any thread."""
        return [
            UnitChange(device, series.metric, series.was, series.unit)
            for device, metrics in list(self._series.items())
            for series in list(metrics.values())
            if series.was is not None and series.learning
        ]

    def largest(self) -> tuple[str, int]:
        """Return the device with the most series, and their number; from any thread."""
        every = ((device, len(metrics)) for device, metrics in list(self._series.items()))
        return max(every, key=itemgetter(1), default=("", 0))

    def limit_use(self) -> list[LimitUse]:
        """Return how each configured limit fares with the series that are known; from any thread."""
        return find_use(
            self._limits,
            [
                (device, series.metric, series.unit, series.limit)
                for device, metrics in list(self._series.items())
                for series in list(metrics.values())
            ],
        )

    def tuning_use(self) -> list[TuningUse]:
        """Return how each tuning rule fares with the series that are known; from any thread."""
        known = [
            (device, metric) for device, metrics in list(self._series.items()) for metric in list(metrics)
        ]
        return find_tuning_use(self._tuning, known)

    def rhythm(self, device: str, clock: float) -> RhythmView | None:
        """Return what is known of the silence of a device at ``clock``; from any thread."""
        known = self._watch.rhythms.get(device)
        if known is None:
            return None
        expect, pauses = known.expect, known.pauses
        learnt = known.patience_s < inf or expect.muted
        until = None if pauses is None else pauses.until(max(clock, known.clock), self._watch.offset)
        return RhythmView(
            progress=None if expect.muted else known.progress(self._settings),
            on_events=known.on_events,
            interval_s=known.interval_s if learnt else None,
            patience_s=known.patience_s if learnt else None,
            rests=[] if pauses is None else [one.words(self._zone) for one in pauses.usual()],
            usual_until=until if until is not None and until > clock else None,
            announced_s=known.announced_s or None,
            expected_s=expect.interval_s,
            quiet=[str(hours) for hours in expect.quiet],
            muted=expect.muted,
        )

    def expect_interval(self, device: str, seconds: float) -> None:
        """Take the interval that a device's family announces, which shortens learning."""
        self._watch.announce(device, seconds)

    @property
    def device_count(self) -> int:
        """How many devices are tracked."""
        return len(self._series)

    def last_seen(self) -> dict[str, float]:
        """Return the clock of each device's last reading."""
        return {device: rhythm.clock for device, rhythm in list(self._watch.rhythms.items())}

    def device_times(self, limit: int = 50) -> dict[str, tuple[float, float | None]]:
        """Return clock of the last reading and learnt interval (s) of the first ``limit`` devices."""
        known = list(self._watch.rhythms.items())[:limit]  # one step: other threads ask this
        return {
            device: (rhythm.clock, rhythm.usual_s if rhythm.patience_s < inf else None)
            for device, rhythm in known
        }

    def knows(self, device: str) -> bool:
        """Return whether a device has a series; any thread may ask."""
        return device in self._series

    def devices(self) -> Iterable[str]:
        """Return the devices that have a series."""
        return self._series.keys()

    # ------------------------------------------------------------------------------------- state

    def dump(self) -> bytes:
        """Return the state: loaded into another detector, it changes no later result."""
        return b"".join(self.dump_pieces())

    def dump_pieces(self) -> Iterator[bytes]:
        """Yield what :meth:`dump` returns, in small pieces, some of them empty; take no reading meanwhile."""
        watch = self._watch
        heard = codec.Heard(watch.up_since, watch.down_since, tuple(watch.down), watch.rhythms)
        return codec.encode(
            self._count,
            heard,
            self._rows,
            self._odd(),
            self._allowed.dump(),
            self._hourly(),
            self._present(),
            ((device, one.dump()) for device, one in self._pairs.items()),
        )

    def _rows(self) -> Iterator[codec.Row]:
        for device, metrics in self._series.items():
            for series in metrics.values():
                yield device, series.metric, series.unit, series.seen, series.state

    def _odd(self) -> Iterator[Odd]:
        """Yield the series of which a second unit is known."""
        for device, metrics in self._series.items():
            for series in metrics.values():
                if series.odd or series.was is not None or series.word is not None:
                    yield device, series.metric, series.was, series.pending, series.said, series.word

    def _hourly(self) -> Iterator[codec.Levels]:
        """Yield the hourly changes of the series that have some."""
        for device, metrics in self._series.items():
            for metric, series in metrics.items():
                if series.hourly is not None:
                    yield device, metric, self._noted[device], series.hourly.dump()

    def _present(self) -> Iterator[codec.Present]:
        """Yield how regularly the series come."""
        for device, metrics in self._series.items():
            for metric, series in metrics.items():
                if series.presence is not None:
                    yield device, metric, self._noted[device], series.presence.dump()

    def load(self, blob: bytes) -> None:
        """Take back what :meth:`dump` gave.

        Raises:
            DetectStateError: it is of another version or damaged; nothing is changed then.
        """
        count, heard, rows, odd, allowed, hourly, present, paired = codec.decode(blob)
        self._count = count
        self._allowed.load(allowed)
        self._watch.rebuild(*heard)
        self._series = {}
        for device, metric, unit, seen, state in rows:
            limit, tuning = choose(self._limits, device, metric), choose_tuning(self._tuning, device, metric)
            series = Series(metric, unit, limit, tuning)
            series.seen, series.state = seen, state
            series.nature()
            self._series.setdefault(device, {})[metric] = series
        for device, metric, was, pending, said, word in odd:
            series = self._series[device][metric]
            series.was, series.pending, series.said, series.word = was, pending, said, word
            series.odd = pending is not None or said is not None
        self._noted, self._crowds = {}, {}
        for device, metric, noted, changes in hourly:
            self._noted[device] = noted
            self._series[device][metric].hourly = company.load(changes)
        for device, metric, noted, values in present:
            self._noted[device] = noted
            self._series[device][metric].presence = presence.Presence.load(values)
        self._pairs = {device: pairs.Pairs.load(values) for device, values in paired}
        rhythms = self._watch.rhythms
        self._absent = {
            device: rhythms[device].clock
            for device, metrics in self._series.items()
            if device in rhythms and presence.is_due(metrics.values())
        }
        self.stats.series = len(rows)
        for device in self._series:
            self._regard(device)


def _rounded(count: int) -> int:
    """Return a count, above ``CROWD`` its first four binary digits."""
    lost = max(0, count.bit_length() - 4) if count > CROWD else 0
    return count >> lost << lost


def _foreign(reading: Reading, own: str | None, limit: Limit | None) -> Score:
    """Return the score of a reading whose unit does not convert to that of its series."""
    broken = None if limit is None else limit.judge(reading.value, reading.unit)
    unchecked = None if limit is None or limit.speaks_of(reading.unit) else limit.unit
    return replace(broken or CALM, unit_was=own or NO_UNIT, unchecked=unchecked)
