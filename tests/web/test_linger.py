"""A client that keeps sending after its answer does not hold the web thread."""

import selectors
from typing import Any

from agent.web.connection import Connection, Phase
from agent.web.http import Response


class Flood:
    """A socket whose client sends without end."""

    reads = 0

    def recv(self, size: int) -> bytes:
        self.reads += 1
        assert self.reads < 1000
        return (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (size // 27 + 1))[:size]

    def send(self, data: memoryview) -> int:
        return len(data)

    def shutdown(self, _how: int) -> None: ...

    def close(self) -> None: ...


def test_a_client_that_never_stops_sending_is_read_once_a_turn() -> None:
    """Each turn ends, so that the deadline of the connection can end it."""
    sock: Any = Flood()
    connection = Connection(
        sock=sock,
        tls=None,
        answer=lambda _request: Response(b"ok"),
        receive=lambda _request, _body: Response(b""),
        now=0.0,
        timeout_s=5.0,
    )
    for _ in range(10):
        connection.turn(0.0)
    assert connection.phase is Phase.LINGERING
    assert connection.wants == selectors.EVENT_READ
    assert connection.deadline <= 5.0
    assert sock.reads <= 11
