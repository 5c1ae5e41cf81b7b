"""The short way of plain payloads against the long way."""

from agent.decode.registry import Decoded, Registry
from agent.domain.records import DecodeError, Handling


def takes_short_way(
    registry: Registry, topic: str, payload: bytes, received: float, decoded: Decoded | DecodeError
) -> bool:
    """Return whether a message has the short way, which then reads what the long way read: ``decoded``."""
    plain = registry.plain(topic, payload, received)
    if plain is None:
        return False
    assert isinstance(decoded, Decoded)
    source, readings = plain
    assert decoded == Decoded(
        source=source,
        readings=readings,
        traceparent=None,
        text_only=False,
        retained=decoded.retained,
        device=decoded.device,
        family=decoded.family,
        handling=Handling.READ,
        received=received,
    )
    assert {(one.device, one.at, one.word) for one in readings} == {(decoded.device, received, None)}
    return True
