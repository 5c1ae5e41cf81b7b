"""A broker that uses the lowest free packet id, and a contact that never changes."""

import signal
import socket
import sqlite3
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.mqtt.brokers import Front
from tests.mqtt.test_oddities import connack, puback, suback
from tests.mqtt.test_wire import publish
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

LIMIT_S = 30.0
CLIENT = b"low-ids"
TOPIC, PAYLOAD = b"load/door", b"1"


class LowIds(Front):
    """One session: keeps what is unacknowledged, sends it again with DUP=1, and frees ids at once."""

    def __init__(self) -> None:
        self.flight: dict[int, bytes] = {}
        self.taken = 0  # acknowledged
        self._client: socket.socket | None = None
        self._known = self._subscribed = False
        super().__init__()

    def send(self) -> None:
        """Publish one message under the lowest free id."""
        mid = next(mid for mid in range(1, 65_536) if mid not in self.flight)
        self.flight[mid] = publish(TOPIC, PAYLOAD, mid=mid)
        assert self._client is not None
        with suppress(OSError):
            self._client.sendall(self.flight[mid])

    def cut(self) -> None:
        """End the connection."""
        assert self._client is not None
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(OSError):
            while first := stream.read(1):
                self._answer(client, first[0] >> 4, _body(stream))

    def _answer(self, client: socket.socket, kind: int, body: bytes) -> None:
        if kind == 1:
            if CLIENT + b"-" in body:
                client.sendall(connack())  # the agent's second connection, which asks about the first
                return
            client.sendall(connack(session=self._known))
            self._known, self._client = True, client
            for message in self.flight.values():
                client.sendall(bytes((message[0] | 8,)) + message[1:])
        elif kind == 3:
            client.sendall(puback(body))
        elif kind == 4:
            self.flight.pop(int.from_bytes(body[:2], "big"))
            self.taken += 1
        elif kind == 8:
            client.sendall(suback(0, 1, 1)(body))
            self._subscribed = True
        elif kind == 12:
            client.sendall(b"\xd0\x00")

    @property
    def ready(self) -> bool:
        """Whether an agent has subscribed."""
        return self._subscribed


def _body(stream: BinaryIO) -> bytes:
    length = shift = 0
    while True:
        byte = stream.read(1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return stream.read(length)


def journaled(agent: AgentProcess) -> int:
    with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True, timeout=60)) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])


def taken(broker: LowIds, count: int) -> bool:
    return broker.taken >= count


@pytest.mark.parametrize("end", ["cut", "kill", "stop"])
def test_an_equal_message_under_a_reused_id_is_not_taken_for_the_last(tmp_path: Path, end: str) -> None:
    """In flight at a reset, a kill or a stop, it is sent again with DUP=1 and journaled."""
    with LowIds() as broker:
        agent = AgentProcess(
            tmp_path,
            broker_url=f"mqtt://127.0.0.1:{broker.port}",
            settings={"mqtt": {"client_id": CLIENT.decode()}, "journal": {"commit_ms": 1000, "prune": False}},
        )
        sent = 0
        try:
            agent.start()
            wait_for(lambda: broker.ready, LIMIT_S, "subscribed")
            for _ in range(2):  # a third loss within a minute is taken for a second agent
                for _ in range(2):  # an acknowledged one, and one in flight at the end
                    broker.send()
                    sent += 1
                    if sent % 2:
                        wait_for(partial(taken, broker, sent), LIMIT_S, "acknowledged")
                if end == "cut":
                    broker.cut()
                else:
                    agent.send(signal.SIGKILL if end == "kill" else signal.SIGTERM)
                    agent.wait(LIMIT_S)
                    agent.start()
                wait_for(partial(taken, broker, sent), LIMIT_S, "sent again and acknowledged")
            assert journaled(agent) >= sent
        finally:
            agent.kill()
