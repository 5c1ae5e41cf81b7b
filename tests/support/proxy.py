"""A TCP proxy that misbehaves on demand: delay, slice, reset, freeze, half-close.

Toxics are set on the running proxy and hold for present and later connections. ``seed`` decides what
``misbehave`` does, so one seed is one schedule.
"""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.packets import PacketCounter

UP, DOWN = "up", "down"  # from the client to the server, and back
BOTH = (UP, DOWN)
CHUNK = 1 << 16


@dataclass
class Toxics:
    """Changes that the proxy makes to bytes, by direction."""

    latency_s: float = 0.0
    slice_bytes: int | None = None  # forward at most so many bytes at once, each as its own segment
    slice_delay_s: float = 0.0
    rate: float | None = None  # bytes a second
    reset_after: int | None = None  # RST once so many bytes have passed


@dataclass(eq=False)
class Pipe:
    """One proxied connection."""

    client: socket.socket
    server: socket.socket
    packets: dict[str, PacketCounter]
    passed: dict[str, int] = field(default_factory=lambda: {UP: 0, DOWN: 0})
    bytes: dict[str, bytearray] = field(default_factory=lambda: {UP: bytearray(), DOWN: bytearray()})

    def reset(self) -> None:
        """End both sides with RST."""
        for sock in (self.client, self.server):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()


class Proxy:
    """Listens on a free loopback port and forwards to ``target`` there."""

    def __init__(
        self,
        target: int,
        *,
        seed: int = 0,
        record: bool = False,
        counter: Callable[[], PacketCounter] = PacketCounter,
    ) -> None:
        self._record = record
        self._counter = counter
        self.recorded: list[dict[str, bytearray]] = []  # all bytes of each connection, by direction
        self.target = target
        self.toxics = {UP: Toxics(), DOWN: Toxics()}
        self.frozen: set[str] = set()
        self.accepting = True
        self.connections = 0
        self._random = random.Random(seed)
        self._pipes: list[Pipe] = []
        self._counters: list[dict[str, PacketCounter]] = []  # of all connections
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self.thaw()
        self.reset()
        self._listener.close()
        for thread in self._threads:
            thread.join(60)

    # ------------------------------------------------------------------------------------- counts

    @property
    def delivered(self) -> int:
        """Messages that went down to the client, repeats included."""
        return sum(one[DOWN].publishes for one in self._counters)

    @property
    def redelivered(self) -> int:
        """Those of them with DUP=1."""
        return sum(one[DOWN].repeats for one in self._counters)

    @property
    def packets(self) -> dict[str, PacketCounter]:
        """Counters of the newest connection, by direction."""
        return self._counters[-1]

    @property
    def unacknowledged(self) -> int:
        """Messages of the newest connection whose PUBACK has not passed yet."""
        return self.packets[DOWN].publishes - self.packets[UP].pubacks

    # ------------------------------------------------------------------------------------- toxics

    def reset(self) -> None:
        """End every connection with RST."""
        with self._lock:
            pipes, self._pipes = self._pipes, []
        for pipe in pipes:
            pipe.reset()

    def reset_in_flight(self, held_s: float) -> None:
        """End every connection with RST, with messages of ``held_s`` that the client has not seen."""
        self.freeze(DOWN)
        time.sleep(held_s)
        self.reset()
        self.thaw()

    def reset_newest(self) -> None:
        """End the connection that was opened last with RST; the others remain."""
        with self._lock:
            pipe = self._pipes.pop()
        pipe.reset()

    def freeze(self, *directions: str) -> None:
        """Forward nothing any more, in the given directions or both; connections stay open."""
        self.frozen |= set(directions or BOTH)

    def thaw(self) -> None:
        """Forward again, all that had piled up first."""
        self.frozen.clear()

    def half_close(self, direction: str = DOWN) -> None:
        """Send FIN in one direction only; the other goes on."""
        with self._lock:
            for pipe in self._pipes:
                with suppress(OSError):
                    (pipe.client if direction == DOWN else pipe.server).shutdown(socket.SHUT_WR)

    def calm(self) -> None:
        """Take every toxic away."""
        self.toxics = {UP: Toxics(), DOWN: Toxics()}
        self.accepting = True
        self.thaw()

    def misbehave(self) -> str:
        """Do one fault that the seed chooses and return its name; ``calm`` ends it."""
        fault = self._random.choice(["reset", "slice", "freeze", "half_close", "reset_inside", "latency"])
        direction = self._random.choice(BOTH)
        toxics = self.toxics[direction]
        match fault:
            case "reset":
                self.reset()
            case "slice":
                toxics.slice_bytes = 7
            case "freeze":
                self.freeze(*self._random.choice([(UP,), (DOWN,), BOTH]))
            case "half_close":
                self.half_close(direction)
            case "reset_inside":
                toxics.reset_after = self._random.randrange(1, 2000)
            case "latency":
                toxics.latency_s = self._random.uniform(0.01, 0.2)
        return f"{fault}/{direction}"

    # ------------------------------------------------------------------------------------- plumbing

    def _spawn(self, body: object, *args: object) -> None:
        thread = threading.Thread(target=body, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            try:
                if not self.accepting:
                    raise ConnectionRefusedError
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            pipe = Pipe(client, server, packets={UP: self._counter(), DOWN: self._counter()})
            for sock in (client, server):
                sock.settimeout(0.05)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pipes.append(pipe)
                self._counters.append(pipe.packets)
                self.recorded.append(pipe.bytes)
            self._spawn(self._pump, pipe, client, server, UP)
            self._spawn(self._pump, pipe, server, client, DOWN)

    def _pump(self, pipe: Pipe, source: socket.socket, sink: socket.socket, direction: str) -> None:
        try:
            while not self._closed.is_set():
                if direction in self.frozen:
                    time.sleep(0.01)
                    continue
                try:
                    data = source.recv(CHUNK)
                except TimeoutError:
                    continue
                if direction in self.frozen:
                    self._wait_for_thaw(direction)
                if not data:
                    with suppress(OSError):
                        sink.shutdown(socket.SHUT_WR)
                    return
                self._forward(pipe, sink, data, direction)
        except OSError:
            pipe.reset()

    def _wait_for_thaw(self, direction: str) -> None:
        while direction in self.frozen and not self._closed.is_set():
            time.sleep(0.01)

    def _forward(self, pipe: Pipe, sink: socket.socket, data: bytes, direction: str) -> None:
        toxics = self.toxics[direction]
        if toxics.latency_s:
            self._closed.wait(toxics.latency_s)
        size = toxics.slice_bytes or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if toxics.reset_after is not None and pipe.passed[direction] + len(piece) > toxics.reset_after:
                self._send(sink, piece[: max(0, toxics.reset_after - pipe.passed[direction])])
                pipe.reset()
                raise ConnectionResetError
            self._send(sink, piece)
            pipe.packets[direction].feed(piece)
            if self._record:
                pipe.bytes[direction] += piece
            pipe.passed[direction] += len(piece)
            if toxics.slice_delay_s:
                self._closed.wait(toxics.slice_delay_s)
            if toxics.rate:
                self._closed.wait(len(piece) / toxics.rate)

    def _send(self, sink: socket.socket, data: bytes) -> None:
        while data and not self._closed.is_set():
            try:
                data = data[sink.send(data) :]
            except TimeoutError:
                continue
