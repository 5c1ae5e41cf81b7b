"""``edge-agent budget``: figures for a person, and the one command that writes."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.budget.ledger import BudgetLedger
from agent.budget.periods import find_zone
from agent.cli import main
from agent.domain.model_calls import BudgetWindow

pytestmark = pytest.mark.process

LIMITS = {BudgetWindow.HOUR: 0.1, BudgetWindow.DAY: 1.0, BudgetWindow.MONTH: 20.0}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose state is in the test's folder."""
    path = tmp_path / "agent.yaml"
    path.write_text(f"agent: {{state_dir: {tmp_path / 'state'}}}\n")
    (tmp_path / "state").mkdir()
    return path


@pytest.fixture
def ledger(config: Path) -> Iterator[BudgetLedger]:
    """The ledger of a running agent: 0.03 spent, 0.055 reserved."""
    ledger = BudgetLedger(
        config.parent / "state" / "budget.sqlite",
        limits=LIMITS,
        zone=find_zone(None),
        wall=time.time,
        mono=time.monotonic,
    )

    async def spend() -> None:
        booking = await ledger.reserve(0.04, "review")
        assert booking is not None
        await ledger.settle(booking, 0.03)
        assert await ledger.reserve(0.055, "review") is not None

    asyncio.run(spend())
    yield ledger
    ledger.close()


@pytest.mark.usefixtures("ledger")
def test_show_says_what_is_left(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Limit, spent, reserved, left and state of each period, as a table or as JSON; no file changes."""
    folder = config.parent / "state"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["budget", "show", "--json", "--config", str(config)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["hour", "day", "month"]
    assert shown["hour"] == {
        "limit_usd": 0.1,
        "spent_usd": 0.03,
        "reserved_usd": 0.055,
        "left_usd": 0.015,
        "state": "soft",
    }
    assert main(["budget", "show", "--config", str(config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["hour", "0.100000", "0.030000", "0.055000", "0.015000", "soft"]
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_reset_frees_the_money_of_a_running_agent(
    config: Path, ledger: BudgetLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    """A call that was refused before fits afterwards, in a process that runs meanwhile, too."""
    assert asyncio.run(ledger.reserve(0.05, "review")) is None
    assert main(["budget", "reset", "--config", str(config)]) == 0
    assert "0.085000 USD of this hour" in capsys.readouterr().out
    assert asyncio.run(ledger.reserve(0.05, "review")) is not None
    assert ledger.spend()[BudgetWindow.DAY].reserved == pytest.approx(0.05)


def test_without_a_ledger_both_say_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 69 and one line; nothing is created."""
    for action in ("show", "reset"):
        assert main(["budget", action, "--config", str(config)]) == 69
        assert "the agent has not asked a model yet" in capsys.readouterr().err
    assert list((config.parent / "state").iterdir()) == []


def test_reset_takes_back_a_lost_ledger(config: Path, ledger: BudgetLedger) -> None:
    """A ledger that vanished counts as spent until a person resets it."""
    ledger.close()
    (config.parent / "state" / "budget.sqlite").unlink()
    assert main(["budget", "reset", "--config", str(config)]) == 0
    again = BudgetLedger(
        config.parent / "state" / "budget.sqlite",
        limits=LIMITS,
        zone=find_zone(None),
        wall=time.time,
        mono=time.monotonic,
    )
    assert asyncio.run(again.reserve(0.1, "review")) is not None
    again.close()
