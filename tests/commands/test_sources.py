"""The doctor's words on sources, from the journaled counts."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.commands.checks.line import Level
from agent.commands.checks.sources import look_at_sources
from agent.config import Config, load_apart
from agent.decode.registry import Registry
from agent.journal.source_saves import SourceSaves
from agent.journal.source_tally import SourceTally
from agent.journal.stats import JournalStats
from agent.status.source_view import barren, barren_words, view_sources
from tests.commands.kit import write_config
from tests.journal.rig import Rig, arrival, link_up
from tests.pipeline import field_streams

pytestmark = pytest.mark.process

AT = 1_700_000_000.0


def save(config: Config, stats: JournalStats, *, now: float) -> None:
    """Write counts as a running agent does each minute; ``now`` is monotonic."""
    with closing(sqlite3.connect(config.agent.state_dir / "journal.sqlite")) as connection, connection:
        SourceSaves(connection, stats=stats, wall=lambda: AT + 600, mono=lambda: now).write(connection)


def journaled(folder: Path, **sources: SourceTally) -> list[Any]:
    """Return the doctor's lines for a journal with these counts."""
    config = load_apart(write_config(folder, sources=[{"topic": f"{name}/{{device}}"} for name in sources]))
    with Rig(config.agent.state_dir) as rig:
        rig.offer([link_up(1)])
        rig.settle()
    stats = JournalStats()
    stats.sources = {f"{name}/{{device}}": tally for name, tally in sources.items() if tally.messages}
    save(config, stats, now=1000.0)
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


def test_status_and_doctor_name_a_source_whose_words_nobody_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of words and one reading of another source; both name the first in the same words."""
    topics = ["hall/{device}/{metric}", "room/{device}"]
    config = load_apart(write_config(tmp_path, sources=[{"topic": topic} for topic in topics]))
    registry = Registry(sources=config.sources, base_topic="edge-agent/gw1")
    monkeypatch.setattr(
        "tests.journal.rig.decode", lambda one: registry.decode(one.topic, one.payload, one.received)
    )
    words = field_streams.text_only(until=field_streams.START + 3600.0, words=("ajar", "stiff"))
    messages = [one for one in words if one.topic == "hall/door/state"]
    with Rig(config.agent.state_dir) as rig:
        rig.offer([link_up(1)])
        for number, one in enumerate(messages):
            rig.offer([arrival(number, topic=one.topic, payload=one.payload)])
        rig.offer([arrival(len(messages), topic="room/bath", payload=b'{"temperature":21.5}')])
        rig.settle()
        stats, soon = rig.journal.stats, time.monotonic() + 300.0
        views = view_sources(topics, stats, soon)
        (told,) = barren(stats, soon).items()
    assert [(view["yields_nothing"], view["readings"]) for view in views] == [(True, 0), (False, 1)]
    assert views[0]["unread"] == [{"device": "door", "name": "state", "why": "unmapped"}]
    save(config, stats, now=soon)
    warned, well = look_at_sources(config)
    assert (warned.level, well.level) == (Level.WARN, Level.OK)
    for text in (warned.what, barren_words(told[0], told[1].as_json(soon))):
        assert f"hall/{{device}}/{{metric}} has sent {len(messages)} messages without a reading" in text
        assert "door state: unmapped" in text
    assert "metrics.values" in warned.remedy


def test_a_journal_without_counts_says_nothing(tmp_path: Path) -> None:
    """As one of an earlier version."""
    config = load_apart(write_config(tmp_path))
    assert list(look_at_sources(config)) == []


def test_devices_with_a_fault_of_their_clock_are_warned_of(tmp_path: Path) -> None:
    """A line for each kind of fault, and the readings of history in the line of their source."""
    config = load_apart(write_config(tmp_path, sources=[{"topic": "texts/{device}"}]))
    well = SourceTally(messages={"read": 5, "history": 3}, readings=5, history=40)
    stats = JournalStats(sources={"texts/{device}": well})
    with Rig(config.agent.state_dir) as rig:
        rig.settle()
    path = config.agent.state_dir / "journal.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = [("kiln", "wrong", -1_987_200.0), ("hall", "local", 19_800.0), ("shed", "", 0.0)]
        for device, fault, off_s in rows:
            row = (device, AT, fault, off_s, "", None, None, None, 0)
            connection.execute("INSERT INTO clocks VALUES (?,?,?,?,?,?,?,?,?)", row)
    save(config, stats, now=1000.0)
    wrong, local, source = look_at_sources(config)
    assert [one.level for one in (wrong, local, source)] == [Level.WARN, Level.WARN, Level.OK]
    assert wrong.what == "Wrong clock: kiln (23 days behind)"
    assert local.what.endswith(": hall (5:30 h ahead)")
    assert "time: {zone: ...}" in (local.remedy or "")
    assert "40 of earlier times" in source.what
