"""Counts by source on disk: soon, then seldom, at a stop, over a restart."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.journal.reader import Reader
from agent.journal.schema import read_meta
from agent.journal.source_saves import KEY, MAX_EARLIER, SELDOM_S, SOON_S, SourceSaves, read_counts
from agent.journal.source_tally import SourceTally
from agent.journal.stats import JournalStats
from agent.status.source_view import view_sources
from tests.journal.rig import Rig, arrival, link_up

AT = 1_700_000_000.0


def saved(folder: Path) -> dict[str, Any]:
    with Reader.open(folder) as reader:
        return {source: one.counts["messages"] for source, one in (reader.sources() or {}).items()}


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    return connection


def test_counts_are_written_soon_and_then_seldom() -> None:
    """The wait doubles to a minute while counts only grow; a new outcome is on disk within 5 s."""
    now, stats, waits = [100.0], JournalStats(), []
    with closing(table()) as connection:
        saves = SourceSaves(connection, stats=stats, wall=lambda: AT, mono=lambda: now[0])
        assert not saves.due()
        for outcome in ["text"] * 6 + ["refused"] * 2:
            stats.received += 1
            messages = stats.sources.setdefault("s", SourceTally()).messages
            messages[outcome] = messages.get(outcome, 0) + 1
            begun = now[0]
            while not saves.due():
                now[0] += 1.0
            waits.append(now[0] - begun)
            saves.write(connection)
            saves.commit()
            assert not saves.unsaved
    assert waits == [0.0, SOON_S, 10.0, 20.0, 40.0, SELDOM_S, SELDOM_S, SOON_S]


def test_a_write_that_was_rolled_back_is_due_again() -> None:
    """Counts of a transaction that failed are not taken for saved."""
    stats = JournalStats(received=1)
    with closing(table()) as connection:
        saves = SourceSaves(connection, stats=stats, wall=lambda: AT, mono=lambda: 1.0)
        saves.write(connection)
        saves.rollback()
        saves.commit()
        assert saves.due()


@pytest.mark.process
def test_another_process_reads_the_counts_at_once(tmp_path: Path) -> None:
    """A site that sends text alone is counted on disk without a further message or a pruning."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number, payload=b"text") for number in range(3))])
        rig.until(lambda: saved(tmp_path) == {"sensors": {"text": 3}})


@pytest.mark.process
def test_a_stop_saves_the_newest_counts(tmp_path: Path) -> None:
    """The messages of the last seconds are in them, whatever the wait."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(0, payload=b"text")])
        rig.until(lambda: saved(tmp_path) == {"sensors": {"text": 1}})
        rig.offer([arrival(number, payload=b"text") for number in range(1, 30)])
        rig.settle()
    assert saved(tmp_path) == {"sensors": {"text": 30}}


@pytest.mark.process
def test_a_start_shows_the_counts_of_the_run_before(tmp_path: Path) -> None:
    """Until a message comes; and a source that stays quiet keeps its last counts on disk."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number, payload=b"text") for number in range(3))])
        rig.settle()
    with Rig(tmp_path) as rig:
        (before,) = view_sources(["sensors"], rig.journal.stats, 0.0)
        rig.offer([link_up(2), arrival(4, topic="own/x", generation=2)])
        rig.settle()
        (quiet,) = view_sources(["sensors"], rig.journal.stats, 0.0)
    assert (before["text"], quiet["text"]) == (3, 3)
    assert before["counted_until"] is not None
    assert saved(tmp_path) == {"sensors": {"text": 3}, "": {"own": 1}}
    with Rig(tmp_path) as rig:
        rig.offer([link_up(3), arrival(5, generation=3)])
        rig.settle()
        (now,) = view_sources(["sensors"], rig.journal.stats, 0.0)
    assert (now["text"], now["readings"], now["counted_until"]) == (0, 1, None)
    assert saved(tmp_path)["sensors"] == {"read": 1}


@pytest.mark.parametrize(
    "text", [None, "", "null", "[]", "{", "7", '{"sources": 7}', '{"since":1,"at":2,"sources":{"s":{}}}']
)
def test_foreign_text_is_nothing(text: str | None) -> None:
    """A file that was tampered with, or of another version, does not stop a start."""
    assert read_counts(text) == {}


def test_sources_that_were_removed_take_bounded_room() -> None:
    """A configuration that changes for years does not let the row grow, nor do long names."""
    stats = JournalStats(received=1)
    for place in range(10 * MAX_EARLIER):
        tally = stats.sources[f"s{place}"] = SourceTally()
        tally.sample("d" * 100_000, "n" * 100_000, "text")
    with closing(table()) as connection:
        saves = SourceSaves(connection, stats=stats, wall=lambda: AT, mono=lambda: 1.0)
        saves.write(connection)
        again = JournalStats()
        SourceSaves(connection, stats=again, wall=lambda: AT, mono=lambda: 1.0)
    assert len(again.earlier) == MAX_EARLIER
    assert max(len(str(one)) for one in again.earlier.values()) < 1024


def test_the_rhythm_of_a_source_is_kept_until_there_is_a_newer_one() -> None:
    """A run that has not judged the source yet writes what the last one learnt."""
    with closing(table()) as connection:
        for rhythm, kept in (([1.0], [1.0]), (None, [1.0]), ([2.0], [2.0])):
            stats = JournalStats(received=1)
            saves = SourceSaves(connection, stats=stats, wall=lambda: AT, mono=lambda: 1.0)
            stats.sources["s"] = SourceTally(rhythm=rhythm)
            saves.write(connection)
            assert read_counts(read_meta(connection, KEY))["s"].counts["rhythm"] == kept
