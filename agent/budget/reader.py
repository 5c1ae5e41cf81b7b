"""Reads the budget of a running or stopped agent without writing to its directory."""

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path

from agent.budget.periods import KINDS, Anchor, Period, spend_of
from agent.budget.pricing import nano
from agent.budget.store import VERSION
from agent.domain.model_calls import BudgetWindow, Spend
from agent.journal.errors import JournalError, JournalNewerError
from agent.journal.state_dir import refuse_planted


def read_budget(
    path: Path, *, limits: Mapping[BudgetWindow, float], zone: tzinfo, now: Anchor
) -> Mapping[BudgetWindow, Spend]:
    """Return what the ledger at ``path`` holds at ``now``, USD.

    A booking that a dead process left counts as reserved here until the agent starts again.

    Raises:
        JournalError: there is no ledger, or it cannot be read.
        JournalNewerError: it is of a newer agent.
    """
    refuse_planted(path)
    if not path.exists():
        raise JournalError(f"budget: there is no {path}; the agent has not asked a model yet")
    try:
        return _read(path, limits, zone, now)
    except sqlite3.OperationalError:
        pass  # the agent died while it wrote: only a copy may be rolled back
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in (path.name, f"{path.name}-journal"):
                if path.with_name(name).exists():
                    shutil.copy(path.with_name(name), folder)
            return _read(Path(folder) / path.name, limits, zone, now, mode="rw")
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"budget: cannot read {path}: {error}") from error


def _read(
    path: Path, limits: Mapping[BudgetWindow, float], zone: tzinfo, now: Anchor, mode: str = "ro"
) -> Mapping[BudgetWindow, Spend]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=2.0)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise JournalNewerError(f"budget: {path} has schema {version}, this agent knows up to {VERSION}")
        connection.execute("BEGIN")
        rows = connection.execute("SELECT kind, start, booked, lost FROM periods").fetchall()
        anchor = Anchor(*connection.execute("SELECT wall, mono, boot FROM anchor").fetchone())
        bookings = connection.execute("SELECT amount, hour, day, month FROM bookings").fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise JournalError(f"budget: {path} is damaged: {error}; the agent sets it aside at start") from error
    finally:
        connection.close()
    stored = {kind: Period(start, booked, bool(lost)) for kind, start, booked, lost in rows}
    return spend_of(
        stored,
        anchor,
        [(amount, dict(zip(KINDS, begins, strict=True))) for amount, *begins in bookings],
        limits={kind: nano(limits[BudgetWindow(kind)]) for kind in KINDS},
        now=now,
        zone=zone,
    )
