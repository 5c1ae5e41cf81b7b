"""The log's bounds: a rate for each event, a queue, and the writing thread.

A slow or stuck stdout (journald waiting for its disk) must stall no thread: logging only appends, and a
line that does not fit is dropped and counted.
"""

import io
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from agent.testing.failpoint import failpoint

MAX_QUEUED_BYTES = 1 << 20
RESERVED_BYTES = 2 << 20  # on top, for lines that must not be lost to others
MAX_NAMES = 256  # events with a limit of their own
_IDLE_S = 10.0
_COMPANY_S = 0.05
_MAX_CHUNK = 65_536
_TEXT: type = io.TextIOBase


@dataclass(slots=True)
class _Bucket:
    """The bucket of one event name."""

    tokens: float
    refilled: float
    suppressed: int = 0


class RateLimit:
    """A token bucket per event name.

    Args:
        burst: Events of one name that pass at once.
        per_s: Events of one name that pass per second after that.
        mono: Monotonic clock, seconds.
    """

    def __init__(self, *, burst: int, per_s: float, mono: Callable[[], float]) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._mono = mono
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.RLock()  # re-entrant for signal handlers

    def allow(self, name: str) -> int | None:
        """Return how many were suppressed since the last that passed, or None to suppress this one."""
        now = self._mono()
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket is None:
                if len(self._buckets) >= MAX_NAMES:
                    name = "other"
                bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.refilled) * self._per_s)
            bucket.refilled = now
            if bucket.tokens < 1.0:
                bucket.suppressed += 1
                return None
            bucket.tokens -= 1.0
            silent, bucket.suppressed = bucket.suppressed, 0
            return silent

    def collect(self) -> dict[str, int]:
        """Return and forget the counts that were not logged yet."""
        with self._lock:
            counts = {name: bucket.suppressed for name, bucket in self._buckets.items() if bucket.suppressed}
            for name in counts:
                self._buckets[name].suppressed = 0
            return counts


class LineWriter:
    """Writes lines to ``stream`` from a thread of its own.

    Args:
        stream: A file with a descriptor (written unbuffered), else anything with ``write``.
        max_queued_bytes: Capacity of the queue; a line beyond it is dropped.
        idle: Called every 10 s and before the end; the lines it returns are written.
    """

    def __init__(
        self,
        *,
        stream: IO[Any],
        max_queued_bytes: int = MAX_QUEUED_BYTES,
        idle: Callable[[], list[bytes]] = list,
    ) -> None:
        self._stream = stream
        self._write = _writer(stream)
        self._idle = idle
        self._max = max_queued_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        # Re-entrant, because a signal handler may log while its thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._closing = False
        self._asleep = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes, *, reserved: bool = False) -> None:
        """Queue ``line`` (with its newline), or drop and count it; a ``reserved`` one has more room."""
        room = self._max + RESERVED_BYTES if reserved else self._max
        with self._changed:
            if self._closing or self._bytes + len(line) > room:
                self.dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._asleep:
                self._asleep = False
                self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Write what is queued and end the thread; false when ``timeout_s`` was not enough."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        closing = False
        while not closing:
            failpoint("log_turn")
            with self._changed:
                if not self._lines and not self._closing:
                    self._asleep = True
                    self._changed.wait(_IDLE_S)
                    self._asleep = False
                if self._lines and not self._closing:
                    # Lines come in company: one write for them costs both sides fewer wake-ups.
                    self._changed.wait(_COMPANY_S)
                idle = not self._lines
                closing = self._closing
                chunk = self._take()
            if idle or closing:
                chunk += b"".join(self._idle())
            while chunk:
                self._emit(chunk)
                with self._changed:
                    chunk = self._take() if closing else b""

    def _take(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        while self._lines and size < _MAX_CHUNK:
            line = self._lines.popleft()
            size += len(line)
            lines.append(line)
        self._bytes -= size
        return b"".join(lines)

    def _emit(self, chunk: bytes) -> None:
        count = chunk.count(b"\n")
        try:
            self._write(chunk)
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            with self._changed:
                self.dropped += count


def _writer(stream: IO[Any]) -> Callable[[bytes], None]:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError, AttributeError):
        text = isinstance(stream, _TEXT)
        return lambda chunk: _write_plain(stream, chunk.decode("utf-8", "replace") if text else chunk)

    def write(chunk: bytes) -> None:
        # Past the buffer object: a daemon thread stuck inside it would abort the interpreter's exit.
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def _write_plain(stream: IO[Any], chunk: bytes | str) -> None:
    stream.write(chunk)
