"""A second connection under another name: it tells whether losing the first was about its name.

Mosquitto 2.0.11 sends no DISCONNECT when another client takes over a client id, it just closes. So do a
broker that dies and a proxy that restarts; but they close the witness too.
"""

import select
import socket
from contextlib import suppress
from secrets import token_hex
from typing import Self

from agent.mqtt.settings import LinkSettings

KEEPALIVE_S = 120  # longer than what it has to witness
GRACE_S = 0.2  # for the witness's own end to arrive, if it ends
CONNACK = 0x20


class Witness:
    """An idle connection that the broker has accepted."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @classmethod
    def open(
        cls, sock: socket.socket, settings: LinkSettings, *, v5: bool, password: str | None
    ) -> Self | None:
        """Connect on ``sock``, which blocks with a timeout; None when the broker does not want it."""
        try:
            sock.sendall(_connect(settings, v5=v5, password=password))
            answer = sock.recv(512)
            if len(answer) >= 4 and answer[0] == CONNACK and answer[3] == 0:  # noqa: PLR2004 -- its return code
                sock.settimeout(0.0)
                return cls(sock)
        except OSError:
            pass
        sock.close()
        return None

    def alive(self) -> bool:
        """Whether the connection still stands; waits a moment for its end."""
        try:
            readable, _, _ = select.select([self._sock], [], [], GRACE_S)
            return not readable or bool(self._sock.recv(512))
        except OSError:
            return False

    def close(self) -> None:
        """Leave with a DISCONNECT."""
        with suppress(OSError):
            self._sock.send(b"\xe0\x00")
        self._sock.close()


def _connect(settings: LinkSettings, *, v5: bool, password: str | None) -> bytes:
    """Return a CONNECT for a clean session without a will (MQTT 5 and 3.1.1, section 3.1)."""
    flags = 0x02 | (0x80 if settings.username is not None else 0) | (0x40 if password is not None else 0)
    body = b"\x00\x04MQTT" + bytes((5 if v5 else 4, flags)) + KEEPALIVE_S.to_bytes(2, "big")
    body += b"\x00" if v5 else b""
    for field in (f"{settings.client_id}-{token_hex(4)}", settings.username, password):
        if field is not None:
            data = field.encode()
            body += len(data).to_bytes(2, "big") + data
    length = bytes((len(body),)) if len(body) < 0x80 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))  # noqa: PLR2004
    return b"\x10" + length + body
