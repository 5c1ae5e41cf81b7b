"""Columns by their word; ``auto`` reads only what can be nothing else."""

from agent.decode.by_word import ByWord
from agent.decode.columns import read_rows
from agent.decode.family import Content, Family
from agent.decode.json_values import JsonValues


class Csv(ByWord):
    """Decoder of lines of cells."""

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the cells of each line as the metrics of one object."""
        return values.take_all(read_rows(text, self.limits) or [None], metric)


FAMILY: type[Family] = Csv
