"""Probe of shared subscriptions: the topics that each member of a group gets."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from agent.mqtt.errors import REFUSED, ErrorText
from agent.mqtt.probe import ANSWER_S, Call, Examined, open_call
from agent.mqtt.settings import LinkSettings, Subscription
from agent.mqtt.wire import WireError

MEMBERS, TOPICS, ROUNDS = 3, 8, 6
TURN_S = 0.05


@dataclass(slots=True)
class Dealt:
    """The messages of the probe, by topic and member."""

    trouble: ErrorText | None = None  # why there is no answer
    refused: int = 0  # code of a refused subscription or publish
    received: dict[str, Counter[int]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether each message came to one member."""
        return [sum(one.values()) for one in self.received.values()] == [ROUNDS] * TOPICS

    @property
    def kept(self) -> bool:
        """Whether each topic stayed with one member."""
        return all(len(one) == 1 for one in self.received.values())

    @property
    def members(self) -> int:
        """The members that got any message."""
        return len({member for one in self.received.values() for member in one})


def probe_group(settings: LinkSettings) -> Dealt:
    """Let some clients share ``<base>/doctor/group/+``, and publish some messages on each of some topics.

    The messages are not retained and the sessions end with the connections.
    """
    found = Dealt()
    below = f"{settings.base_topic}/doctor/group"
    received: list[tuple[int, str]] = []
    brief = replace(settings, session_expiry_s=0, will=False)
    try:
        with ExitStack() as stack:
            calls: list[Call] = []
            for member in range(MEMBERS):
                name = f"{settings.client_id}-group-{member}"
                call = open_call(
                    replace(brief, client_id=name), "5", looked := Examined(), _note(received, member)
                )
                if call is None:
                    found.trouble = looked.trouble or ErrorText("no MQTT 5", "use a broker that speaks it")
                    return found
                calls.append(stack.enter_context(call))
                mid = call.connection.client.subscribe([Subscription(f"$share/doctor/{below}/+", 0)])
                call.wait(lambda call=call, mid=mid: mid in call.codes, ANSWER_S)  # type: ignore[misc]
                found.refused = max(found.refused, *call.codes.get(mid, (0,)))
            if found.refused < REFUSED:
                _deal(calls, below, received, found)
    except WireError as error:
        found.trouble = ErrorText(str(error), "look at the broker's log")
    for member, topic in received:
        found.received.setdefault(topic, Counter())[member] += 1
    return found


def _note(received: list[tuple[int, str]], member: int) -> Callable[..., None]:
    def take(_first: int, topic: bytes, *_more: object) -> None:
        received.append((member, topic.decode(errors="replace")))

    return take


def _deal(calls: list[Call], below: str, received: list[tuple[int, str]], found: Dealt) -> None:
    """Publish in rounds over all topics, and read until all messages have come back."""
    sender = calls[0]
    for _ in range(ROUNDS):
        mids = [
            sender.connection.client.publish(f"{below}/{topic}", b"{}", retain=False)
            for topic in range(TOPICS)
        ]
        sender.wait(lambda mids=mids: all(mid in sender.published for mid in mids), ANSWER_S)  # type: ignore[misc]
        found.refused = max(found.refused, *(sender.published.get(mid, 0) for mid in mids))
    until = time.monotonic() + ANSWER_S
    while len(received) < ROUNDS * TOPICS and time.monotonic() < until and found.refused < REFUSED:
        for call in calls:
            call.wait(lambda: False, TURN_S)
