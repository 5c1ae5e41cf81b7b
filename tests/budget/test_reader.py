"""Reading the budget of a running agent, and after a crash."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.budget.ledger import BudgetLedger
from agent.budget.periods import Anchor
from agent.budget.reader import read_budget
from agent.domain.model_calls import BudgetWindow, Spend
from agent.journal.errors import JournalError, JournalNewerError

NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC).timestamp()
LIMITS = dict.fromkeys(BudgetWindow, 0.10)


def read(path: Path, later_s: float = 0.0) -> Spend:
    now = Anchor(NOON + later_s, 100.0 + later_s, "boot")
    return read_budget(path, limits=LIMITS, zone=UTC, now=now)[BudgetWindow.HOUR]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[BudgetLedger]:
    ledger = BudgetLedger(
        tmp_path / "budget.sqlite",
        limits=LIMITS,
        zone=UTC,
        wall=lambda: NOON,
        mono=lambda: 100.0,
        boot="boot",
    )
    yield ledger
    ledger.close()


def test_it_tells_what_the_ledger_tells(ledger: BudgetLedger, tmp_path: Path) -> None:
    """Spent and reserved are the same from outside, and nothing is written."""

    async def story() -> None:
        first = await ledger.reserve(0.03, "review")
        assert first is not None
        await ledger.settle(first, 0.01)
        await ledger.reserve(0.02, "review")

    asyncio.run(story())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert read(tmp_path / "budget.sqlite") == ledger.spend()[BudgetWindow.HOUR] == Spend(0.1, 0.01, 0.02)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_an_hour_that_is_over_is_empty(ledger: BudgetLedger, tmp_path: Path) -> None:
    """The reader ends periods as the agent would."""
    asyncio.run(ledger.reserve(0.03, "review"))
    assert read(tmp_path / "budget.sqlite", later_s=3600) == Spend(0.1, 0.0, 0.0)


@pytest.mark.process
def test_a_crash_in_the_middle_of_a_commit_is_read(ledger: BudgetLedger, tmp_path: Path) -> None:
    """A hot journal is rolled back in a copy; the agent's own files stay for the agent."""
    asyncio.run(ledger.reserve(0.03, "review"))
    path = tmp_path / "budget.sqlite"
    code = f"""
import os, sqlite3
db = sqlite3.connect({str(path)!r}, isolation_level=None)
db.execute("PRAGMA journal_mode=TRUNCATE")
db.execute("PRAGMA cache_size=1")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE periods SET booked = 99")
db.execute("CREATE TABLE spill AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
           " SELECT i, hex(randomblob(200)) FROM n")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert Path(f"{path}-journal").stat().st_size > 0
    assert read(path) == Spend(0.1, 0.0, 0.03)
    assert Path(f"{path}-journal").stat().st_size > 0


def test_no_ledger_is_said(tmp_path: Path) -> None:
    """In words, naming the file."""
    with pytest.raises(JournalError, match=r"there is no .*budget.sqlite"):
        read(tmp_path / "budget.sqlite")


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    """The reader repairs nothing."""
    (tmp_path / "budget.sqlite").write_bytes(b"no database at all, " * 100)
    with pytest.raises(JournalError, match="is damaged"):
        read(tmp_path / "budget.sqlite")


def test_a_newer_ledger_is_refused(ledger: BudgetLedger, tmp_path: Path) -> None:
    """As the agent does."""
    connection = sqlite3.connect(tmp_path / "budget.sqlite")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(JournalNewerError):
        read(tmp_path / "budget.sqlite")
    assert ledger.lost is False
