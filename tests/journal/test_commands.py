"""Commands in the journal: rows of the sequence, decided once."""

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.domain.records import (
    Arrival,
    Command,
    CommandOutcome,
    CommandReason,
    CommandRow,
    DecodeReason,
    Do,
    Finding,
    FindingState,
    Kind,
    MessageRow,
    Posted,
    Receipt,
    Reply,
    Seen,
    Severity,
)
from agent.journal import JournalSettings, feedback
from agent.journal.commands import BURST, CommandRate, Way
from agent.journal.reader import Reader
from agent.journal.store import Store
from agent.verdict.command import read_command
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, link_up

plain = rig_module.decode
ACK = b'{"do":"ack","device":"d1","id":"c1"}'
FINDING = Finding(
    "f1",
    "d1",
    Kind.SPIKE,
    Severity.WARNING,
    100.0,
    101.0,
    state=FindingState.SNOOZED,
    until=500.0,
    maintenance=True,
    limit=True,
    seen=(Seen("t", Kind.SPIKE, 1.0, 2.5),),
    silent_since=90.0,
    silent_to=99.0,
)
DONE = CommandOutcome(
    accepted=True,
    reason=CommandReason.DONE,
    detail="words",
    device="d\N{DEGREE SIGN}",
    finding_id="f1",
    state=FindingState.NORMAL_HERE,
    until=500.0,
    allow=(Seen("t", Kind.SPIKE, 1.0, 2.5),),
    silence=(90.0, None),
    forget=True,
    series=("t",),
)


def say(number: int, payload: bytes = ACK, *, retain: bool = False) -> Arrival:
    reply = Reply("edge-agent/gw1/command/result/7", b"\1")
    return arrival(number, topic="own/command", payload=payload, retain=retain, reply=reply)


def decode(item: Arrival) -> Plain | Command:
    return read_command(item.payload) if item.topic == "own/command" else plain(item)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A journal that reads commands and prunes what is not needed at once."""
    monkeypatch.setattr(rig_module, "decode", decode)
    return Rig(tmp_path, settings=JournalSettings(commit_ms=5, ballast_bytes=0, keep_days=1e-9))


def kept(rig: Rig) -> list[CommandRow]:
    with Reader.open(rig.folder) as reader:
        return [row for row in reader.rows_after(0) if isinstance(row, CommandRow)]


def test_a_command_has_its_place_among_the_readings(rig: Rig) -> None:
    """It comes through on_rows with the address of its answer, and is read again without one."""
    with rig:
        rig.offer([link_up(1), arrival(1), say(2), arrival(3)])
        rig.settle()
        first, row, last = rig.rows
        assert isinstance(first, MessageRow)
        assert isinstance(last, MessageRow)
        assert isinstance(row, CommandRow)
        assert (first.seq, last.seq) == (row.seq - 1, row.seq + 1)
        assert row.reply == Reply("edge-agent/gw1/command/result/7", b"\1")
        assert row.command == Command(Do.ACK, "c1", device="d1")
        assert len(rig.acks) == 3
    assert kept(rig) == [CommandRow(row.seq, row.clock, row.command)]
    with Rig(rig.folder) as again:
        assert [one.seq for one in again.journal.rows_after(0)][:3] == [first.seq, row.seq, last.seq]
        again.offer([link_up(2), arrival(4)])
        again.settle()
        assert again.rows[-1].seq > last.seq


def test_the_first_outcome_wins_and_is_kept_whole(rig: Rig) -> None:
    """With the finding that it changes; a second one changes nothing."""
    with rig:
        rig.offer([link_up(1), say(1)])
        rig.settle()
        seq = rig.rows[0].seq
        rig.write(lambda store: store.decide(seq, DONE, changed=[FINDING]))
        assert rig.write(lambda store: store.decide(seq, CommandOutcome(False, CommandReason.CLOSED))) == []
    (row,) = kept(rig)
    assert row.outcome == DONE
    with Rig(rig.folder) as again:
        recovered = again.journal.recovered
        assert recovered.commands == (row,)
        assert recovered.findings == (FINDING,)


def test_retained_commands_are_ignored(rig: Rig) -> None:
    """Whether they can be read or not: each client that reconnects would repeat them."""
    with rig:
        rig.offer([link_up(1), say(1, retain=True), say(2, b"{", retain=True)])
        rig.settle()
        assert (rig.rows, rig.refusals) == ([], [])
        assert rig.journal.stats.retained_ignored == 2
        assert rig.journal.stats.quarantined[DecodeReason.BAD_JSON] == 0


def test_a_message_that_is_no_command_is_put_aside_and_answered(rig: Rig) -> None:
    """With the id, if it has one."""
    with rig:
        rig.offer([link_up(1), say(1, b'{"do":"dance","id":"c9"}')])
        rig.settle()
        ((reply, command_id, reason, detail),) = rig.refusals
        assert (reply, command_id, reason) == (say(1).reply, "c9", CommandReason.INVALID)
        assert "do is unknown" in detail
        assert len(rig.acks) == 1
    with Reader.open(rig.folder) as reader:
        assert [(one.reason, one.topic) for one in reader.quarantine(limit=9)] == [
            ("bad_command", "own/command")
        ]


def test_a_flood_is_refused_beyond_its_burst(rig: Rig) -> None:
    """The journal grows by a bounded number of commands; readings go on."""
    with rig:
        rig.offer([link_up(1)])
        rig.offer(say(number) for number in range(3 * BURST))
        rig.offer([arrival(5)])
        rig.settle()
        rows = sum(isinstance(row, CommandRow) for row in rig.rows)
        assert BURST <= rows < 2 * BURST
        assert len(rig.refusals) == 3 * BURST - rows
        assert {reason for _, _, reason, _ in rig.refusals} == {CommandReason.TOO_MANY}
        assert isinstance(rig.rows[-1], MessageRow)
        assert len(rig.acks) == 3 * BURST + 1


def test_a_flood_locks_out_neither_the_page_nor_the_command_line(rig: Rig) -> None:
    """Each way of commands has a rate of its own: those on the other ways are taken in the midst of it."""
    posted = Posted(
        generation=0, mid=0, qos=0, dup=False, retain=False, topic="own/command", payload=ACK,
        received=1.0, mono=time.monotonic(),
    )  # fmt: skip
    with rig:
        rig.offer([link_up(1)])
        rig.offer(say(number) for number in range(3 * BURST))
        rig.offer([replace(say(900), reply=None)])
        assert rig.journal.accept(posted)
        rig.settle()
        assert posted.receipt.result(30) == Receipt()
        rows = [row for row in rig.rows if isinstance(row, CommandRow)]
        assert [row.reply for row in rows].count(None) == 2
        assert {reason for _, _, reason, _ in rig.refusals} == {CommandReason.TOO_MANY}


def test_the_rate_recovers() -> None:
    """One a second."""
    rate = CommandRate(burst=2)
    assert [rate.admit(Way.SENT, at) for at in (10.0, 10.0, 10.0, 11.0, 11.5, 12.0)] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_what_is_still_needed_is_not_pruned(rig: Rig) -> None:
    """An undecided command, maintenance that is not over, and its early end; the rest goes in time."""
    over = CommandOutcome(accepted=True, reason=CommandReason.DONE)
    with rig:
        rig.offer([link_up(1), say(1), say(2), say(3), say(4)])
        rig.settle()
        one, two, three, four = rig.rows
        work = CommandOutcome(accepted=True, reason=CommandReason.DONE, until=one.clock + 1e6)
        rig.write(lambda store: store.decide(one.seq, over))
        rig.write(lambda store: store.decide(two.seq, work))
        rig.write(lambda store: store.decide(three.seq, replace(over, ends=work.until)))
        rig.write(lambda store: store.snapshot(four.seq, b"state"))
        rig.write(lambda store: store.prune())
    assert [row.seq for row in kept(rig)] == [two.seq, three.seq, four.seq]


def test_feedback_is_counted_by_series(rig: Rig) -> None:
    """Each finding once, by the last word on it."""
    words = [(b"false_alarm", "f1"), (b"false_alarm", "f1"), (b"false_alarm", "f2"), (b"confirmed", "f2")]
    with rig:
        rig.offer([link_up(1)])
        rig.offer(
            say(number, b'{"do":"%s","device":"d1"}' % do) for number, (do, _finding) in enumerate(words)
        )
        rig.settle()
        for row, (_, finding) in zip(list(rig.rows), words, strict=True):
            told = CommandOutcome(
                accepted=True, reason=CommandReason.DONE, device="d1", finding_id=finding, series=("t",)
            )
            rig.write(partial(Store.decide, seq=row.seq, outcome=told))
    with Reader.open(rig.folder) as reader:
        assert reader.feedback_by_series() == {("d1", "t"): (1, 1)}


def test_the_last_word_on_a_finding_counts() -> None:
    """However often it is repeated, and on whichever of its verdicts."""
    wrong = [("d", "t", str(number), "false_alarm") for number in (1, 1, 2, 3)]
    assert feedback.count(wrong) == {("d", "t"): (3, 0)}
    assert feedback.count([*wrong, ("d", "t", "3", "confirmed")]) == {("d", "t"): (2, 1)}


def test_a_rolled_back_group_comes_again(rig: Rig) -> None:
    """The storage fails once: no command is lost, and none is there twice."""
    journal = rig.open()
    failures = [sqlite3.OperationalError("disk I/O error")]
    insert = journal._writer._redelivery.insert

    def fail_once(connection: sqlite3.Connection) -> None:
        if failures:
            error = failures.pop()
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        insert(connection)

    journal._writer._redelivery.insert = fail_once  # type: ignore[method-assign]
    rig.offer([link_up(1), say(1)])
    rig.start_thread()
    rig.settle()
    rig.stop()
    assert len(rig.rows) == 1
    with closing(sqlite3.connect(rig.folder / "journal.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM commands").fetchone() == (1,)
