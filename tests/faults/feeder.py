"""A publisher that uses up all packet ids: QoS 1 on a bare socket, many in flight."""

import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.faults.workload import Key, payload_of, topic_of
from tests.support.waiting import wait_for

MAX_UNACKED = 2000
PIECE = 200  # messages that are written at once
LAST_ID = 65_535
PUBACK_BYTES = 4
STEP_S = 0.005

Message = tuple[str, bytes]  # topic, payload


class Feeder:
    """Publishes messages over devices in turn; ``sent`` and ``acked`` count those that are alike.

    Args:
        port: of the broker.
        may_send: whether the readers keep up; nothing is sent while they do not.
    """

    def __init__(self, *, port: int, may_send: Callable[[], bool] = lambda: True) -> None:
        self._may_send = may_send
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting: deque[Message] = deque()  # the broker answers in their order
        self._answers = b""
        self._number = 0  # of the messages of this load
        self._mid = 0
        self._devices: Sequence[int] = ()
        self._left = 0.0
        self._rate: float | None = None  # messages/s, None: as many as go
        self._due = 0.0
        self._at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._error: BaseException | None = None
        self.sent: Counter[Message] = Counter()
        self.acked: Counter[Message] = Counter()

    def __enter__(self) -> Self:
        name = b"feeder"
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name  # 3.1.1, no keepalive
        self._socket.sendall(bytes([0x10, len(body)]) + body)
        if self._socket.recv(4) != b"\x20\x02\x00\x00":
            raise AssertionError("the broker refused the feeder")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        self._socket.close()

    def load(self, devices: Sequence[int], count: int) -> None:
        """Send ``count`` messages of ``devices`` as fast as it goes, and wait until they are acknowledged."""
        self._devices, self._number, self._rate = devices, 0, None
        self._left = count
        wait_for(lambda: self._check() and not self._left, 300, f"{count} messages are acknowledged")
        self._drain()

    def flow(self, rate: float) -> None:
        """Go on with so many messages a second until :meth:`pause`."""
        self._at, self._due, self._rate = time.monotonic(), 0.0, rate
        self._left = float("inf")

    def pause(self) -> None:
        """Send no more, and wait until all is acknowledged."""
        self._left = 0
        self._drain()

    def _drain(self) -> None:
        wait_for(lambda: self._check() and not self._waiting, 60, "the broker has answered everything")

    def _check(self) -> bool:
        if self._error is not None:
            raise self._error
        return True

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._turn()
        except OSError as error:
            if not self._stop.is_set():
                self._error = error

    def _turn(self) -> None:
        count = int(min(PIECE, self._left, MAX_UNACKED - len(self._waiting)))
        if self._rate is not None:
            now = time.monotonic()
            self._due += (now - self._at) * self._rate
            self._at = now
            count = min(count, int(self._due))
        if count <= 0 or not self._may_send():
            self._read(STEP_S)
            return
        self._due -= count if self._rate is not None else 0
        self._socket.sendall(b"".join([self._packet() for _ in range(count)]))
        self._left -= count
        self._read(0)

    def _packet(self) -> bytes:
        turn, place = divmod(self._number, len(self._devices))
        key = Key(self._devices[place], turn + 1)
        message = topic_of(key.device), payload_of(key)
        self._number += 1
        self._mid = self._mid % LAST_ID + 1
        self.sent[message] += 1
        self._waiting.append(message)
        topic = message[0].encode()
        body = len(topic).to_bytes(2, "big") + topic + self._mid.to_bytes(2, "big") + message[1]
        return bytes([0x32, len(body)]) + body  # all are shorter than 128 bytes

    def _read(self, wait_s: float) -> None:
        ready, _, _ = select.select([self._socket], [], [], wait_s)
        if not ready:
            return
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the broker closed the feeder's connection")
        self._answers += data
        whole = len(self._answers) // PUBACK_BYTES
        self._answers = self._answers[whole * PUBACK_BYTES :]
        for _ in range(whole):
            self.acked[self._waiting.popleft()] += 1
