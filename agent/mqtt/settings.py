"""Settings, state and counters of the link, and the broker's drop count."""

import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from agent.domain.keys import Key

#: Mosquitto's counts since its start, published when they change, retained for a minute (its sys_tree.c).
BROKER_COUNTS = "$SYS/broker/publish/#"
BROKER_DROPS = "$SYS/broker/publish/messages/dropped"
RECENT_S = 600.0
MAX_RISES = 600


class BrokerDrops:
    """The broker's count of dropped messages, for all its clients together.

    Written by the net thread, read by any.
    """

    def __init__(self) -> None:
        self.total: int | None = None  # None: not received, for example without the right to read it
        self._rises: deque[tuple[float, int]] = deque(maxlen=MAX_RISES)
        self._unreported = 0
        self._reported_at = -RECENT_S

    def note(self, payload: bytes, now: float, *, live: bool = False) -> None:
        """Take the broker's count; text that is not a number is ignored. A restarted broker begins at 0.

        Mosquitto forgets the retained count after a minute without a change. So the first count is a rise
        by at least one message if it comes ``live``.
        """
        with suppress(ValueError):
            total = int(payload[:20])
            rise = min(total, int(live)) if self.total is None else total - self.total
            self.total = total
            if rise > 0:
                self._rises.append((now, rise))
                self._unreported += rise

    def recent(self, now: float) -> int:
        """Return how many were dropped in the last ten minutes."""
        return sum(rise for at, rise in list(self._rises) if now - at <= RECENT_S)

    def unreported(self, now: float) -> int:
        """Return the drops since the last call that returned any; every ten minutes at most."""
        if not self._unreported or now - self._reported_at < RECENT_S:
            return 0
        count, self._unreported, self._reported_at = self._unreported, 0, now
        return count


WEEK_S = 7 * 86_400
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Section ``mqtt`` of the configuration."""

    url: Annotated[str, Key("address of the broker; `mqtts://host:8883` for TLS")] = "mqtt://127.0.0.1:1883"
    require_tls: Annotated[bool, Key("`true` refuses an address without TLS")] = False
    username: Annotated[str | None, Key("login at the broker")] = None
    password_file: Annotated[Path | None, Key("file with the password alone", file="secret")] = None
    ca_file: Annotated[
        Path | None, Key("certificate of the broker's CA; default: the system's CAs", file="readable")
    ] = None
    cert_file: Annotated[
        Path | None, Key("client certificate, for mutual TLS; needs `key_file`", file="readable")
    ] = None
    key_file: Annotated[Path | None, Key("key of the client certificate", file="secret")] = None
    base_topic: Annotated[str, Key("verdicts, events, health and status are published below it")] = (
        "edge-agent/{id}"
    )
    client_id: Annotated[
        str | None,
        Key(
            "unique at the broker, `{id}` is the agent's name; default:"
            " `edge-agent-{id}-<hash of the machine id>`",
            min_length=1,
            max_length=128,
        ),
    ] = None
    keepalive_s: Annotated[int, Key("MQTT keep alive", ge=5, le=1200)] = 15
    max_intake_mib: Annotated[int, Key("memory for messages that are not journaled yet", ge=4, le=256)] = 4

    @property
    def tls(self) -> bool:
        """Whether the link is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's TCP port."""
        return urlsplit(self.url).port or (8883 if self.tls else 1883)


_DEFAULT = MqttSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """One broker and how to talk to it.

    ``password`` and the three files are read again at each connect, so that a renewed secret or certificate
    needs no restart. ``protocol`` is ``auto`` (5, then 3.1.1 when the broker refuses 5), ``5`` or ``3.1.1``.
    """

    host: str
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password: Callable[[], str | None] | None = None
    client_id: str
    base_topic: str
    version: str = ""
    protocol: str = "auto"
    keepalive_s: int = _DEFAULT.keepalive_s
    session_expiry_s: int = WEEK_S  # 0: the session ends with the connection
    fenced: bool = False  # the outbox waits on each connection until it is let out
    will: bool = True  # whether the broker publishes `offline` when the connection breaks
    commit_s: float = 0.1  # from the arrival of a message to its acknowledgement, at most
    receive_maximum: int = 500
    max_packet_size: int = MIB
    max_in_flight: int = 20
    connect_timeout_s: float = 5.0  # for each address, and again for the TLS handshake
    connack_timeout_s: float = 20.0
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 30.0
    takeover_silence_s: float = 300.0
    resubscribe_s: float = 60.0  # how often refused filters are asked for again

    @classmethod
    def of(
        cls,
        mqtt: MqttSettings,
        *,
        client_id: str,
        base_topic: str,
        version: str,
        password: Callable[[], str | None],
    ) -> "LinkSettings":
        """Return the settings of the link that section ``mqtt`` describes."""
        return cls(
            host=mqtt.host,
            port=mqtt.port,
            tls=mqtt.tls,
            ca_file=mqtt.ca_file,
            cert_file=mqtt.cert_file,
            key_file=mqtt.key_file,
            username=mqtt.username,
            password=password,
            client_id=client_id,
            base_topic=base_topic,
            version=version,
            keepalive_s=mqtt.keepalive_s,
        )

    @property
    def status_topic(self) -> str:
        """Where ``online`` and ``offline`` are retained."""
        return f"{self.base_topic}/status"

    def status(self, state: str, since: float | None = None) -> bytes:
        """Render the payload of the status topic; ``since`` is Unix seconds, None in the will."""
        at = None
        if since is not None:
            at = datetime.fromtimestamp(since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return json.dumps({"state": state, "version": self.version, "since": at}).encode()

    @property
    def address(self) -> str:
        """The broker as a person would write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One filter that we want, at QoS 0 or 1; without an ``optional`` one nothing is missing."""

    filter: str
    qos: int = 1
    optional: bool = False
    identifier: int = 0  # MQTT 5; another subscription overlaps this one in part
    replay: bool = False  # retained messages are wanted on each connection
    no_local: bool = False  # MQTT 5; our own messages are not wanted


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits of a broker from its CONNACK; MQTT 3.1.1 has none."""

    max_packet_size: int | None = None
    receive_maximum: int = 65_535
    max_qos: int = 2
    retain_available: bool = True
    session_expiry_s: int | None = None
    keepalive_s: int | None = None
    identifiers: bool = True  # of subscriptions


@dataclass(frozen=True, slots=True)
class LinkState:
    """A snapshot of the link. ``since`` is the wall time of the last change of ``connected``."""

    connected: bool = False
    subscribed: bool = False  # the SUBACK came and granted at least one filter
    protocol: str | None = None  # "5" or "3.1.1" once connected
    since: float = 0.0
    generation: int = 0  # of the last connection
    session_present: bool | None = None
    last_error: str | None = None  # in words, with the remedy; kept until connected and subscribed
    refused: tuple[str, ...] = ()  # filters that the broker refused
    downgraded: tuple[str, ...] = ()  # filters granted at a lower QoS than asked for
    filters: tuple[str, ...] = ()  # that the session may hold: journal them before they change
    stalled: bool = False  # intake was full: what arrives is dropped unacknowledged until a reconnect
    silent_until: float | None = None  # wall; the client id was taken over too often
    limits: BrokerLimits = BrokerLimits()


@dataclass(slots=True)
class LinkStats:
    """Counters of the link, written by the net thread alone."""

    received: int = 0
    received_bytes: int = 0  # payload
    dropped: dict[str, int] = field(
        default_factory=lambda: {"intake_full": 0, "stopping": 0, "qos2": 0, "announcement": 0}
    )
    connects: int = 0
    connect_failures: int = 0
    takeovers: int = 0  # times that we backed off because another client uses our id
    published: int = 0  # acknowledged below 0x80
    publish_refused: int = 0
    in_flight: int = 0
    acks_sent: int = 0
    acks_stale: int = 0
    broker_drops: BrokerDrops = field(default_factory=BrokerDrops)  # the broker's own

    @property
    def reconnects(self) -> int:
        """Connections after the first."""
        return max(0, self.connects - 1)
