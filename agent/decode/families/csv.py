"""Comma-separated values by their word: a cell is named by its column.

Columns count from 0, or have the titles of the first line. The cells are parted by ``;``, tabs, ``|`` or
commas, by the first of these that the text holds.
"""

from typing import Any

from agent.decode.by_word import ByWord
from agent.decode.family import Content, DecodeLimits, Family, Skip
from agent.decode.json_values import JsonValues
from agent.decode.values import read_value

_PARTS_A_READING = 3  # lines and cells of one message
_SIGNS = (";", "\t", "|", ",")


class Csv(ByWord):
    """Decoder of lines of cells."""

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the cells of each line as the metrics of one object."""
        return values.take_all(_rows(text, self.limits) or [None], metric)


def _rows(text: str, limits: DecodeLimits) -> list[Any]:
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


FAMILY: type[Family] = Csv
