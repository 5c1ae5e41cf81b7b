"""One thread for all MQTT connections: a selector around paho's external loop.

Nobody else touches a client (paho writes from whichever thread publishes, and two writers on one socket
corrupt it), so a thousand devices are one thread and a thousand sockets.
"""

import contextlib
import heapq
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import paho.mqtt.client as paho

MISC_S = 1.0  # how often keepalives are looked at
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
Job = Callable[[], None]


class Loop:
    """The thread ``edge-sim-loop``. Calls passed to :meth:`soon` run on it, in order."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: set[paho.Client] = set()
        self._jobs: deque[Job] = deque()
        self._timers: list[tuple[float, int, Job]] = []
        self._ticket = count()
        self._ear, self._bell = socket.socketpair()
        for end in (self._ear, self._bell):
            end.settimeout(0.0)
        self._selector.register(self._ear, _READ, None)
        self._rung = False
        self._ending = False
        self._next_misc = 0.0
        self._thread = threading.Thread(target=self._run, name="edge-sim-loop", daemon=True)
        self._started = threading.Lock()
        self.fault: BaseException | None = None  # what ended the thread: a fault of ours

    def start(self) -> None:
        """Start the thread, once."""
        with self._started:
            if self._thread.ident is None and not self._ending:
                self._thread.start()

    def stop(self) -> None:
        """End the thread; what is given later is not run."""
        self._ending = True
        self._ring()
        with self._started:
            if self._thread.ident is None:
                self._let_go()
            else:
                self._thread.join(5.0)

    @property
    def alive(self) -> bool:
        """Whether somebody serves the connections."""
        return self._thread.is_alive() and not self._ending

    def soon(self, job: Job) -> None:
        """Have ``job`` run on the thread; callable from any thread."""
        self._jobs.append(job)
        if not self._rung:
            self._ring()

    def later(self, delay_s: float, job: Job) -> None:
        """Have ``job`` run on the thread in ``delay_s`` seconds; only from the thread itself."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._ticket), job))

    def adopt(self, client: paho.Client) -> None:
        """Serve ``client`` from now on; before its connect()."""
        client.on_socket_open = self._opened
        client.on_socket_close = self._closed
        client.on_socket_register_write = self._wants_write
        client.on_socket_unregister_write = self._wrote_all
        self._clients.add(client)

    def release(self, client: paho.Client) -> None:
        """Serve it no more; its socket, if there is one, is closed at once."""
        self._clients.discard(client)
        sock = client.socket()
        if sock is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
            with contextlib.suppress(OSError):
                sock.close()

    def _ring(self) -> None:
        self._rung = True
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake up anyway
            self._bell.send(b"!")

    def _run(self) -> None:
        try:
            while not self._ending:
                self._turn()
        except BaseException as error:  # noqa: BLE001 - reported by the next call on a connection
            self.fault = error
        finally:
            self._ending = True
            for client in list(self._clients):
                self.release(client)
            self._let_go()

    def _let_go(self) -> None:
        self._selector.close()
        self._ear.close()
        self._bell.close()

    def _turn(self) -> None:
        now = time.monotonic()
        until = min(self._next_misc, self._timers[0][0] if self._timers else self._next_misc)
        for key, mask in self._selector.select(max(0.0, until - now)):
            client = key.data
            if client is None:
                self._rung = False
                with contextlib.suppress(BlockingIOError):
                    self._ear.recv(4096)
                continue
            if mask & _READ:
                client.loop_read()
            if mask & _WRITE:
                client.loop_write()
        for _ in range(len(self._jobs)):
            self._jobs.popleft()()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if now >= self._next_misc:
            self._next_misc = now + MISC_S
            for client in list(self._clients):
                client.loop_misc()

    def _opened(self, client: paho.Client, _data: Any, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, _READ, client)

    def _closed(self, _client: paho.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _wants_write(self, client: paho.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.modify(sock, _READ | _WRITE, client)

    def _wrote_all(self, client: paho.Client, _data: Any, sock: Any) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.modify(sock, _READ, client)
