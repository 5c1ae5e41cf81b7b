"""Rules of a source for its metrics: choice, names, units, values that mean none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import isclose
from typing import Annotated, NamedTuple

from agent.decode.family import Skip, Skipped
from agent.domain.keys import Key
from agent.domain.records import Reading

MAX_NAME = 128
_MAX_KEPT = 4096  # names whose rule is kept; a flood of names costs time, not memory
_SAME = 1e-6  # relative: a sentinel that went through a 32-bit float

_GLOBS = "globs of metric names, `*` for any text"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSettings:
    """Section ``metrics`` of a source."""

    include: Annotated[
        tuple[str, ...], Key(f"the metrics to read ({_GLOBS}); empty: all", max_length=MAX_NAME)
    ] = ()
    exclude: Annotated[tuple[str, ...], Key(f"metrics to leave out ({_GLOBS})", max_length=MAX_NAME)] = ()
    rename: Annotated[
        Mapping[str, str],
        Key("name to use instead, by the name that the device sends", min_length=1, max_length=MAX_NAME),
    ] = field(default_factory=dict)
    units: Annotated[
        Mapping[str, str],
        Key("unit of values that have none, by globs of metric names", min_length=1, max_length=16),
    ] = field(default_factory=dict)
    values: Annotated[
        Mapping[str, float],
        Key("numbers of words, such as `{open: 1, closed: 0}`; the case of the words does not matter"),
    ] = field(default_factory=dict)
    ignore_values: Annotated[
        Mapping[str, tuple[float, ...]],
        Key('numbers that mean "no value", by globs of metric names, such as `{"*": [85, -127]}`'),
    ] = field(default_factory=dict)


class _Rule(NamedTuple):
    name: str  # after renaming
    why: Skip | None = None  # it is left out
    unit: str | None = None  # if the value has none
    ignored: tuple[float, ...] = ()


class Ruled(NamedTuple):
    """Readings and skipped values of a message under the rules of its source."""

    readings: tuple[Reading, ...]
    skipped: tuple[Skipped, ...]  # with those that the rules left out
    renamed: tuple[tuple[str, str], ...]  # names before and after


class MetricRules:
    """The rules of one source.

    Args:
        settings: as configured. Globs match the name that the device sends or the one of ``rename``.
        labels: names of values that are part of the device id or the time, so never metrics.
        based: the topic names a metric, so that names of values begin with it.
    """

    def __init__(self, settings: MetricSettings, *, labels: Iterable[str] = (), based: bool = False) -> None:
        self._settings = settings
        self._labels = tuple(labels)
        self._endings = tuple(f".{label}" for label in self._labels) if based else ()
        self._kept: dict[str, _Rule] = {}

    def apply(self, readings: tuple[Reading, ...], skipped: tuple[Skipped, ...], most: int) -> Ruled:
        """Apply the rules; at most ``most`` skipped values are named."""
        taken: list[Reading] = []
        renamed: dict[str, str] = {}
        left = [one for one in skipped if not self._is_label(one.name)]
        for reading in readings:
            rule = self._kept.get(reading.metric) or self._find(reading.metric)
            why = rule.why
            if rule.ignored and any(isclose(reading.value, one, rel_tol=_SAME) for one in rule.ignored):
                why = why or Skip.SENTINEL
            if why is not None:
                left.append(Skipped(reading.metric, why))
                continue
            if rule.name != reading.metric:
                renamed[reading.metric] = rule.name
            taken.append(_changed(reading, rule))
        if renamed:
            taken = without_repeats(taken, left)
        return Ruled(tuple(taken), tuple(left[:most]), tuple(renamed.items()))

    def _is_label(self, name: str) -> bool:
        return name in self._labels or name.endswith(self._endings)

    def _find(self, name: str) -> _Rule:
        settings = self._settings
        names = (name, settings.rename.get(name, name))
        if self._is_label(name):
            found = _Rule(name, Skip.NOT_A_VALUE)
        elif (settings.include and not _any(settings.include, names)) or _any(settings.exclude, names):
            found = _Rule(name, Skip.EXCLUDED)
        else:
            unit = next((unit for glob, unit in settings.units.items() if _any((glob,), names)), None)
            ignored = [
                value
                for glob, values in settings.ignore_values.items()
                if _any((glob,), names)
                for value in values
            ]
            found = _Rule(names[1], None, unit, tuple(ignored))
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[name] = found
        return found


def _changed(reading: Reading, rule: _Rule) -> Reading:
    unit = reading.unit or rule.unit
    if rule.name == reading.metric and unit == reading.unit:
        return reading
    return replace(reading, metric=rule.name, unit=unit)


def without_repeats(readings: Iterable[Reading], skipped: list[Skipped]) -> list[Reading]:
    """Keep the first of two readings of one name and time; add the other to ``skipped``."""
    first: dict[tuple[str, str, float], Reading] = {}
    skipped += [
        Skipped(reading.metric, Skip.REPEATED)
        for reading in readings
        if first.setdefault((reading.device, reading.metric, reading.at), reading) is not reading
    ]
    return list(first.values())


def _any(globs: Iterable[str], names: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs for name in names)
