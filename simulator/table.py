"""CSV files with times: ``timestamp,value``, or a column per metric."""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from simulator.recording import FileError, lines

TIME_NAMES = frozenset({"timestamp", "time", "ts", "date", "datetime"})
MAX_COLUMNS = 1000
MAX_NAME = 100
_FORBIDDEN = "/+#{}"
_DELIMITERS = ",;\t"
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_MILLISECONDS = 1e11  # above it a number of seconds would be after the year 5138


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its time in Unix seconds and what was measured, by column name."""

    at: float
    values: dict[str, float]


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows in order; an empty cell is a missing value, a row without values is left out.

    The first column is the time: Unix seconds or milliseconds, or ISO 8601 (UTC where it names no zone).

    Raises:
        FileError: it cannot be read, the header is wrong or a row is; nothing after it is yielded.
    """
    try:
        with path.open("rb") as file:
            yield from _rows(path, _texts(path, file))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def _texts(path: Path, file: io.BufferedReader) -> Iterator[str]:
    for number, line in enumerate(lines(file, path), 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise FileError(f"{path}: line {number} is not UTF-8; convert the file") from None


def _rows(path: Path, texts: Iterator[str]) -> Iterator[Row]:
    first = next(texts, "")
    delimiter = max(_DELIMITERS, key=first.count)
    header = _header(path, next(csv.reader([first], delimiter=delimiter), []))
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    last = -math.inf
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise FileError(f"{path}: line {reader.line_num + 1}: {error}; correct it") from None
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}: line {reader.line_num + 1}"
        if len(cells) != len(header) + 1:
            raise FileError(f"{where} has {len(cells)} columns, the header {len(header) + 1}; correct it")
        at = _time(where, cells[0].strip())
        if at < last:
            raise FileError(f"{where} is earlier than the one before; sort the file by time")
        last = at
        values = {
            name: _value(f"{where}, column {name}", text)
            for name, cell in zip(header, cells[1:], strict=True)
            if (text := cell.strip())
        }
        if values:
            yield Row(at, values)


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    names = [cell.strip() for cell in cells]
    if len(names) < 2 or names[0].lower() not in TIME_NAMES:  # noqa: PLR2004 - a time and a value
        found = repr(",".join(names)[:60])
        raise FileError(
            f"{path}: the header is {found}; begin with timestamp,value or timestamp and a column per metric"
        )
    if len(names) > MAX_COLUMNS:
        raise FileError(f"{path}: the header has more than {MAX_COLUMNS} columns; leave some out")
    for place, name in enumerate(names[1:], 2):
        hostile = not name.isprintable() or any(sign in name for sign in _FORBIDDEN)
        if not name or len(name) > MAX_NAME or hostile:
            allowed = f"up to {MAX_NAME} signs, none of {_FORBIDDEN}"
            raise FileError(f"{path}: column {place} is named {name[:40]!r}; use {allowed}")
        if name in names[1 : place - 1]:
            raise FileError(f"{path}: two columns are named {name!r}; name each differently")
    return tuple(names[1:])


def _time(where: str, text: str) -> float:
    if _NUMBER.fullmatch(text):
        at = float(text)
        at = at / 1000 if at >= _MILLISECONDS else at
    else:
        try:
            moment = datetime.fromisoformat(text)
            at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise FileError(
                f"{where}: {text[:40]!r} is not a time; write Unix seconds or 2026-01-31T12:00:00Z"
            ) from None
    if not 0 <= at < _MILLISECONDS:
        raise FileError(f"{where}: {text[:40]!r} is not between 1970 and 5138; correct it")
    return at


def _value(where: str, text: str) -> float:
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    raise FileError(f"{where}: {text[:40]!r} is not a number; leave the cell empty if there is no value")
