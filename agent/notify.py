"""Tells systemd how the process is doing: the sd_notify protocol, a datagram to ``$NOTIFY_SOCKET``.

Format: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import contextlib
import os
import socket
from collections.abc import Mapping

MAX_STATUS = 200


class Notifier:
    """Sends notifications; without ``NOTIFY_SOCKET`` it does nothing."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environ)

    def ready(self, status: str) -> None:
        """Say that start-up is over."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Show one line in ``systemctl status``."""
        self._send(f"STATUS={_line(status)}")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Say that every loop makes progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the process ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self._address)
            sock.sendall(message.encode())


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return systemd's watchdog limit in seconds, if it watches this process."""
    try:
        limit_s = int(environ["WATCHDOG_USEC"]) / 1e6
        pid = int(environ.get("WATCHDOG_PID", os.getpid()))
    except (KeyError, ValueError):
        return None
    return limit_s if pid == os.getpid() else None


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_STATUS]
