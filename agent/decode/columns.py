"""Text of columns, ``21.5;44.1``: a cell is named by its column.

Columns count from 0, or have the titles of the first line. The cells are parted by ``;``, tabs, ``|`` or
commas, by the first of these that the text holds.
"""

import re
from typing import Any

from agent.decode.family import DecodeLimits, Skip
from agent.decode.times import is_epoch
from agent.decode.values import read_value

_SIGNS = (";", "\t", "|", ",")
_PARTS_A_READING = 2  # lines and cells of one message
_MAX_LINE = 1024
_MIN_NUMBERS = 2
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)", re.ASCII)  # 1,234.5 is one number


def is_columns(text: str) -> bool:
    """Return whether a line can only be columns of numbers: ``21.5;44.1``, but not ``21,5`` or a sentence."""
    if len(text) > _MAX_LINE or "\n" in text or not any(map(str.isdigit, text[:_MAX_LINE])):
        return False
    sign = next((one for one in _SIGNS if one in text), None)
    if sign is None or (sign == "," and not _parts_by_commas(text)):
        return False
    cells = [read_value(cell.strip().strip('"')) for cell in text.split(sign) if cell.strip()]
    numbers = sum(not isinstance(cell, Skip) for cell in cells)
    dates = sum(is_epoch(cell.strip()) and not cell.strip().isdigit() for cell in text.split(sign))
    void = sum(cell in {Skip.NO_VALUE, Skip.NOT_FINITE} for cell in cells)
    return numbers >= _MIN_NUMBERS and numbers + dates + void == len(cells)


def _parts_by_commas(text: str) -> bool:
    """Whether the commas of a line are between cells: ``21.5,44.1``, but not ``1.234,56`` or ``1,234.5``."""
    return "." in text and not _THOUSANDS.search(text) and isinstance(read_value(text), Skip)


def read_rows(text: str, limits: DecodeLimits) -> list[Any]:
    """Return each line as an object; lines that are too many as one mark behind them."""
    sign = next((one for one in _SIGNS if one in text), ",")
    rows: list[list[str]] = []
    left = _PARTS_A_READING * limits.max_readings
    for line in filter(str.strip, text.splitlines()):
        if left <= 0:
            break
        rows.append([cell.strip().strip('"') for cell in line.split(sign, limits.max_keys)])
        left -= 1 + len(rows[-1])
    names: list[str] = []
    if len(rows) > 1 and all(map(_is_title, rows[0])) and len(set(rows[0])) == len(rows[0]):
        names = rows.pop(0)
    return [*(_object(row, names, limits) for row in rows), *([] if left > 0 else [Skip.TOO_MANY])]


def _object(row: list[str], names: list[str], limits: DecodeLimits) -> dict[str, object]:
    made: dict[str, object] = {}
    for place, cell in enumerate(row):
        name = names[place] if place < len(names) else str(place)
        if place == limits.max_keys:
            made[name] = Skip.TOO_MANY
        else:
            made[name] = cell if len(cell) <= limits.max_string else Skip.TOO_LONG
    return made


def _is_title(cell: str) -> bool:
    """Whether a cell can only be the title of its column."""
    return bool(cell) and not cell[0].isdigit() and isinstance(read_value(cell[:64]), Skip)
