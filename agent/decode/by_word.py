"""Families of a text format that only the word of ``format:`` chooses."""

from typing import ClassVar

from agent.decode.family import Content, DecodeLimits, Properties, Route
from agent.decode.json_text import to_text
from agent.decode.json_values import JsonValues
from agent.decode.times import moment_of


class ByWord:
    """A family that ``auto`` does not ask; the generic one reads what it can be sure of."""

    topics: ClassVar[tuple[str, ...]] = ()
    flat: ClassVar[bool] = False  # the names of arrays are not part of the metrics

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self.limits = limits
        self._max_future_skew_s = max_future_skew_s

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: it has no topics."""
        return False

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        text, notes = to_text(payload, self.limits)
        values = JsonValues(
            device=route.device,
            moment=moment_of(properties, received, self._max_future_skew_s),
            max_skew_s=self._max_future_skew_s,
            limits=self.limits,
            reader=route.reader,
            notes=notes,
            flat=self.flat,
        )
        return self.take(values, text, route.metric)

    def take(self, values: JsonValues, text: str, metric: str | None) -> Content:
        """Return what ``text`` holds, by way of ``values``."""
        raise NotImplementedError
