"""Tables of readings in CSV files: a row per value, or a column per metric.

The first line names the columns. With ``metric`` and ``value`` a row is one value; else each further column
is a metric. Times are Unix seconds (or ms, µs, ns) or ISO 8601, in UTC where they name no zone.
"""

import csv
import pickle
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from heapq import merge
from itertools import chain, groupby, islice
from math import isfinite
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from agent.commands.offline.stream import Stream, Tabled, Unread, tabled
from agent.commands.printing import UnknownError, printable
from agent.decode.family import Note
from agent.decode.times import read_time
from agent.decode.values import Found, is_name, read_unit, read_value
from agent.domain.records import Reading

TIMES = ("time", "timestamp", "ts", "date", "datetime", "at", "_time", "last_changed", "last_updated")
DEVICES = ("device", "device_id", "sensor", "entity_id")
METRICS = ("metric", "name", "field", "_field")
VALUES = ("value", "val", "state", "_value")
UNITS = ("unit", "unit_of_measurement")
MAX_COLUMNS = 1000
MAX_NAME = 256
MAX_FIELD = 4096  # characters of a value
MAX_LINE = 65_536  # characters; a longer line is cut into several
MAX_RUN = 131_072  # rows that are sorted in memory
MAX_CHUNK = 512  # of them that are read back at once
MAX_HEAD = 1024 * 1024  # bytes that show the encoding
_YEAR_2000, _YEAR_2255 = 946_684_800.0, 9e9
_ASCII = frozenset(map(chr, range(128)))
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(\.[0-9]{3})+,[0-9]+(?:[^0-9].*)?", re.DOTALL)

Row = tuple[float, str, tuple[Reading, ...]]  # time, device, readings


@dataclass(frozen=True, slots=True)
class Names:
    """The names that the user gives for a table that has none of its own."""

    device: str | None = None
    metric: str | None = None
    unit: str | None = None


def open_table(path: Path, names: Names) -> Stream:
    """Check a table and return its stream; one that is not in order of time is sorted.

    Raises:
        UnknownError: it holds no reading; the text names the first fault.
    """
    first, last, in_order, unread = float("inf"), float("-inf"), True, Unread()
    with _opened(path, names) as (layout, rows):
        for number, cells in rows:
            at = _time(cells[layout.time]) if len(cells) > layout.time else None
            if at is None or at < first:  # only the first row need be read as a whole
                made = layout.make(cells)
                if isinstance(made, str):
                    unread.note(made, f"{path.name}: row {number}")
                    continue
                first = made[0]
            if at is not None:
                in_order = in_order and at >= last
                last = at
    if first == float("inf"):
        raise UnknownError(printable(f"{path}: holds no reading{unread.first()}"))
    return Stream(
        label=path.name,
        kind="table",
        first=first,
        timed=True,
        play=partial(_play, path, names, in_order),
    )


def _play(path: Path, names: Names, in_order: bool, unread: Unread) -> Iterator[Tabled]:  # noqa: FBT001 - of a partial
    rows = _rows(path, names, unread)
    if not in_order:
        rows = _in_order(rows)
    for (at, _device), group in groupby(rows, key=itemgetter(0, 1)):
        yield tabled(path.name, at, tuple(reading for row in group for reading in row[2]))


def _in_order(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield the rows in order of time; all but the last run of them wait in temporary files."""
    with ExitStack() as stack:
        runs: list[Iterator[Row]] = []
        while run := list(islice(rows, MAX_RUN)):
            run.sort(key=itemgetter(0))
            if len(run) < MAX_RUN:
                runs.append(iter(run))
                break
            file = stack.enter_context(TemporaryFile())
            for first in range(0, MAX_RUN, MAX_CHUNK):
                pickle.dump(run[first : first + MAX_CHUNK], file)
            file.seek(0)
            runs.append(_load(file))
        yield from merge(*runs, key=itemgetter(0))


def _load(file: IO[bytes]) -> Iterator[Row]:
    for _ in range(0, MAX_RUN, MAX_CHUNK):
        yield from pickle.load(file)  # noqa: S301 - written above, to a file without a name


# ------------------------------------------------------------------------------------------ rows


Make = Callable[[Sequence[str]], Row | str]
Cells = Iterator[tuple[int, list[str]]]  # of the rows that are not empty, by number


class _Layout(NamedTuple):
    """The place of the times, the function that makes readings of a row, and whether the header is a row."""

    time: int
    make: Make
    begin: bool


def _rows(path: Path, names: Names, unread: Unread) -> Iterator[Row]:
    with _opened(path, names) as (layout, rows):
        make = layout.make
        for number, cells in rows:
            made = make(cells)
            if isinstance(made, str):
                unread.note(made, f"{path.name}: row {number}")
            else:
                yield made


@contextmanager
def _opened(path: Path, names: Names) -> Iterator[tuple[_Layout, Cells]]:
    with path.open(encoding=_encoding_of(path), errors="replace", newline="") as file:
        first, number = file.readline(MAX_LINE), 1
        while first.startswith("#") or first in ("\n", "\r\n"):  # annotations of InfluxDB
            first, number = file.readline(MAX_LINE), number + 1
        delimiter = max(",;\t", key=first.count)
        header = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
        layout = _layout(path, header, names, comma=delimiter == ";")
        lines = iter(partial(file.readline, MAX_LINE), "")
        rows = _bounded(csv.reader(lines, delimiter=delimiter))
        if layout.begin:
            rows, number = chain([header], rows), number - 1
        yield layout, ((place, cells) for place, cells in enumerate(rows, number + 1) if cells)


def _encoding_of(path: Path) -> str:
    """Return UTF-8 unless the file begins as UTF-16, or holds no letter that is UTF-8 but others."""
    with path.open("rb") as file:
        head = file.read(MAX_HEAD)
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    other = set(head.decode("utf-8-sig", "replace")) - _ASCII
    return "cp1252" if other == {"\ufffd"} else "utf-8-sig"


def _bounded(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield rows; one that the CSV module refuses comes empty of cells but one."""
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            cells = ["\0"]
        if cells is None:
            return
        yield cells


def _layout(path: Path, header: list[str], names: Names, *, comma: bool) -> _Layout:
    if len(header) > MAX_COLUMNS:
        raise UnknownError(f"{printable(str(path))}: has more than {MAX_COLUMNS} columns; leave some out")
    device = names.device or path.stem
    begin = bool(header) and _time(header[0]) is not None
    if begin:
        header = {
            2: ["time", "value"],
            4: ["time", "device", "metric", "value"],
            5: ["time", "device", "metric", "value", "unit"],
        }.get(len(header), [])
    places = {name.casefold(): place for place, name in reversed(list(enumerate(header)))}

    def find(known: Sequence[str]) -> int | None:
        return next((places[name] for name in known if name in places), None)

    time, value, metric = find(TIMES), find(VALUES), find(METRICS)
    if time is None:
        raise UnknownError(
            f"{printable(str(path))}: the first line is {printable(','.join(header)[:60])!r}; begin with"
            " time,device,metric,value, with timestamp,value, or with time and a column per metric"
        )
    own, unit = find(DEVICES), find(UNITS)
    if value is not None and metric is not None:
        make = _per_value(time, own, metric, value, unit, device=device, names=names, comma=comma)
        return _Layout(time, make, begin)
    taken = {places[name] for name in (*TIMES, *DEVICES, *UNITS) if name in places}
    columns = [(place, name) for place, name in enumerate(header) if place not in taken and is_name(name)]
    if names.metric is not None:
        columns = columns if value is None else [(value, names.metric)]
        if len(columns) != 1:
            raise UnknownError(
                f"{printable(str(path))}: --metric names one column, but {len(columns)} hold values; leave it"
                " out, because the columns have names"
            )
        columns = [(columns[0][0], names.metric)]
    if not columns:
        raise UnknownError(f"{printable(str(path))}: has no column of values; write timestamp,value")
    make = _per_column(time, own, columns, unit, device=device, names=names, comma=comma)
    return _Layout(time, make, begin)


def _per_value(
    time: int,
    own: int | None,
    metric: int,
    value: int,
    unit: int | None,
    *,
    device: str,
    names: Names,
    comma: bool,
) -> Make:
    width = max(place for place in (time, own, metric, value) if place is not None)
    units = _Units(names.unit)

    def make(cells: Sequence[str]) -> Row | str:
        if len(cells) <= width:
            return "too few columns"
        at = _time(cells[time])
        if at is None:
            return "no time"
        name, of = cells[metric].strip(), device if own is None else cells[own].strip()
        if not _fits(name) or not _fits(of):
            return "bad name"
        found = _value(cells[value], comma=comma)
        if isinstance(found, str):
            return found
        given = units(cells[unit]) if unit is not None and unit < len(cells) else None
        return at, of, (Reading(of, name, at, found[0], given or found[1] or names.unit),)

    return make


def _per_column(
    time: int,
    own: int | None,
    columns: list[tuple[int, str]],
    unit: int | None,
    *,
    device: str,
    names: Names,
    comma: bool,
) -> Make:
    units = _Units(names.unit)

    def make(cells: Sequence[str]) -> Row | str:
        at = _time(cells[time]) if len(cells) > time else None
        if at is None:
            return "no time"
        of = device if own is None else cells[own].strip() if len(cells) > own else ""
        if not _fits(of):
            return "bad name"
        given = units(cells[unit]) if unit is not None and unit < len(cells) else None
        readings, why = [], "no value"
        for place, name in columns:
            if place >= len(cells) or not cells[place]:
                continue
            found = _value(cells[place], comma=comma)
            if isinstance(found, str):
                why = found
            else:
                readings.append(Reading(of, name, at, found[0], given or found[1] or names.unit))
        return (at, of, tuple(readings)) if readings else why

    return make


class _Units(dict[str, str | None]):
    """Units by the text of a cell."""

    def __init__(self, default: str | None) -> None:
        super().__init__()
        self._default = default

    def __call__(self, text: str) -> str | None:
        if text not in self:
            if len(self) > MAX_COLUMNS:
                self.clear()
            self[text] = read_unit(text) or self._default
        return self[text]


@lru_cache(maxsize=4096)
def _fits(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and is_name(name)


def _time(text: str) -> float | None:
    if text.isdecimal():  # 20260131 is a date, and a number of seconds
        return _odd_time(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _odd_time(text.strip())
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _odd_time(text: str) -> float | None:
    """Return a number of seconds since 1970 or since anything, else any form that a device may write."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if 0.0 <= seconds < _YEAR_2000 and "_" not in text:
            return seconds
        if _YEAR_2000 <= seconds < _YEAR_2255 and text.isascii() and text.isdecimal():
            return seconds  # as `read_time` finds, in a tenth of the time
    found = read_time(text, 0.0, 0.0, UTC)
    return None if isinstance(found, Note) else found


def _value(text: str, *, comma: bool) -> tuple[float, str | None] | str:
    """Return value and unit, or the reason why there is none."""
    try:
        value = float(text)
    except ValueError:
        if not text.strip():
            return "no value"
        if comma:
            text = (text.replace(".", "") if _THOUSANDS.fullmatch(text.lstrip()) else text).replace(",", ".")
        found = read_value(text[:MAX_FIELD])
        return (found.value, found.unit) if isinstance(found, Found) else f"no number ({found})"
    if not isfinite(value):
        return "not finite"
    return (value, None) if "_" not in text else "no number"
