"""Text of keys and values by its word; the generic family reads ``k=v,k=v`` too."""

from agent.decode.by_word import ByWord
from agent.decode.family import Content, Family
from agent.decode.json_values import JsonValues
from agent.decode.pairs import read_pairs


class KeyValue(ByWord):
    """Decoder of ``pe=51,kn=1145`` and ``t: 21.5; h: 40``."""

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the pairs as the metrics of one object."""
        return values.take(read_pairs(text, self.limits), metric)


FAMILY: type[Family] = KeyValue
