"""The doctor's words on sources, from the journaled counts."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.commands.checks.line import Level
from agent.commands.checks.sources import look_at_sources
from agent.config import load_apart
from agent.journal.source_tally import SourceTally
from agent.journal.stats import JournalStats
from tests.commands.kit import write_config
from tests.journal.rig import Rig, link_up

pytestmark = pytest.mark.process

AT = 1_700_000_000.0


def journaled(folder: Path, **sources: SourceTally) -> list[Any]:
    """Return the doctor's lines for a journal with these counts."""
    config = load_apart(write_config(folder, sources=[{"topic": f"{name}/{{device}}"} for name in sources]))
    with Rig(config.agent.state_dir) as rig:
        rig.offer([link_up(1)])
        rig.settle()
    stats = JournalStats()
    stats.sources = {f"{name}/{{device}}": tally for name, tally in sources.items() if tally.messages}
    text = stats.sources_json(since=AT, at=AT + 600, now=1000.0)
    with closing(sqlite3.connect(config.agent.state_dir / "journal.sqlite")) as connection, connection:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('sources', ?)", (text,))
    return list(look_at_sources(config))


def test_a_site_that_sends_only_text_is_warned_of(tmp_path: Path) -> None:
    """The line names counts, the last value and the remedy; another source is well, a third sent nothing."""
    text = SourceTally(
        messages={"text": 42},
        skipped={"unmapped": 42},
        samples={("door", "state"): "unmapped"},
        fruitless=42,
        fruitless_at=AT,
    )
    well = SourceTally(messages={"read": 5, "text": 9}, readings=7, fruitless=2)
    lines = journaled(tmp_path, texts=text, well=well, none=SourceTally())
    assert [line.level for line in lines] == [Level.WARN, Level.OK, Level.OK]
    assert "42 messages without a reading" in lines[0].what
    assert "door state: unmapped" in lines[0].what
    assert "metrics.values" in lines[0].remedy
    assert "14 messages, 7 readings" in lines[1].what
    assert "no message" in lines[2].what


def test_a_journal_without_counts_says_nothing(tmp_path: Path) -> None:
    """As one of an earlier version."""
    config = load_apart(write_config(tmp_path))
    assert list(look_at_sources(config)) == []
