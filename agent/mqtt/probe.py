"""Probe of the broker with short-lived connections, for two commands.

The findings are data: nothing is raised for a broker that is down or refuses. :func:`examine` publishes one
message, which is not retained; :func:`listen` publishes nothing. Neither acknowledges a message.
"""

import select
import ssl
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

from paho.mqtt.client import topic_matches_sub

from agent.domain.records import Reply
from agent.domain.tls import is_tls_socket
from agent.mqtt.connection import Connection
from agent.mqtt.dial import dial
from agent.mqtt.errors import REFUSED, UNSUPPORTED_PROTOCOL, ErrorText, of_code, of_error
from agent.mqtt.paho_client import Accepted, Denied, Dropped, Event, Published, Subscribed
from agent.mqtt.settings import BROKER_COUNTS, BROKER_DROPS, BrokerLimits, LinkSettings, Subscription
from agent.mqtt.wire import LOST, Take, WireError

ANSWER_S = 5.0  # for each answer of the broker
SETTLE_S = 0.2  # messages that the broker sends together have come then
KEPT_S = 60


@dataclass(slots=True)
class Examined:
    """The findings. Codes are MQTT 5 reason codes; below 0x80 is granted."""

    trouble: ErrorText | None = None  # why there is no connection
    lost: ErrorText | None = None  # why it ended before all was tried
    protocol: str = ""
    tls: str = ""  # version and cipher
    expires: float | None = None  # when the broker's certificate does, Unix seconds
    limits: BrokerLimits = field(default_factory=BrokerLimits)
    granted: dict[str, int | None] = field(default_factory=dict)  # by filter; None: no SUBACK came
    heard: dict[str, int] = field(default_factory=dict)  # messages that came on each filter meanwhile
    dropped: int | None = None  # the count of $SYS, None if it did not come
    counts_heard: bool = False  # other counts of the broker came, which change more often
    published: int | None = None  # code of our publish, None: no PUBACK came
    removed: dict[str, int | None] = field(default_factory=dict)  # the same of empty messages, by topic
    session_kept: bool | None = None  # None: it could not be tried
    session_trouble: str = ""


def examine(
    settings: LinkSettings,
    subscriptions: Sequence[Subscription],
    *,
    busy: Collection[str],
    listen_s: float,
    empty: Sequence[str] = (),
) -> Examined:
    """Connect according to ``settings``, subscribe, publish to ``<base topic>/doctor``; return the findings.

    Args:
        settings: of the agent, with a client id that nobody else uses.
        subscriptions: the filters that the agent asks for.
        busy: those of the filters that messages are expected on at any time.
        empty: further topics to publish to, an empty message that is not retained.
        listen_s: how long to listen for messages on them, at most; what is retained comes at once.
    """
    found = Examined()
    brief = replace(settings, session_expiry_s=0, will=False)
    call = open_call(brief, "5", found)
    if call is None and found.trouble is not None and found.protocol == "3.1.1":
        call = open_call(brief, "3.1.1", found)
    if call is None:
        return found
    found.trouble = None
    try:
        with call:
            _ask(call, settings, subscriptions, found, empty)
            if call.wait(lambda: _all_heard(call, busy), listen_s):
                call.wait(lambda: False, SETTLE_S)  # of the broker's counts the first one is not the drops
            _count(call, found)
    except WireError as error:
        found.lost = call.trouble or ErrorText(str(error), "look at the broker's log")
    _try_session(settings, found)
    return found


@dataclass(slots=True)
class Listened:
    """The end of :func:`listen`."""

    trouble: ErrorText | None = None  # why there is no connection
    lost: ErrorText | None = None  # why it ended early
    refused: tuple[str, ...] = ()  # filters
    seconds: float = 0.0


def listen(settings: LinkSettings, filters: Sequence[str], *, take: Take, for_s: float) -> Listened:
    """Subscribe at QoS 0 in a clean session and pass on every message; Ctrl-C ends it early.

    Args:
        settings: of the broker, with a client id that nobody else uses.
        filters: MQTT filters.
        take: receives first byte, topic, packet id, payload and user properties of each message.
        for_s: how long.
    """
    ended, found = Listened(), Examined()
    brief = replace(settings, session_expiry_s=0, will=False)
    call = open_call(brief, "5", found, take)
    if call is None and found.trouble is not None and found.protocol == "3.1.1":
        call = open_call(brief, "3.1.1", found, take)
    if call is None:
        ended.trouble = found.trouble
        return ended
    begun = time.monotonic()
    try:
        with call:
            asked = {one: call.connection.client.subscribe([Subscription(one, 0)]) for one in filters}
            call.wait(lambda: all(mid in call.codes for mid in asked.values()), ANSWER_S)
            codes = {one: call.codes.get(mid, (REFUSED,))[0] for one, mid in asked.items()}
            ended.refused = tuple(one for one, code in codes.items() if code >= REFUSED)
            if len(ended.refused) < len(asked):
                call.wait(lambda: False, for_s)
    except KeyboardInterrupt:
        pass
    except WireError as error:
        ended.lost = call.trouble or ErrorText(str(error), "look at the broker's log")
    ended.seconds = time.monotonic() - begun
    return ended


@dataclass(slots=True)
class Answered:
    """The end of :func:`request`."""

    trouble: ErrorText | None = None  # why it could not be sent
    code: int = 0  # of a refused publish or subscription, 0x80 and above
    payload: bytes | None = None  # of the answer, None when none came in time


def request(
    settings: LinkSettings,
    topic: str,
    payload: bytes,
    *,
    answers: str,
    is_answer: Callable[[bytes], bool],
    for_s: float,
) -> Answered:
    """Publish one message at QoS 1 and wait for its answer on another topic.

    Args:
        settings: of the broker, with a client id that nobody else uses.
        topic: of the message.
        payload: of the message.
        answers: the topic of answers.
        is_answer: whether a payload there is the answer to this message.
        for_s: how long to wait for it.
    """
    found: list[bytes] = []

    def take(_first: int, name: bytes, _mid: int, body: bytes, *_more: object) -> None:
        if name == answers.encode() and is_answer(body):
            found.append(body)

    ended, looked = Answered(), Examined()
    brief = replace(settings, session_expiry_s=0, will=False)
    call = open_call(brief, "5", looked, take)
    if call is None and looked.trouble is not None and looked.protocol == "3.1.1":
        call = open_call(brief, "3.1.1", looked, take)
    if call is None:
        ended.trouble = looked.trouble
        return ended
    try:
        with call:
            asked = call.connection.client.subscribe([Subscription(answers, 1)])
            call.wait(lambda: asked in call.codes, ANSWER_S)
            mid = call.connection.client.publish(topic, payload, retain=False, response_topic=answers)
            call.wait(lambda: mid in call.published, ANSWER_S)
            ended.code = max(*call.codes.get(asked, (0,)), call.published.get(mid, 0))
            if ended.code < REFUSED:
                call.wait(lambda: bool(found), for_s)
    except WireError as error:
        ended.trouble = call.trouble or ErrorText(str(error), "look at the broker's log")
    ended.payload = found[0] if found else None
    return ended


@dataclass(slots=True)
class Cleared:
    """The end of :func:`clear`."""

    trouble: ErrorText | None = None  # why there is no connection, or why it ended early
    codes: dict[str, int | None] = field(default_factory=dict)  # of each empty message, by topic


def clear(
    settings: LinkSettings,
    filter_: str,
    *,
    ours: Callable[[str, bytes], bool],
    more: Sequence[str],
    for_s: float,
) -> Cleared:
    """Remove retained messages: publish an empty one to each topic.

    Args:
        settings: of the broker, with a client id that nobody else uses.
        filter_: the retained messages to look at, during ``for_s``.
        ours: whether a topic with its payload is to be removed.
        more: topics that are cleared as well.
        for_s: how long to wait for retained messages.
    """
    ended, found = Cleared(), Examined()
    topics = dict.fromkeys(more)

    def take(_first: int, topic: bytes, _mid: int, payload: bytes, *_more: object) -> None:
        name = topic.decode(errors="replace")
        if ours(name, payload):
            topics[name] = None

    brief = replace(settings, session_expiry_s=0, will=False)
    call = open_call(brief, "5", found, take)
    if call is None and found.trouble is not None and found.protocol == "3.1.1":
        call = open_call(brief, "3.1.1", found, take)
    if call is None:
        ended.trouble = found.trouble
        return ended
    try:
        with call:
            call.connection.client.subscribe([Subscription(filter_, 0)])
            call.wait(lambda: False, for_s)
            ended.codes = _publish_empty(call, list(topics), retain=True)
    except WireError as error:
        ended.trouble = call.trouble or ErrorText(str(error), "look at the broker's log")
    return ended


class Call:
    """One connection, run by the function that waits for a packet on it."""

    def __init__(self, settings: LinkSettings, protocol: str, take: Take | None = None) -> None:
        self._settings = settings
        self.accepted: Accepted | None = None
        self.trouble: ErrorText | None = None
        self.code = 0
        self.codes: dict[int, tuple[int, ...]] = {}
        self.published: dict[int, int] = {}
        self.heard: list[tuple[str, bytes]] = []
        dialled = dial(settings, protocol=protocol)
        self.sock = dialled.sock
        self.connection = Connection(
            settings=settings,
            dialled=dialled,
            protocol=protocol,
            take=take or self._take,
            on_event=self._on_event,
            mono=time.monotonic,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(WireError, OSError):
            self.connection.part()

    def wait(self, done: Callable[[], bool], limit_s: float) -> bool:
        """Read and write until ``done``; return whether it came to that in time.

        Raises:
            WireError: the connection is over.
        """
        deadline = time.monotonic() + limit_s
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self.accepted is not None and not self.connection.keep_alive(time.monotonic()):
                raise WireError(LOST)
            self.connection.write()
            if self.connection.wire.closed:
                raise WireError(LOST)
            if self.connection.read() or self.connection.wire.closed:
                continue
            select.select([self.sock], [], [], min(left, 0.1))
        return True

    def open(self) -> bool:
        """Wait for the CONNACK; return whether it let us in."""
        try:
            answered = self.wait(lambda: self.accepted is not None or self.trouble is not None, ANSWER_S)
        except WireError as error:
            self.trouble = self.trouble or ErrorText(
                f"{self._settings.address}: {error}",
                "look at the broker's log; is the port right, or for mqtts://?",
            )
            return False
        if not answered:
            self.trouble = ErrorText(
                f"{self._settings.address}: no CONNACK within {ANSWER_S:.0f} s", "is it an MQTT port?"
            )
        return self.accepted is not None

    def _take(
        self,
        _first: int,
        topic: bytes,
        _mid: int,
        payload: bytes,
        _pairs: tuple[tuple[str, str], ...],
        _identifiers: tuple[int, ...] = (),
        _reply: Reply | None = None,
        /,
    ) -> None:
        name = topic.decode(errors="replace")
        self.heard.append((name, payload if name == BROKER_DROPS else b""))

    def _on_event(self, event: Event) -> None:
        match event:
            case Accepted():
                self.accepted = event
            case Denied(code):
                self.code, self.trouble = code, of_code(code)
            case Dropped(code):
                self.trouble = self.trouble or of_code(code)
            case Subscribed(mid, codes):
                self.codes[mid] = codes
            case Published(mid, code):
                self.published[mid] = code


def open_call(
    settings: LinkSettings, protocol: str, found: Examined, take: Take | None = None
) -> Call | None:
    """Open a connection; on failure note why, and in ``found.protocol`` what is worth trying instead."""
    found.protocol = protocol
    try:
        call = Call(settings, protocol, take)
    except Exception as error:  # noqa: BLE001 - also what reading a secret raises; all is for the user
        found.trouble = (
            of_error(error, settings.address) if isinstance(error, OSError) else ErrorText(str(error), "")
        )
        return None
    if call.open() and call.accepted is not None:
        found.limits = call.accepted.limits
        _look_at_tls(call, found)
        return call
    found.trouble = call.trouble
    call.connection.close()
    if protocol == "5" and call.code in (0, UNSUPPORTED_PROTOCOL):
        found.protocol = "3.1.1"
    return None


def _look_at_tls(call: Call, found: Examined) -> None:
    if is_tls_socket(call.sock):
        cipher = call.sock.cipher()
        found.tls = f"{call.sock.version()}, {cipher[0]}" if cipher else str(call.sock.version())
        until = (call.sock.getpeercert() or {}).get("notAfter")
        if isinstance(until, str):
            found.expires = float(ssl.cert_time_to_seconds(until))


def _ask(
    call: Call,
    settings: LinkSettings,
    subscriptions: Sequence[Subscription],
    found: Examined,
    empty: Sequence[str],
) -> None:
    """Subscribe filter by filter, then publish."""
    client = call.connection.client
    asked = {one.filter: client.subscribe([replace(one, identifier=0)]) for one in subscriptions}
    client.subscribe([Subscription(BROKER_COUNTS, 0)])
    call.wait(lambda: all(mid in call.codes for mid in asked.values()), ANSWER_S)
    found.granted = {name: call.codes.get(mid, (None,))[0] for name, mid in asked.items()}
    if not found.limits.max_qos:
        return  # the broker would end the connection
    mid = client.publish(f"{settings.base_topic}/doctor", b'{"doctor":true}', retain=False)
    call.wait(lambda: mid in call.published, ANSWER_S)
    found.published = call.published.get(mid)
    found.removed = _publish_empty(call, empty, retain=False)


def _publish_empty(call: Call, topics: Sequence[str], *, retain: bool) -> dict[str, int | None]:
    """Publish an empty message to each topic; return the codes of the PUBACKs."""
    codes: dict[str, int | None] = {}
    for topic in topics:
        mid = call.connection.client.publish(topic, b"", retain=retain)
        call.wait(lambda mid=mid: mid in call.published, ANSWER_S)  # type: ignore[misc]
        codes[topic] = call.published.get(mid)
    return codes


def _count(call: Call, found: Examined) -> None:
    found.heard = {
        name: sum(topic_matches_sub(name, topic) for topic, _ in call.heard) for name in found.granted
    }
    for topic, payload in call.heard:
        if topic == BROKER_DROPS and payload.isdigit():
            found.dropped = int(payload[:20])
    found.counts_heard = any(topic_matches_sub(BROKER_COUNTS, topic) for topic, _ in call.heard)


def _all_heard(call: Call, busy: Collection[str]) -> bool:
    topics = {topic for topic, _ in call.heard}
    return all(any(topic_matches_sub(name, topic) for topic in topics) for name in (*busy, BROKER_COUNTS))


def _try_session(settings: LinkSettings, found: Examined) -> None:
    """Leave a session behind under a further client id, look whether it is there, and remove it."""
    kept = replace(settings, client_id=f"{settings.client_id}-session", session_expiry_s=KEPT_S, will=False)
    for attempt in (kept, kept, replace(kept, session_expiry_s=0)):
        call = open_call(attempt, found.protocol, spare := Examined())
        if call is None:
            found.session_trouble = str(spare.trouble or "")
            return
        with call:
            if attempt is kept and call.accepted is not None:
                found.session_kept = call.accepted.session_present
