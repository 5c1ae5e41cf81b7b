"""A second connection under another name: it tells whether losing the first was about its name.

Mosquitto 2.0.11 sends no DISCONNECT when another client takes over a client id, it just closes. So do a
broker that dies and a proxy that restarts; but they close the witness too. And a link that was merely cut
makes the broker publish our last will, which it drops when a client that keeps its session takes the id.
"""

import select
import socket
import ssl
import time
from contextlib import suppress
from enum import Enum
from json import loads
from secrets import token_hex
from typing import Self

from agent.mqtt.settings import LinkSettings

KEEPALIVE_S = 900  # longer than what it has to witness: a minute, then the silence
GRACE_S = 1.0  # for the will, or for the witness's own end, to arrive
CONNACK = 0x20
PUBLISH, RETAIN = 0x30, 0x01
MAX_HEARD = 1 << 16
MAX_READS = 64  # in one turn: what floods its topic must not hold the net thread
WAITS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Ending(Enum):
    """What became of a connection that the broker ended."""

    UNKNOWN = "unknown"  # there was no witness, or it was ended as well
    CUT = "cut"  # the broker published our will
    TAKEN = "taken"  # the witness stands and there was no will: another client has our id


class Witness:
    """A connection that the broker has accepted and that reads our status topic.

    Without the right to read that topic it hears nothing, so that a cut link is told as taken.
    """

    def __init__(self, sock: socket.socket, *, v5: bool) -> None:
        self._sock = sock
        self._v5 = v5
        self._data = b""
        self._over = False
        self.offline = False  # whether the last that was published, not replayed, says `offline`

    @classmethod
    def open(
        cls, sock: socket.socket, settings: LinkSettings, *, v5: bool, password: str | None
    ) -> Self | None:
        """Connect on ``sock``, which blocks with a timeout; None when the broker does not want it."""
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

    def testify(self) -> Ending:
        """Say what the loss of the other connection was; waits up to a second for word of it."""
        deadline = time.monotonic() + GRACE_S
        while (left := deadline - time.monotonic()) > 0:
            self.listen()
            if self._over or self.offline:
                return Ending.UNKNOWN if self._over else Ending.CUT
            with suppress(OSError, ValueError):
                select.select([self._sock], [], [], left)
        return Ending.TAKEN

    def listen(self) -> None:
        """Take in what has come, without waiting."""
        try:
            for _ in range(MAX_READS):
                data = self._sock.recv(4096)
                if not data:
                    self._over = True
                    return
                self._data += data
                self._read()
        except WAITS:
            pass
        except OSError:
            self._over = True

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


class Truce:
    """Our silence while another client uses our id, with the witness that hears when it has gone.

    ``offline`` on our status topic ends it early: the other agent has left, or there was none and the broker
    has only now noticed that our own connection was cut.
    """

    def __init__(self) -> None:
        self._witness: Witness | None = None

    def begin(self, witness: Witness | None) -> None:
        """Keep ``witness``, if there is one, until the silence ends."""
        self.end()
        self._witness = witness
        if witness is not None:
            witness.offline = False  # our own will, if the other client started clean

    def broken(self) -> bool:
        """Whether there is no reason any more to be silent."""
        if self._witness is None:
            return False
        self._witness.listen()
        return self._witness.offline

    def end(self) -> None:
        """Let the witness go."""
        witness, self._witness = self._witness, None
        if witness is not None:
            witness.close()


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
        said = loads(body[at:])
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("state") == "offline"


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
