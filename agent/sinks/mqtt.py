"""The broker as a sink: the key of a message is its topic, a PUBACK is its answer."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from urllib.parse import quote

from agent.domain.messages import Outgoing
from agent.mqtt import REFUSED
from agent.sinks.sink import Answer, Delivered, MessageKind, Refused, Route

NAME = "mqtt"
MAX_LEVEL_BYTES = 120
HASH_BYTES = 20


class MqttSink:
    """Publishes at QoS 1 through the link, which sends again what a lost connection left unanswered."""

    name = NAME
    title = "the broker"
    pipelined = True

    def __init__(self, *, publish: Callable[[Sequence[Outgoing]], None], base_topic: str) -> None:
        self._publish = publish
        self._remedy = f"allow the agent to write below {base_topic}/, or raise the broker's packet limit"
        self._unanswered: dict[int, Callable[[Answer], object]] = {}

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Hand a message to the net thread."""
        self._unanswered[message.outbox_id] = answer  # first: the PUBACK comes on another thread
        self._publish((message,))

    def acknowledged(self, outbox_id: int, code: int) -> None:
        """Answer for a PUBACK, or for a message that the link cannot send; on the net thread."""
        answer = self._unanswered.pop(outbox_id)
        if code < REFUSED:
            answer(Delivered())
        else:
            answer(Refused(reason=f"reason code 0x{code:02x}", remedy=self._remedy, code=code))


def mqtt_routes(base_topic: str) -> tuple[Route, ...]:
    """Return the routes of verdicts, events and incidents below ``base_topic``."""
    return (
        Route(
            sink=NAME,
            kind=MessageKind.VERDICT,
            key=lambda device: f"{base_topic}/verdicts/{encode_device(device)}",
            retain=True,
            settles=True,
        ),
        Route(
            sink=NAME,
            kind=MessageKind.EVENT,
            key=lambda device: f"{base_topic}/events/{encode_device(device)}",
            settles=True,
        ),
        Route(
            sink=NAME,
            kind=MessageKind.INCIDENT,
            key=lambda incident: f"{base_topic}/incidents/{incident}",
            retain=True,
        ),
    )


def encode_device(device: str) -> str:
    """Return ``device`` as one topic level without wildcards, never the same for two devices.

    Every character outside ``[A-Za-z0-9_-]`` is percent-encoded with ``=`` in place of ``%``; above 120 bytes
    it is ``=~`` and a hash. So ``=gateway``, the level of the gateway itself, is never a device's.
    """
    # quote() leaves `.` and `~` alone; neither can come out of it otherwise.
    level = quote(device, safe="", errors="surrogatepass").replace(".", "%2E").replace("~", "%7E")
    level = level.replace("%", "=")
    if len(level) <= MAX_LEVEL_BYTES and level:
        return level
    return "=~" + blake2b(device.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).hexdigest()
