"""Messages whose sender waits for a receipt."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.decode.family import Skip, Skipped
from agent.domain.records import NOTHING_READ, Handling, Posted, Receipt
from agent.journal import JournalSettings, JournalStorageError
from agent.journal.writer import Writer
from tests.journal import rig as rig_module
from tests.journal.rig import DEADLINE_S, Plain, Rig, arrival, link_up

SMALL = JournalSettings(commit_ms=5, ballast_bytes=0, max_inbox_bytes=4096, max_pending_rows=4)


def posted(payload: bytes = b"21.5", *, device: str = "p1", key: str | None = None) -> Posted:
    """Return a message as the web server makes it."""
    return Posted(
        generation=0,
        mid=0,
        qos=0,
        dup=False,
        retain=False,
        topic=f"http/{device}/temperature",
        payload=payload,
        received=time.time(),
        mono=time.monotonic(),
        key=key,
    )


def outcome(rig: Rig, one: Posted) -> Receipt:
    """Post and wait for the receipt."""
    assert rig.journal.accept(one)
    return one.receipt.result(DEADLINE_S)


def test_a_receipt_comes_once_the_message_is_on_disk(tmp_path: Path) -> None:
    """Another connection sees the row when the receipt is there; no ack is sent to the broker."""
    with Rig(tmp_path) as rig:
        assert outcome(rig, posted()) == Receipt()
        with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as other:
            assert other.execute("SELECT topic FROM messages").fetchall() == [("http/p1/temperature",)]
        rig.settle()
        assert rig.acks == []
        assert len(rig.rows) == 1


@pytest.mark.parametrize(
    ("payload", "topic", "reason"),
    [
        (b"{", None, "bad_json"),
        (b"fault", None, "decoder_fault"),
        (b"text", None, "no_value"),
        (b"1", "own/a/b", "no_source"),
    ],
)
def test_a_refusal_has_its_reason(tmp_path: Path, payload: bytes, topic: str | None, reason: str) -> None:
    """It is that of the quarantine, or that nothing of the message is kept."""
    one = posted(payload)
    if topic is not None:
        object.__setattr__(one, "topic", topic)
    with Rig(tmp_path) as rig:
        receipt = outcome(rig, one)
        assert receipt.reason == reason
        assert receipt.detail


def test_a_message_of_another_agent_is_refused_with_its_partition(tmp_path: Path) -> None:
    """The client has to post it to the agent that has the device."""
    excluded = Plain(handling=Handling.EXCLUDED, excluded_by="partition: it is of 2, this is 0 of 4")
    with Rig(tmp_path, read=lambda _arrival: excluded) as rig:
        receipt = outcome(rig, posted())
    assert receipt == Receipt("excluded", "by partition: it is of 2, this is 0 of 4")


def test_a_known_key_is_accepted_and_not_stored_again(tmp_path: Path) -> None:
    """In one transaction, in a later one and after a restart; another topic has keys of its own."""
    with Rig(tmp_path) as rig:
        both = [posted(key="a"), posted(key="a")]
        assert all(rig.journal.accept(one) for one in both)
        assert [one.receipt.result(DEADLINE_S) for one in both] == [Receipt(), Receipt()]
        assert outcome(rig, posted(key="a")) == Receipt()
        assert (rig.journal.stats.journaled, rig.journal.stats.duplicates) == (1, 2)
    with Rig(tmp_path) as again:
        assert outcome(again, posted(key="a")) == Receipt()
        assert outcome(again, posted(key="a", device="p2")) == Receipt()
        assert outcome(again, posted()) == outcome(again, posted()) == Receipt()
        assert (again.journal.stats.journaled, again.journal.stats.duplicates) == (3, 1)


def test_a_known_key_with_another_body_is_refused(tmp_path: Path) -> None:
    """That body is not on disk; in the same transaction, a later one and after a restart."""
    with Rig(tmp_path) as rig:
        both = [posted(key="a"), posted(b"22", key="a")]
        assert all(rig.journal.accept(one) for one in both)
        assert [one.receipt.result(DEADLINE_S).reason for one in both] == [None, "idempotency_key"]
        assert outcome(rig, posted(b"23", key="a")).reason == "idempotency_key"
        tally = rig.journal.stats.sources["sensors"]
        assert (tally.messages, rig.journal.stats.duplicates) == ({"read": 1, "refused": 2}, 0)
    with Rig(tmp_path) as again:
        assert outcome(again, posted(b"24", key="a")).reason == "idempotency_key"
        assert outcome(again, posted(key="a")) == Receipt()
        assert outcome(again, posted(b"24", key="b")) == Receipt()


@pytest.mark.parametrize(
    ("family", "why", "reason"),
    [
        (None, Skip.NOT_A_VALUE, "no_value"),
        ("generic", Skip.NOT_A_VALUE, "no_value"),
        ("http_data", Skip.NOT_A_VALUE, "no_value"),
        ("ttn", Skip.NO_VALUE, "no_value"),
        ("ttn", Skip.NOT_A_VALUE, NOTHING_READ),
    ],
)
def test_a_family_message_without_a_value_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str | None, why: Skip, reason: str
) -> None:
    """A webhook sends joins too; an object of any other JSON should have held a value."""
    skipped = (Skipped("x", why),)
    empty = Plain(family=family, handling=Handling.NO_VALUE, device="d1", heard=("d1",), skipped=skipped)
    monkeypatch.setattr(rig_module, "decode", lambda _item: empty)
    with Rig(tmp_path) as rig:
        assert outcome(rig, posted()).reason == reason
        monkeypatch.undo()
        assert outcome(rig, posted()) == Receipt()


def test_a_refused_message_does_not_use_its_key_up(tmp_path: Path) -> None:
    """The corrected message with the same key is stored."""
    with Rig(tmp_path) as rig:
        assert outcome(rig, posted(b"{", key="a")).reason == "bad_json"
        assert outcome(rig, posted(key="a")) == Receipt()
        assert rig.journal.stats.journaled == 1


def test_a_sender_that_gave_up_leaves_nothing(tmp_path: Path) -> None:
    """A cancelled receipt is a message that was never sent."""
    rig = Rig(tmp_path)
    journal = rig.open()
    given_up, other = posted(), posted(device="p2")
    assert journal.accept(given_up)
    assert journal.accept(other)
    assert given_up.receipt.cancel()
    rig.start_thread()
    assert other.receipt.result(DEADLINE_S) == Receipt()
    rig.settle()
    assert journal.stats.received == journal.stats.journaled == 1
    rig.stop()


def test_pressure_is_refused_at_once(tmp_path: Path) -> None:
    """More than half of the room, rows that nobody consumes, a broker that waits, or the end."""
    rig = Rig(tmp_path, settings=SMALL, auto_consume=False)
    journal = rig.open()
    assert not journal.accept(posted(b" " * 2048))
    rig.start_thread()
    for number in range(4):
        assert outcome(rig, posted(str(number).encode())) == Receipt()
    rig.until(lambda: not journal.accept(posted()))
    journal.consumed(journal.inbox.pending_rows)
    rig.until(lambda: journal.accept(posted()))
    rig.settle()
    journal.consumed(journal.inbox.pending_rows)
    rig.stop()
    assert not journal.accept(posted())


def test_the_broker_goes_first_where_it_was_refused(tmp_path: Path) -> None:
    """While net waits for room, posts do not take it."""
    rig = Rig(tmp_path, settings=SMALL)
    journal = rig.open()
    rig.offer([link_up(1), arrival(1, payload=b" " * 3500)])
    assert not journal.inbox.offer([arrival(2, payload=b" " * 3500)])
    assert not journal.accept(posted())
    rig.start_thread()
    rig.until(lambda: journal.accept(posted()))
    rig.until(lambda: rig.rooms == 1)
    rig.stop()


def test_a_failing_disk_is_an_error_and_the_message_is_not_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender learns it at once and sends again; the broker's messages wait for the disk."""
    transact, failures = Writer._transact, [1]

    def fail_once(self: Writer, *rest: Any, **more: Any) -> None:
        transact(self, *rest, **more) if not failures else self._connection.execute("BEGIN IMMEDIATE")
        if failures:
            failures.pop()
            self._roll_back(self._sequence.mark())
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    rig = Rig(tmp_path)
    journal = rig.open()
    monkeypatch.setattr(Writer, "_transact", fail_once)
    one = posted()
    rig.offer([arrival(1)])
    assert journal.accept(one)
    rig.start_thread()
    with pytest.raises(JournalStorageError):
        one.receipt.result(DEADLINE_S)
    rig.until(lambda: rig.acks == [(1, 2)])
    rig.until(lambda: journal.stats.state == "ok")
    assert outcome(rig, posted(b"22")) == Receipt()
    assert journal.stats.journaled == 2
    rig.stop()
