"""The wall clock is data only: no clock at boot, jumps, odd event times."""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.detect import Detector, DetectSettings
from agent.domain.records import Reading
from agent.pipeline.window import identify
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

DAY_S = 86_400.0
BACKLOG_DAYS = 3


class Row(NamedTuple):
    """One reading as journaled, with the time in its message."""

    seq: int
    clock: float
    received: float
    device: str
    at: float
    value: float


class Wall:
    """Moves the wall clock of one process, and of it alone; its monotonic clock stays (libfaketime)."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            raise RuntimeError("libfaketime is not installed: `make test` installs it")
        self._file = folder / "wall"
        self.environ = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, days: int) -> None:
        """Let the wall clock be so many days off."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{days:+d}d\n")
        fresh.replace(self._file)


def read(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return rows of a journal that an agent may be using."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(query).fetchall()


def rows_of(agent: AgentProcess) -> list[Row]:
    """Return the readings in the order of the sequence."""
    return [
        Row(*row)
        for row in read(
            agent.journal,
            "SELECT m.seq, m.clock, m.received, s.device, r.at, r.value FROM messages m"
            " JOIN readings r USING(seq) JOIN series s ON s.id = r.series ORDER BY m.seq, r.idx",
        )
    ]


def verdicts_of(agent: AgentProcess) -> dict[str, bytes]:
    return dict(read(agent.journal, "SELECT id, body FROM verdicts"))


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    return Wall(tmp_path)


@pytest.fixture
def agent(tmp_path: Path, own_broker: Broker, wall: Wall) -> Iterator[AgentProcess]:
    settings = {
        "agent": {"id": "gw-time"},
        "journal": {"prune": False, "commit_ms": 20},
        "sources": [{"topic": "load/{device}"}],
        "review": {"window": {"max_age_s": 60, "max_readings": 5}},
    }
    process = AgentProcess(
        tmp_path / "agent", broker_url=own_broker.url, settings=settings, environ=wall.environ
    )
    yield process
    process.kill()


def values(first: int, count: int = 10) -> list[bytes]:
    return [str(number).encode() for number in range(first, first + count)]


def publish(agent: AgentProcess, port: int, payloads: Sequence[bytes], device: str = "d1") -> None:
    """Publish and wait until all is journaled."""
    there = len(rows_of(agent)) + len(payloads)
    with peer(port) as client:
        send(client, f"load/{device}", *payloads)
    wait_for(lambda: len(rows_of(agent)) == there, 10, "all is journaled")


@pytest.mark.slow
def test_the_wall_clock_decides_nothing(agent: AgentProcess, own_broker: Broker, wall: Wall) -> None:
    """No clock at boot, then right, then 400 days ahead, 400 behind, and right again after a kill -9.

    Order is by seq, durations are the monotonic clock's, no verdict changes, none is missing.
    """
    jumps = (-20_000, 0, 400, -400)
    wall.set(jumps[0])
    agent.start()
    agent.wait_ready()
    for phase, days in enumerate(jumps):
        wall.set(days)
        publish(agent, own_broker.port, values(10 * phase))
    wait_for(lambda: len(verdicts_of(agent)) >= 7, 10, "windows are concluded")
    first = rows_of(agent)
    assert 0 <= agent.status()["uptime_s"] < 60
    agent.kill()
    before = verdicts_of(agent)
    wall.set(0)
    agent.start()
    agent.wait_ready()
    publish(agent, own_broker.port, values(40))
    wait_for(lambda: len(verdicts_of(agent)) >= 9, 10, "windows are concluded")
    rows, after = rows_of(agent), verdicts_of(agent)

    assert [row.value for row in rows] == list(range(50))
    days_seen = [round((row.received - first[10].received) / DAY_S) for row in first[::10]]
    assert days_seen == [-20_000, 0, 400, -400]  # the clocks were really wrong
    clocks = [row.clock for row in rows]
    assert clocks == sorted(clocks)
    assert first[-1].clock - first[0].clock < 60
    assert before.items() <= after.items()
    assert_each_reading_is_in_one_window(agent, rows)
    assert {json.loads(body)["status"] for body in after.values()} == {"normal"}
    assert agent.status()["problems"] == []


def assert_each_reading_is_in_one_window(agent: AgentProcess, rows: Sequence[Row]) -> None:
    """Windows of a device do not overlap and leave out only the open end; their ids hold no time."""
    journal_id = read(agent.journal, "SELECT value FROM meta WHERE key = 'journal_id'")[0][0]
    for device in {row.device for row in rows}:
        seqs = [row.seq for row in rows if row.device == device]
        windows = read(
            agent.journal,
            f"SELECT id, lo, hi, count, trigger FROM windows WHERE device = '{device}' ORDER BY lo",
        )
        covered = [seq for _, lo, hi, _, _ in windows for seq in seqs if lo <= seq <= hi]
        assert covered == seqs[: len(covered)]
        assert len(seqs) - len(covered) < 5
        for name, lo, hi, count, trigger in windows:
            assert count == sum(lo <= seq <= hi for seq in seqs)
            made_of = {"lo": lo, "hi": hi, "last_seq": hi, "count": count, "trigger": trigger}
            assert name == identify(journal=journal_id, agent="gw-time", device=device, **made_of)


@pytest.mark.slow
def test_old_and_future_event_times(agent: AgentProcess, own_broker: Broker, wall: Wall) -> None:
    """A backlog keeps its times and is cut by them; a clock that is far ahead is not believed."""
    wall.set(0)
    agent.start()
    agent.wait_ready()
    publish(agent, own_broker.port, [b'{"value": 1}'], device="probe")
    now = rows_of(agent)[0].received
    old = now - BACKLOG_DAYS * DAY_S
    backlog = [json.dumps({"ts": old + 20 * n, "value": n}).encode() for n in range(24)]
    publish(agent, own_broker.port, backlog, device="logger")
    ahead = [
        json.dumps({"ts": now + skew, "value": n}).encode() for n, skew in enumerate((200, DAY_S, -5, 200))
    ]
    publish(agent, own_broker.port, ahead, device="fast")
    wait_for(lambda: len(verdicts_of(agent)) >= 5, 10, "windows are concluded")
    rows = rows_of(agent)

    logger = [row for row in rows if row.device == "logger"]
    assert [row.at for row in logger] == pytest.approx([old + 20 * n for n in range(24)])
    assert [row.value for row in logger] == list(range(24))
    spans = [
        json.loads(body)["window"]["readings"]
        for body in verdicts_of(agent).values()
        if json.loads(body)["device"] == "logger"
    ]
    assert set(spans) == {4}  # 60 s of event time, though it came within a second
    assert logger[-1].clock - logger[0].clock < 30
    fast = [row for row in rows if row.device == "fast"]
    assert [row.at - now for row in fast] == pytest.approx([200, fast[1].received - now, -5, 200], abs=0.01)
    assert_each_reading_is_in_one_window(agent, rows)


@pytest.mark.parametrize("days", [400, -400, 20, -20, 20_000])
def test_a_jump_raises_no_alarm(days: int) -> None:
    """Readings whose time is a wall clock that jumps, and jumps back, are neither alarms nor silence."""
    rng = random.Random(1)
    detector = Detector(settings=DetectSettings(), limits=[])
    detector.connected(0.0)
    alarms = []
    for number in range(3000):
        clock = 10.0 * number
        at = 1.75e9 + clock + (days * DAY_S if 1500 <= number < 2200 else 0.0)
        found = detector.update(Reading("d", "t", at, rng.gauss(20.0, 0.1)), clock)
        found_on = detector.update(Reading("d", "on", at, float(number // 30 % 2)), clock)
        alarms += [score for score in (found, found_on) if score.alarm] + list(detector.tick(clock))
    assert alarms == []
