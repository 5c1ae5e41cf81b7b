"""InfluxDB line protocol by its word; the generic family knows it too."""

from agent.decode.by_word import ByWord
from agent.decode.family import Content, Family
from agent.decode.influx_line import take_lines
from agent.decode.json_values import JsonValues


class Influx(ByWord):
    """Decoder of line protocol."""

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the fields of all lines."""
        return take_lines(values, text, metric, self.limits)


FAMILY: type[Family] = Influx
