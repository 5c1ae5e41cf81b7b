"""Tag lists of industrial gateways: Kepware, Neuron, Advantech, Siemens, OPC.

A tag is named by its id or name alone, whatever the list around it is called. The generic family reads such
lists too, but there a list may be part of a name, and Neuron's map of errors is not a list.
"""

from typing import Any, ClassVar

from agent.decode.by_word import ByWord
from agent.decode.family import Content, Family, Skip
from agent.decode.json_text import parse_all
from agent.decode.json_values import JsonValues

_NEURON = frozenset({"values", "errors", "metas"})


class TagList(ByWord):
    """Decoder of tag lists."""

    flat: ClassVar[bool] = True

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return the values of all tags."""
        parsed, _ = parse_all(text, (), self.limits)
        return values.take_all([_tags(value) for value in parsed], metric)


def _tags(value: Any) -> Any:
    """Return Neuron's maps of values and of errors as one object; anything else as it is."""
    if type(value) is not dict or type(value.get("values")) is not dict:
        return value
    rest = {key: one for key, one in value.items() if key not in _NEURON}
    errors = value.get("errors")
    failed = dict.fromkeys(errors, Skip.NO_VALUE) if type(errors) is dict else {}
    return failed | value["values"] | rest


FAMILY: type[Family] = TagList
