"""Kill -9 while clients post: every 202 is journaled once; an early one is lost."""

import http.client
import json
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.broker import free_port
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

KILLS = 20
CONTROL_KILLS = 6
CLIENTS = 4
ACCEPTED = 202


class Client:
    """Posts numbers, one after the other; each again with its key until it is accepted."""

    def __init__(self, port: int, name: str) -> None:
        self.accepted: list[int] = []
        self.retries = 0
        self._port = port
        self._name = name
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        """Stop after the current message."""
        self._ending.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        number = 0
        while not self._ending.is_set():
            if self._post(number):
                self.accepted.append(number)
                number += 1
            else:
                self.retries += 1
                time.sleep(0.05)

    def _post(self, number: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        body = json.dumps({"device_id": self._name, "number": number})
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{self._name}-{number}"}
        try:
            connection.request("POST", "/iot/data", body, headers)
            return connection.getresponse().status == ACCEPTED
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def run(folder: Path, *, kills: int, without: str | None = None) -> tuple[int, int, int]:
    """Kill an agent under load; return the numbers that were accepted, lost, and stored twice."""
    agent = AgentProcess(
        folder,
        broker_url=f"mqtt://127.0.0.1:{free_port()}",  # nothing listens there, and nothing is lost by it
        settings={
            "journal": {"prune": False},
            "sources": [{"topic": "load/{device}"}],
            "web": {"intake": True, "intake_per_min": 60_000},
        },
    )
    if without is not None:
        agent.argv[1:3] = ["-m", "tests.faults.weakened", without]
    agent.start()
    try:
        wait_for(lambda: agent.get("/healthz")[0] == 200, 60, "the port is open")
        clients = [Client(agent.port, f"c{number}") for number in range(CLIENTS)]
        rng = random.Random(1)
        for _ in range(kills):
            wait_for_more(clients)
            time.sleep(rng.uniform(0.0, 0.5))
            agent.kill()
            agent.start()
        wait_for_more(clients)
        for client in clients:
            client.end()
        agent.kill()
    finally:
        agent.kill()
    stored = read(agent.journal)
    accepted = {(f"c{one}", number) for one, client in enumerate(clients) for number in client.accepted}
    assert sum(client.retries for client in clients) > 0
    return len(accepted), len(accepted - set(stored)), len(stored) - len(set(stored))


def wait_for_more(clients: list[Client]) -> None:
    """Wait until this life of the agent has accepted a message."""
    before = sum(len(client.accepted) for client in clients)
    wait_for(lambda: sum(len(one.accepted) for one in clients) > before, 60, "a message is accepted", 0.01)


def read(path: Path) -> list[tuple[str, int]]:
    """Return device and number of each journaled message."""
    with closing(sqlite3.connect(path)) as journal:
        bodies = [json.loads(row[0]) for row in journal.execute("SELECT payload FROM messages")]
    return [(body["device_id"], body["number"]) for body in bodies]


def test_every_202_is_in_the_journal_after_twenty_kills(tmp_path: Path) -> None:
    """0 accepted messages lost, 0 stored twice although clients repeat them; the control loses some."""
    accepted, lost, twice = run(tmp_path / "ours", kills=KILLS)
    print(f"{KILLS} kills: {accepted} accepted, {lost} lost, {twice} twice")
    assert (lost, twice) == (0, 0)
    assert accepted > KILLS
    early, forgotten, _ = run(tmp_path / "early", kills=CONTROL_KILLS, without="late-202")
    print(f"control, {CONTROL_KILLS} kills: {early} accepted, {forgotten} lost")
    assert forgotten > 0
