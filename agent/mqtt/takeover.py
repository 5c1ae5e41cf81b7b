"""Take-over detection with a second connection under another client id.

Mosquitto 2.0.11 sends no DISCONNECT when another client takes over a client id, it just closes. So do a
broker that dies and a proxy that restarts; but they close the second connection too. And a link that was
merely cut makes the broker publish our last will, which it drops if a client that keeps its session takes
the id.
"""

import select
import socket
import time
from contextlib import suppress
from enum import Enum
from json import loads
from secrets import token_hex
from typing import Self

from agent.domain.tls import must_wait
from agent.mqtt.settings import LinkSettings

KEEPALIVE_S = 900  # longer than the time to observe: a minute, then the silence
GRACE_S = 1.0  # for the will, or for the end of the second connection, to arrive
CONNACK = 0x20
PUBLISH, RETAIN = 0x30, 0x01
MAX_HEARD = 1 << 16
MAX_READS = 64  # in one turn: a flood of its topic must not hold the net thread


class Ending(Enum):
    """The way in which the broker ended a connection."""

    UNKNOWN = "unknown"  # there is no detector, or its connection ended as well
    CUT = "cut"  # the broker published our will
    TAKEN = "taken"  # the detector is connected and there was no will: another client has our id


class TakeoverDetector:
    """The second connection, accepted by the broker and subscribed to our status topic.

    Without the right to read that topic it receives nothing, and a cut link is classified as taken.
    """

    def __init__(self, sock: socket.socket, *, v5: bool) -> None:
        self._sock = sock
        self._v5 = v5
        self._data = b""
        self._over = False
        self.offline = False  # whether the last message, if not a retained one, is `offline`

    @classmethod
    def open(
        cls, sock: socket.socket, settings: LinkSettings, *, v5: bool, password: str | None
    ) -> Self | None:
        """Connect on ``sock``, which blocks with a timeout; None if the broker rejects it."""
        try:
            sock.sendall(_connect(settings, v5=v5, password=password))
            answer = sock.recv(512)
            if len(answer) >= 4 and answer[0] == CONNACK and answer[3] == 0:  # noqa: PLR2004 -- its return code
                sock.sendall(_subscribe(settings.status_topic, v5=v5))
                sock.settimeout(0.0)
                return cls(sock, v5=v5)
        except OSError:
            pass
        sock.close()
        return None

    def classify_loss(self) -> Ending:
        """Return how the first connection ended; waits up to a second for the will."""
        deadline = time.monotonic() + GRACE_S
        while (left := deadline - time.monotonic()) > 0:
            self.listen()
            if self._over or self.offline:
                return Ending.UNKNOWN if self._over else Ending.CUT
            with suppress(OSError, ValueError):
                select.select([self._sock], [], [], left)
        return Ending.TAKEN

    def listen(self) -> None:
        """Read the bytes that have come, without waiting."""
        try:
            for _ in range(MAX_READS):
                data = self._sock.recv(4096)
                if not data:
                    self._over = True
                    return
                self._data += data
                self._read()
        except OSError as error:
            self._over = self._over or not must_wait(error)

    def _read(self) -> None:
        """Look at each whole packet."""
        while (packet := self._next()) is not None:
            first, body = packet
            if first & 0xF0 == PUBLISH and not first & RETAIN:
                self.offline = _says_offline(body, v5=self._v5)
        self._over |= len(self._data) > MAX_HEARD

    def _next(self) -> tuple[int, bytes] | None:
        length, shift = 0, 0
        for at, byte in enumerate(self._data[1:5], start=2):
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 -- the last byte of the length
                if len(self._data) < at + length:
                    return None
                first, body = self._data[0], self._data[at : at + length]
                self._data = self._data[at + length :]
                return first, body
        return None

    def close(self) -> None:
        """Leave with a DISCONNECT."""
        with suppress(OSError):
            self._sock.send(b"\xe0\x00")
        self._sock.close()


class TakeoverSilence:
    """Our silence while another client uses our id; the detector stays to see when it has gone.

    ``offline`` on our status topic ends it early: the other agent has left, or there was none and the broker
    has only now noticed that our own connection was cut.
    """

    def __init__(self) -> None:
        self._detector: TakeoverDetector | None = None

    def begin(self, detector: TakeoverDetector | None) -> None:
        """Start the silence, with ``detector`` if there is one."""
        self.end()
        self._detector = detector
        if detector is not None:
            detector.offline = False  # our own will, if the other client started clean

    def broken(self) -> bool:
        """Whether the reason for the silence is gone."""
        if self._detector is None:
            return False
        self._detector.listen()
        return self._detector.offline

    def end(self) -> None:
        """End the silence and close the detector."""
        detector, self._detector = self._detector, None
        if detector is not None:
            detector.close()


def _says_offline(body: bytes, *, v5: bool) -> bool:
    """Read a PUBLISH at QoS 0: topic, with MQTT 5 the properties, payload."""
    at = 2 + int.from_bytes(body[:2], "big")
    if v5:
        length, shift = 0, 0
        for byte in body[at : at + 4]:
            length, shift, at = length | (byte & 0x7F) << shift, shift + 7, at + 1
            if byte < 0x80:  # noqa: PLR2004 -- the last byte of the length
                break
        at += length
    try:
        status = loads(body[at:])
    except (ValueError, RecursionError):
        return False
    return isinstance(status, dict) and status.get("state") == "offline"


def _connect(settings: LinkSettings, *, v5: bool, password: str | None) -> bytes:
    """Return a CONNECT for a clean session without a will (MQTT 5 and 3.1.1, section 3.1)."""
    flags = 0x02 | (0x80 if settings.username is not None else 0) | (0x40 if password is not None else 0)
    body = b"\x00\x04MQTT" + bytes((5 if v5 else 4, flags)) + KEEPALIVE_S.to_bytes(2, "big")
    body += b"\x00" if v5 else b""
    for field in (f"{settings.client_id}-{token_hex(4)}", settings.username, password):
        body += b"" if field is None else _text(field)
    return _packet(0x10, body)


def _subscribe(topic: str, *, v5: bool) -> bytes:
    """Return a SUBSCRIBE at QoS 0 (section 3.8)."""
    return _packet(0x82, b"\x00\x01" + (b"\x00" if v5 else b"") + _text(topic) + b"\x00")


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _packet(first: int, body: bytes) -> bytes:
    size = len(body)
    length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))  # noqa: PLR2004
    return bytes((first,)) + length + body
