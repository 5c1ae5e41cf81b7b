"""A metric that falls away, through journal, finding and a kill."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Arrival, Command, FindingState, Kind, Severity, TimerKind
from agent.journal.reader import Reader
from agent.pipeline.notices import Receiver
from agent.verdict import finding as finding_module
from agent.verdict.command import read_command
from agent.verdict.notice import NoticeRules
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, arrival, link_up
from tests.pipeline.test_restart import AGE_S, Life, in_a_life

plain = rig_module.decode
BEGIN, STEP_S = 1_700_000_000.0, 900.0


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(item: Arrival) -> Plain | Command:
        return read_command(item.payload) if item.topic == "own/command" else plain(item)

    monkeypatch.setattr(rig_module, "decode", decode)


async def send(life: Life, first: int, count: int, *metrics: str) -> None:
    """Have messages of one device a quarter of an hour apart, and then their window."""
    for number in range(first, first + count):
        values = dict.fromkeys(metrics, 20.0 + number % 7 / 10)
        life.rig.offer(
            [
                arrival(
                    number,
                    topic="sensors/d/all",
                    payload=json.dumps(values).encode(),
                    received=BEGIN + number * STEP_S,
                )
            ]
        )
    await life.feed()
    await asyncio.sleep(2 * AGE_S)
    for _ in range(2):
        life.pipeline.note(TimerKind.TICK)
        await life.feed()


def notices(life: Life) -> int:
    with Reader.open(life.rig.folder) as reader:
        return reader.notices(["ops"])["ops"].waiting


async def begin(life: Life) -> None:
    life.pipeline.notices.receivers = [Receiver("ops", Severity.INFO)]
    life.pipeline.notices.rules = NoticeRules(settle_s=3600.0)
    life.rig.offer([link_up(life.journal.generation + 1)])
    await life.feed()


async def _lose(life: Life) -> Any:
    await begin(life)
    await send(life, 0, 130, "temperature", "humidity")
    assert life.pipeline.conclusions.findings() == []
    await send(life, 130, 12, "temperature")
    await send(life, 142, 40, "temperature")
    (finding,) = life.pipeline.conclusions.findings()
    assert (finding.kind, [one.metric for one in finding.seen]) == (Kind.SILENCE, ["humidity"])
    assert (finding.silent_since, notices(life)) == (None, 1)
    last = life.pipeline.conclusions.last_anomaly(finding.id)
    assert last is not None
    assert (last["window"]["trigger"], last["window"]["readings"]) == ("suspicion", 0)
    return finding, len(life.sent)


async def _go_on(life: Life) -> Any:
    await life.feed()
    (finding,) = life.pipeline.conclusions.findings()
    assert life.detector.absent("d") == ["humidity"]
    await begin(life)
    await send(life, 182, 20, "temperature")
    assert life.pipeline.conclusions.findings() == [finding_at(finding, life)]
    for first in (202, 204, 206):
        await send(life, first, 2, "temperature", "humidity")
    assert life.pipeline.conclusions.findings() == []
    return finding


def finding_at(finding: Any, life: Life) -> Any:
    """Return the finding as it is now, if it is the same one."""
    (now,) = life.pipeline.conclusions.findings()
    assert (now.id, now.state) == (finding.id, FindingState.OPEN)
    return now


@pytest.mark.slow
def test_a_kill_changes_nothing(tmp_path: Path) -> None:
    """The next process knows of the same finding, opens no other, and ends it with the metric."""
    finding, _sent = in_a_life(tmp_path, _lose)
    again = in_a_life(tmp_path, _go_on)
    assert (again.id, again.opened) == (finding.id, finding.opened)


async def _give_up(life: Life) -> None:
    finding, _sent = await _lose(life)
    before = notices(life)
    finding_module.GONE_S = 0.0
    await send(life, 182, 4, "temperature")
    assert life.pipeline.conclusions.findings() == []
    assert notices(life) == before
    closed = life.pipeline.conclusions.find(finding.id)
    assert closed is not None
    assert closed.state is FindingState.FORGOTTEN


async def _look(life: Life) -> Any:
    await life.feed()
    with Reader.open(life.rig.folder) as reader:
        ((_, closed, _),) = [(one.id, one, end) for one, end in reader.findings_of("d", limit=5)]
    return life.pipeline.conclusions.findings(), closed.state


@pytest.mark.slow
def test_one_that_never_comes_back_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a notice, and for good."""
    monkeypatch.setattr(finding_module, "GONE_S", finding_module.GONE_S)
    in_a_life(tmp_path, _give_up)
    assert in_a_life(tmp_path, _look) == ([], FindingState.FORGOTTEN)


async def _call_it_normal(life: Life) -> None:
    await _lose(life)
    life.rig.offer(
        [arrival(900, qos=0, topic="own/command", payload=b'{"do":"normal_here","device":"d","id":"c1"}')]
    )
    await life.feed()
    assert life.pipeline.conclusions.findings() == []
    assert life.detector.absent("d") == []
    await send(life, 182, 40, "temperature")
    assert life.pipeline.conclusions.findings() == []


def test_a_person_may_call_it_normal(tmp_path: Path) -> None:
    """Then it is not reported again."""
    in_a_life(tmp_path, _call_it_normal)
