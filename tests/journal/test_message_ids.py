"""A message that its publisher sends twice is journaled once."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.records import Arrival
from agent.journal.redelivery import MessageIds, digest_of
from agent.journal.schema import connect
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, decode, link_up


def by_id(item: Arrival) -> Plain:
    """Take ``sensors/<device>/<id>`` for a message with an id; without one where it ends in ``none``."""
    _, device, name = item.topic.split("/")
    return replace(decode(item), device=device, message_id=None if name == "none" else name, retained="live")


@pytest.fixture(autouse=True)
def _ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig_module, "decode", by_id)


def sent(number: int, name: str, *, generation: int = 1, device: str = "d1") -> Arrival:
    """Return a message with its publisher's id; packet id and value are the number's."""
    return arrival(number, topic=f"sensors/{device}/{name}", generation=generation)


def test_a_duplicate_is_acknowledged_and_counted(tmp_path: Path) -> None:
    """In one transaction, in a later one and after a restart; each PUBLISH has its ack."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), sent(1, "a"), sent(2, "a"), sent(3, "b")])
        rig.settle()
        rig.offer([sent(4, "b"), sent(5, "c")])
        rig.settle()
        assert rig.acks == [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]
        assert [row.seq for row in rig.rows] == [1, 2, 3]
        assert (rig.journal.stats.duplicates, rig.journal.stats.journaled) == (2, 3)
    with Rig(tmp_path) as again:
        again.offer([link_up(2), sent(1, "c", generation=2), sent(2, "d", generation=2)])
        again.settle()
        assert again.acks == [(2, 2), (2, 3)]
        assert (again.journal.stats.duplicates, again.journal.stats.journaled) == (1, 1)


def test_ids_belong_to_a_device(tmp_path: Path) -> None:
    """Two devices count for themselves, and what has no id is never a duplicate."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), sent(1, "a"), sent(2, "a", device="d2"), sent(3, "none"), sent(4, "none")])
        rig.settle()
        assert (rig.journal.stats.duplicates, rig.journal.stats.journaled) == (0, 4)


def test_redelivery_by_generation_works_beside_it(tmp_path: Path) -> None:
    """A repeat of the broker is counted as one; a repeat of the publisher, as a duplicate."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), sent(1, "a"), sent(2, "none")])
        rig.offer([link_up(2), replace(sent(1, "a", generation=2), dup=True)])
        rig.offer([replace(sent(2, "none", generation=2), dup=True), sent(9, "a", generation=2)])
        rig.settle()
        stats = rig.journal.stats
        assert (stats.redelivered, stats.duplicates, stats.journaled) == (2, 1, 2)
        assert len(rig.acks) == 5


def test_a_message_in_quarantine_leaves_no_id(tmp_path: Path) -> None:
    """When it comes again and can be read, it is taken."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), replace(sent(1, "a"), payload=b"{"), sent(2, "a")])
        rig.settle()
        assert (rig.journal.stats.duplicates, rig.journal.stats.journaled) == (0, 1)


def test_a_retained_seed_leaves_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed is not a reading, so it must not replace the reading that follows it."""
    monkeypatch.setattr(rig_module, "decode", lambda item: replace(by_id(item), retained="seed"))
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), replace(sent(1, "a"), retain=True), sent(2, "a"), sent(3, "a")])
        rig.settle()
        stats = rig.journal.stats
        assert (stats.seeds, stats.readings, stats.duplicates) == (1, 1, 1)


def test_without_ids_there_is_no_table(tmp_path: Path) -> None:
    """A journal whose sources know no ids stays as it was."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), sent(1, "none")])
        rig.settle()
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "message_ids" not in names


# ------------------------------------------------------------------------------------- the table alone


@pytest.fixture
def table(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path / "ids.sqlite")) as connection:
        yield connection


def take(connection: sqlite3.Connection, ids: MessageIds, *names: str, end: str = "COMMIT") -> list[bool]:
    """Ask for each name in one transaction, note what is new, and end it; return what was known."""
    connection.execute("BEGIN IMMEDIATE")
    known = []
    for name in names:
        digest = digest_of("s", "d", name)
        known.append(ids.knows(digest))
        if not known[-1]:
            ids.note(digest)
    ids.insert()
    connection.execute(end)
    finish: Callable[[], None] = ids.commit if end == "COMMIT" else ids.rollback
    finish()
    return known


def test_what_is_rolled_back_was_never_there(table: sqlite3.Connection) -> None:
    """The table itself too, when its making was part of the transaction."""
    ids = MessageIds(table, now=lambda: 0.0)
    assert take(table, ids, "a", "a", end="ROLLBACK") == [False, True]
    assert take(table, ids, "a") == [False]
    assert take(table, ids, "a", "b", end="ROLLBACK") == [True, False]
    assert take(table, ids, "b") == [False]


def test_the_window_ends_by_time(table: sqlite3.Connection) -> None:
    """After 24 h of agent time an id is new again, though nothing came that could prune it."""
    now = [0.0]
    ids = MessageIds(table, now=lambda: now[0])
    take(table, ids, "a", "b")
    now[0] = 86_399.0
    assert take(table, ids, "a", "c") == [True, False]
    now[0] = 86_401.0
    assert take(table, ids, "a", "c") == [False, True]
    assert table.execute("SELECT sum(length(ids)) FROM message_ids").fetchone() == (2 * 15,)


def test_the_window_ends_by_number(table: sqlite3.Connection) -> None:
    """No more than so many ids are kept, the oldest go first; a restart remembers the same ones."""
    ids = MessageIds(table, now=lambda: 5.0, max_ids=10)
    for number in range(30):
        take(table, ids, f"n{number}")
    for one in (ids, MessageIds(table, now=lambda: 5.0, max_ids=10)):
        assert take(table, one, "n20", "n29") == [True, True]
    assert table.execute("SELECT count(*) FROM message_ids").fetchone() == (11,)  # the next one deletes it
    assert take(table, ids, "n19") == [False]


def test_the_digest_tells_source_device_and_id_apart() -> None:
    """It is the same in every process, and no text can move from one part to the next."""
    assert digest_of("s", "d", "a").hex() == "6321e7e844b8ec31961044d38a98a5"
    assert len({digest_of("s", "da", "b"), digest_of("s", "d", "ab"), digest_of("sd", "a", "b")}) == 3
