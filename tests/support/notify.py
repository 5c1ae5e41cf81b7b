"""A stand-in for systemd: the socket of ``$NOTIFY_SOCKET``, and its messages."""

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """Listens while entered. ``heard`` holds (monotonic time, key, value) of each assignment, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                message = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            now = time.monotonic()
            self.heard += [(now, *line.partition("=")[::2]) for line in message.splitlines()]

    def values(self, key: str) -> list[str]:
        """Return all values of ``key``, in order."""
        return [value for _, name, value in self.heard if name == key]

    def last(self, key: str) -> float:
        """Return when ``key`` was sent last, 0 for never."""
        return max((at for at, name, _ in self.heard if name == key), default=0.0)

    def words(self) -> list[str]:
        """Return all keys, in order."""
        return [key for _, key, _ in self.heard]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(60)
        self._socket.close()
