"""One connection from CONNECT to its end: wire, paho client and keepalive."""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress

from agent.mqtt.dial import Dialled
from agent.mqtt.errors import REFUSED, ErrorText, of_error, of_refusal
from agent.mqtt.paho_client import Accepted, Event, PahoClient, Published
from agent.mqtt.settings import LinkSettings
from agent.mqtt.takeover import Ending, TakeoverDetector
from agent.mqtt.wire import MALFORMED, Take, Wire, WireError
from agent.testing.failpoint import failpoint

EXCUSE_S = 5.0
PINGREQ = b"\xc0\x00"


class Connection:
    """Reads, writes and keeps alive one connection. All on the net thread; ``mono`` gives its clock.

    ``take`` gets what the broker publishes, ``on_event`` everything else, in the order of the wire.
    """

    def __init__(
        self,
        *,
        settings: LinkSettings,
        dialled: Dialled,
        protocol: str,
        take: Take,
        on_event: Callable[[Event], None],
        mono: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._take = take
        self._on_event = on_event
        self._mono = mono
        self.protocol = protocol
        self.wire = Wire(
            dialled.sock,
            v5=protocol == "5",
            max_packet_size=settings.max_packet_size,
            take=_take_too_early,
            control=self._take_control,
        )
        self.client = PahoClient(
            settings=settings, wire=self.wire, protocol=protocol, password=dialled.password
        )
        self._keepalive_s = settings.keepalive_s
        self._heard = self._spoke = self._opened = mono()
        self._ping_at: float | None = None
        self._accepted = False
        self._over = False
        self._refused_at = -math.inf  # when the broker last refused a publish
        self._gathered: set[str] = set()  # failpoints of packets that wait for the socket
        self.detector = dialled.detector
        self.client.open()

    def read(self) -> int:
        """Read at most 16 KiB; return how many bytes, 0 when there were none.

        Raises:
            WireError: the connection is over.
        """
        size = self.wire.fill()
        if size:
            self._heard = self._mono()
            self._ping_at = None
        return size

    def write(self) -> None:
        """Send the bytes of paho and the acks.

        Raises:
            WireError: the connection is over.
        """
        if self.client.wants_write:
            self.client.write()
            self._hand_on()
        if self.wire.wants_write:
            self.wire.flush()
            self._spoke = self._mono()
            self._pass_gathered()

    def _pass_gathered(self) -> None:
        if not self.wire.wants_write:
            for point in self._gathered:
                failpoint(point)
            self._gathered.clear()

    def keep_alive(self, now: float) -> bool:
        """Send a PINGREQ when it is time; return False when no CONNACK, or nothing since the last, has come.

        Any byte from the broker counts as life: behind a long backlog the PINGRESP itself may be late.
        """
        if now < self.due:
            return True
        if self._ping_at is not None or not self._accepted:
            return False
        self._ping_at = self._spoke = now
        self.wire.send(PINGREQ)
        return True

    @property
    def doubted(self) -> bool:
        """Whether a sign of life is due from the broker: its socket must be read."""
        return self._ping_at is not None or not self._accepted

    @property
    def due(self) -> float:
        """When ``keep_alive`` has something to do."""
        if not self._accepted:
            return self._opened + self._settings.connack_timeout_s
        if not self._keepalive_s:
            return math.inf
        since = min(self._heard, self._spoke) if self._ping_at is None else self._ping_at
        return since + self._keepalive_s

    def ack(self, mids: Iterable[int]) -> None:
        """Send a PUBACK for each packet id, in the order given."""
        self.wire.send(b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids]))
        self._gathered.add("c4_ack_sent")

    def passes(self, point: str) -> None:
        """Pass a failpoint once all that is gathered now has been handed to the kernel."""
        self._gathered.add(point)

    def part(self) -> None:
        """Send DISCONNECT: the broker keeps the session and drops the will."""
        self._over = True
        with suppress(WireError):
            self.write()
            self.client.disconnect()
        self.close()

    def close(self) -> None:
        """End it; without a DISCONNECT before, the broker publishes the will."""
        self._over = True
        self.wire.close()
        if self.detector is not None:
            self.detector.close()

    def classify_loss(self) -> Ending:
        """Ask the take-over detector how this connection ended.

        Mosquitto 2.0.11 with ``max_queued_messages 0`` closes the connection after a publish that it refuses.
        """
        if self.detector is None or self._excused:
            return Ending.UNKNOWN
        return self.detector.classify_loss()

    def describe(self, error: WireError) -> ErrorText:
        """Describe the end of this connection."""
        if error.hung_up and self._excused:
            return of_refusal(self._settings.address)
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else None
        return of_error(cause or error, self._settings.address, accepted=self._accepted)

    @property
    def _excused(self) -> bool:
        return self._mono() - self._refused_at < EXCUSE_S

    def release_detector(self) -> TakeoverDetector | None:
        """Return the detector; it no longer ends with this connection."""
        detector, self.detector = self.detector, None
        return detector

    def _take_control(self, packet: bytes) -> None:
        self.client.feed(packet)
        self._hand_on()

    def _hand_on(self) -> None:
        """Pass on the events of paho; none once the link has closed this connection."""
        events = self.client.events
        while events and not self._over:
            event = events.popleft()
            if isinstance(event, Accepted):
                if self._accepted:
                    raise WireError(MALFORMED)
                self._accepted = True
                self.wire.take = self._take
                if event.limits.keepalive_s is not None:
                    self._keepalive_s = event.limits.keepalive_s
            elif isinstance(event, Published) and event.code >= REFUSED:
                self._refused_at = self._mono()
            self._on_event(event)


def _take_too_early(*_publish: object) -> None:
    """Refuse a PUBLISH before the CONNACK: it belongs to no generation."""
    raise WireError(MALFORMED)
