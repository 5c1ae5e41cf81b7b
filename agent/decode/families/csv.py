"""Comma-separated values by their word: a cell is named by its column.

Columns count from 0, or have the titles of the first line. The cells are parted by ``;``, tabs, ``|`` or
commas, by the first of these that the text holds.
"""

from itertools import islice

from agent.decode.by_word import ByWord
from agent.decode.family import Content, DecodeLimits, Family, Skip
from agent.decode.json_values import JsonValues
from agent.decode.values import read_value

_SIGNS = (";", "\t", "|", ",")


class Csv(ByWord):
    """Decoder of lines of cells."""

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the cells of each line as the metrics of one object."""
        return values.take_all(_rows(text, self.limits) or [None], metric)


def _rows(text: str, limits: DecodeLimits) -> list[dict[str, object]]:
    """Return each line as an object."""
    sign = next((one for one in _SIGNS if one in text), ",")
    lines = (line for line in text.splitlines() if line.strip())
    rows = [
        [cell.strip().strip('"') for cell in line.split(sign, limits.max_keys)]
        for line in islice(lines, limits.max_readings)
    ]
    names: list[str] = []
    if len(rows) > 1 and all(map(_is_title, rows[0])) and len(set(rows[0])) == len(rows[0]):
        names = rows.pop(0)
    return [_object(row, names, limits) for row in rows]


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
