"""Decoding of one arrival, with the report of a decoder that fails by our fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from agent.decode.partition import Partition
from agent.decode.registry import EXCLUDED, Decoded, Registry
from agent.domain.records import Arrival, DecodeError, DecodeReason, Posted, Reading

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Receiver(Generic[T]):
    """Decodes readings by the registry, and messages on the agent's own topics by ``own``.

    ``wall_at`` gives the wall time of an arrival from its monotonic and its real time of receipt; ``note``
    gets a fault of ours and the topic. ``publish`` takes the topic and payload of a family's request, such
    as that for a birth; it may drop them. ``incomplete``: whether the broker refused a subscription.
    ``partition`` leaves out the devices of other agents.
    """

    registry: Registry
    own: Mapping[str, Callable[[bytes], T]]
    wall_at: Callable[[float, float], float]
    note: Callable[[BaseException, str], None]
    publish: Callable[[str, bytes], None] = lambda _topic, _payload: None
    incomplete: Callable[[], bool] = lambda: False
    partition: Partition | None = None

    def plain(self, arrival: Arrival) -> tuple[str, tuple[Reading, ...]] | None:
        """Return source and readings of a message that holds nothing else; see :meth:`Registry.plain`.

        Without readings it is another partition's.
        """
        if arrival.properties or arrival.identifiers:
            return None
        received = self.wall_at(arrival.mono, arrival.received)
        try:
            found = self.registry.plain(arrival.topic, arrival.payload, received)
        except Exception:  # noqa: BLE001 - :meth:`decode` comes next, and reports it
            return None
        if found is None or self.partition is None or not self.partition.refuses(found[1][0].device):
            return found
        return found[0], ()

    def decode(self, arrival: Arrival) -> Decoded | T:
        """Return the content of a message.

        Raises:
            DecodeError: with the reason for the quarantine.
            Exception: a fault of ours, which was reported; the message belongs into quarantine.
        """
        try:
            return self._decode(arrival)
        except (DecodeError, UnicodeEncodeError, MemoryError) as error:
            if isinstance(error, DecodeError):
                error.source, error.device = self.registry.place(arrival.topic)
                excluded_by = self._excluded_by(error, arrival.topic)
                if excluded_by is not None:
                    return EXCLUDED._replace(source=error.source, excluded_by=excluded_by)
                if error.reason is DecodeReason.DECODER_FAULT:
                    self.note(error.__cause__ or error, arrival.topic)
            raise
        except Exception as error:
            self.note(error, arrival.topic)
            raise

    def _decode(self, arrival: Arrival) -> Decoded | T:
        own = self.own.get(arrival.topic)
        if own is not None:
            return own(arrival.payload)
        received = self.wall_at(arrival.mono, arrival.received)
        identifiers = arrival.identifiers
        if identifiers and self.incomplete():
            identifiers = ()  # a refused filter brings no copy: any other counts
        decoded = self.registry.decode(
            arrival.topic, arrival.payload, received, arrival.properties, identifiers
        )
        if decoded.request is not None:
            self.publish(*decoded.request)
        if self.partition is None:
            return decoded
        return self.partition.keep(decoded, arrival.topic, whole=isinstance(arrival, Posted))

    def _excluded_by(self, error: DecodeError, topic: str) -> str | None:
        """Return why an unreadable message is another partition's; what people send is always ours."""
        device = error.device or topic
        if self.partition is None or topic in self.own or not self.partition.refuses(device):
            return None
        return self.partition.whose((device,))
