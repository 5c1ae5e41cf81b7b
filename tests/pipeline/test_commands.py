"""A person's command is decided once; a replay changes the detector alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Arrival, Command, FindingState, Severity, TimerKind
from agent.journal.reader import Reader
from agent.pipeline.events import CommandDecided, IncidentChanged
from agent.pipeline.notices import Receiver
from agent.verdict.command import read_command
from agent.verdict.notice import NoticeRules
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, arrival, link_up
from tests.pipeline.test_restart import AGE_S, Life, in_a_life

plain = rig_module.decode


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(item: Arrival) -> Plain | Command:
        return read_command(item.payload) if item.topic == "own/command" else plain(item)

    monkeypatch.setattr(rig_module, "decode", decode)


async def say(life: Life, text: bytes, number: int) -> None:
    life.rig.offer([arrival(number, qos=0, topic="own/command", payload=text)])
    await life.feed()


async def open_a_finding(life: Life) -> None:
    """Have a spike of a warm series, with a window of its own."""
    life.rig.offer([link_up(life.journal.generation + 1)])
    warm = [
        arrival(number, topic="sensors/d/temperature", payload=b"%.2f" % (20 + number % 7 / 10))
        for number in range(600)
    ]
    for start in range(0, len(warm), 200):
        life.rig.offer(warm[start : start + 200])
        await life.feed()
    life.rig.offer([arrival(700, topic="sensors/d/temperature", payload=b"90")])
    await life.feed()
    await asyncio.sleep(2 * AGE_S)
    life.pipeline.note(TimerKind.TICK)
    await life.feed()


def allowed(life: Life) -> dict[str, Any]:
    return life.detector._allowed.dump()


async def _call_it_normal(life: Life) -> tuple[dict[str, Any], int]:
    decided: list[CommandDecided] = []
    incidents: list[IncidentChanged] = []
    life.events.subscribe(CommandDecided, decided.append)
    life.events.subscribe(IncidentChanged, incidents.append)
    await open_a_finding(life)
    (finding,) = life.pipeline.conclusions.findings()
    await say(life, b'{"do":"normal_here","device":"d","id":"c1"}', 800)
    assert [one.outcome.state for one in decided] == [FindingState.NORMAL_HERE]
    assert [one.incident.closed for one in incidents] == [False, True]
    assert life.pipeline.conclusions.findings() == []
    assert finding.incident == incidents[0].incident.id
    return allowed(life), len(life.sent)


async def _look(life: Life) -> tuple[dict[str, Any], int, list[Any]]:
    decided: list[Any] = []
    life.events.subscribe(CommandDecided, decided.append)
    await life.feed()
    return allowed(life), len(life.pipeline.conclusions.findings()), decided


def test_a_kill_after_the_command_changes_nothing(tmp_path: Path) -> None:
    """Without a snapshot all rows are replayed: the detector allows the same, nothing is decided again."""
    before, _sent = in_a_life(tmp_path, _call_it_normal)
    assert before["series"]
    after, findings, decided = in_a_life(tmp_path, _look)
    assert (after, findings, decided) == (before, 0, [])


async def _snapshot(life: Life) -> dict[str, Any]:
    await life.feed()
    life.pipeline.snapshot()
    await life.feed()
    return allowed(life)


def test_nor_does_one_after_a_snapshot(tmp_path: Path) -> None:
    """The allowed values are part of it."""
    before, _sent = in_a_life(tmp_path, _call_it_normal)
    assert in_a_life(tmp_path, _snapshot) == before
    assert in_a_life(tmp_path, _look) == (before, 0, [])


async def _outlast_a_snooze(life: Life) -> tuple[int, ...]:
    """Return how many notices wait after the opening, the snooze, its end and the turns after that."""
    notices = life.pipeline.notices
    notices.receivers = [Receiver("ops", Severity.INFO)]
    notices.rules = NoticeRules(settle_s=3600.0)
    waiting = []

    def count() -> None:
        with Reader.open(life.rig.folder) as reader:
            waiting.append(reader.notices(["ops"])["ops"].waiting)

    await open_a_finding(life)
    count()
    await say(life, b'{"do":"snooze","device":"d","for":"1s","id":"s1"}', 800)
    count()
    end = life.pipeline.conclusions.next_change()
    assert end is not None
    life.pipeline.note(TimerKind.TICK)
    await life.feed()
    assert life.pipeline.conclusions.next_change() == end
    await asyncio.sleep(max(0.0, end - life.journal.clock.now()) + 0.01)
    for _ in range(2):
        life.pipeline.note(TimerKind.TICK)
        await life.feed()
        count()
    (finding,) = life.pipeline.conclusions.findings()
    assert (finding.state, finding.until) == (FindingState.OPEN, None)
    assert life.pipeline.conclusions.next_change() is None
    return tuple(waiting)


async def _outlast_maintenance(life: Life) -> tuple[int, ...]:
    """Return how many notices wait after the opening, the begin of the work and its end."""
    notices = life.pipeline.notices
    notices.receivers = [Receiver("ops", Severity.INFO)]
    notices.rules = NoticeRules(settle_s=3600.0)
    waiting = []

    def count() -> None:
        with Reader.open(life.rig.folder) as reader:
            waiting.append(reader.notices(["ops"])["ops"].waiting)

    await open_a_finding(life)
    count()
    now = life.journal.clock.now()
    plan = {"do": "maintenance", "device": "d", "from": now + 0.5, "until": now + 1.0}
    await say(life, json.dumps(plan).encode(), 800)
    count()
    for at in (now + 0.5, now + 1.0):
        await asyncio.sleep(max(0.0, at - life.journal.clock.now()) + 0.01)
        life.pipeline.note(TimerKind.TICK)
        await life.feed()
        count()
    (finding,) = life.pipeline.conclusions.findings()
    assert not finding.maintenance
    return tuple(waiting)


def test_a_silent_device_outlasts_its_maintenance(tmp_path: Path) -> None:
    """No row of it is needed: begin and end are acted on by ticks, and a restart changes nothing."""
    assert in_a_life(tmp_path, _outlast_maintenance) == (1, 1, 0, 1)
    assert in_a_life(tmp_path, _states) == [FindingState.OPEN]


async def _states(life: Life) -> list[FindingState]:
    return [one.state for one in life.pipeline.conclusions.findings()]


def test_a_finding_that_outlasts_its_snooze_is_notified_once(tmp_path: Path) -> None:
    """At a tick, so that a silent device has its notice too; the next process finds it open."""
    assert in_a_life(tmp_path, _outlast_a_snooze) == (1, 0, 1, 1)
    assert in_a_life(tmp_path, _states) == [FindingState.OPEN]
