"""Notices to systemd (sd_notify): start, stop, progress and status.

Format: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

MAX_STATUS = 200


class Notifier:
    """Sends notifications; without ``NOTIFY_SOCKET`` it does nothing. Any thread may call it.

    The socket is opened once: a process that ran out of descriptors must still be able to feed its watchdog.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        self._status = ""

    def ready(self) -> None:
        """Report the end of start-up or of a reload."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report the begin of a reload; :meth:`ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, status: str) -> None:
        """Show one line in ``systemctl status``; the same line is sent once."""
        line = " ".join(status.split())[:MAX_STATUS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def extend(self, seconds: float) -> None:
        """Ask for more time to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def watchdog(self) -> None:
        """Report that every loop makes progress."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report the end of the process."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
