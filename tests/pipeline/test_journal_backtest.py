"""A backtest of a journal finds what the live agent has found."""

import asyncio
from pathlib import Path

import pytest
import yaml

from agent.commands import backtest as backtest_module
from agent.commands.backtest import backtest
from agent.commands.offline.inputs import OwnJournal, Until
from agent.config import Config
from agent.config.load import load
from agent.detect import Detector
from agent.domain.records import Finding, Place, TimerKind, Window
from agent.journal.reader import Reader
from agent.pipeline.causes import Places, surroundings
from agent.verdict.incident import Surroundings
from tests.journal.rig import arrival, link_up
from tests.pipeline.test_restart import AGE_S, Life, in_a_life

HIGH = 1e6  # above all values of the rig
DAY_S = 86_400.0


def config_of(folder: Path, high: float) -> Config:
    path = folder / "agent.yaml"
    window = {"max_age_s": AGE_S}
    path.write_text(
        yaml.safe_dump(
            {
                "agent": {"state_dir": str(folder)},
                "limits": {"*/*": {"high": high}},
                "review": {"mode": "none", "window": window},
            }
        )
    )
    return load(path, {})


async def _live(life: Life) -> list[Finding]:
    """Let limits be broken and kept again, each in a window of its own."""
    life.rig.offer([link_up(1)])
    for number in range(12):
        value = b"99" if number in (3, 4, 9) else b"20"
        life.rig.offer(
            [arrival(number + 1, topic=f"sensors/d{device}/t", payload=value) for device in range(2)]
        )
        await life.feed()
        await asyncio.sleep(1.5 * AGE_S)
        life.pipeline.note(TimerKind.TICK)
        await life.feed()
    return life.pipeline.conclusions.findings()


def key(finding: Finding) -> tuple[str, str, str, float]:
    return finding.device, finding.kind.value, finding.severity.value, finding.opened


def test_it_has_the_live_findings(tmp_path: Path) -> None:
    """The same devices, kinds, severities and times to the last digit; it leaves no file behind."""
    still_open = in_a_life(tmp_path, _live, high=50.0)
    before = sorted(path.name for path in tmp_path.iterdir())
    with Reader.open(tmp_path) as reader:
        cleared = reader.findings(closed=True)
        told = backtest(config_of(tmp_path, 50.0), OwnJournal(reader, DAY_S), Until(), tap=None)
    assert len(cleared) == len(still_open) == 2
    found = [(one["device"], one["kind"], one["severity"], one["clock"][0]) for one in told["findings"]]
    assert sorted(found) == sorted(map(key, [*cleared, *still_open]))
    live = {one.incident for one in (*cleared, *still_open)}
    assert len({one["incident"] for one in told["findings"]}) == told["counts"]["incidents"] == len(live) == 2
    assert told["input"]["readings"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "agent.yaml"])


def test_devices_have_the_source_that_the_journal_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices of one source may share an incident; its rows do not have it."""
    places: list[Place | None] = []

    def noted(window: Window, known: Places, detector: Detector) -> Surroundings:
        places.append(known.of(window.device))
        return surroundings(window, known, detector)

    monkeypatch.setattr(backtest_module, "surroundings", noted)
    in_a_life(tmp_path, _live, high=50.0)
    with Reader.open(tmp_path) as reader:
        sources = reader.sources_of_devices()
        backtest(config_of(tmp_path, 50.0), OwnJournal(reader, DAY_S), Until(), tap=None)
    assert set(sources) == {"d0", "d1"}
    assert places
    assert {None if one is None else one.source for one in places} == set(sources.values())


def test_another_limit_finds_something_else(tmp_path: Path) -> None:
    in_a_life(tmp_path, _live, high=50.0)
    with Reader.open(tmp_path) as reader:
        told = backtest(config_of(tmp_path, HIGH), OwnJournal(reader, DAY_S), Until(), tap=None)
        assert told["findings"] == []
        told = backtest(config_of(tmp_path, 50.0), OwnJournal(reader, 0.0), Until(), tap=None)
        assert told["findings"] == []  # none of so short a time
        assert told["input"]["readings"] == 24


async def _snapshot_and_prune(life: Life) -> None:
    await _live(life)
    life.pipeline.snapshot()
    await life.feed()
    sealed_to = life.pipeline.seq
    await asyncio.to_thread(
        life.rig.write,
        lambda store: store._connection.execute("DELETE FROM messages WHERE seq <= ?", (sealed_to,)),
    )
    await asyncio.to_thread(
        life.rig.write,
        lambda store: store._connection.execute("DELETE FROM timer_events WHERE seq <= ?", (sealed_to,)),
    )
    life.rig.offer([arrival(99, topic="sensors/d0/t", payload=b"99")])
    await life.feed()


def test_behind_deleted_rows_it_goes_on_with_the_snapshot(tmp_path: Path) -> None:
    """The detector keeps its earlier knowledge, and that is reported."""
    in_a_life(tmp_path, _snapshot_and_prune, high=HIGH)
    with Reader.open(tmp_path) as reader:
        told = backtest(config_of(tmp_path, 50.0), OwnJournal(reader, DAY_S), Until(), tap=None)
    assert told["input"]["sources"] == [{"name": "journal", "kind": "journal", "learnt_before": True}]
    assert (told["input"]["readings"], told["input"]["devices"]) == (1, 2)
    (one,) = told["findings"]
    assert (one["device"], one["kind"]) == ("d0", "out_of_range")
