"""Which messages are recognised as sent again: the tail rule, and nothing beyond it."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Arrival, LinkUp, MessageRow
from agent.journal import JournalSettings
from agent.journal.migrations import migrate
from agent.journal.redelivery import HOLD_S, MAX_HELD_BYTES, Redelivery, key_of, tail_of
from tests.journal.rig import Rig, arrival, link_up

ON = {"topic": "sensors/door/contact", "payload": b"1"}


def constant(mid: int, generation: int = 1, **changes: Any) -> Arrival:
    """Return a message of a contact that always publishes the same, with this packet id."""
    return arrival(0, mid=(mid - 1) % 65_535 + 1, generation=generation, **ON, **changes)


def again(messages: Sequence[Arrival], generation: int) -> list[Arrival]:
    """Return messages as the broker sends them again; held ones wait as long as a test needs."""
    return [replace(one, generation=generation, dup=True, mono=time.monotonic() + 600) for one in messages]


def readings(rig: Rig) -> int:
    """Return how many messages this process has journaled."""
    return sum(isinstance(row, MessageRow) for row in rig.rows)


LAST = [arrival(number) for number in range(6, 10)]  # packet ids 7 to 10

# What comes first on the next connection after LAST was journaled, and how many of it are new.
CASES = [
    pytest.param([6, 7, 8, 9], {}, 0, id="the whole tail"),
    pytest.param([8, 9], {}, 0, id="the end of the tail"),
    pytest.param([9], {}, 0, id="the last place alone"),
    pytest.param([8], {}, 1, id="a run that ends before the last place"),
    pytest.param([6, 7, 9], {}, 3, id="a run with a gap"),
    pytest.param([7, 6, 8, 9], {}, 4, id="a run out of order"),
    pytest.param([9, 10, 11], {}, 2, id="repeats, then what was not journaled"),
    pytest.param([10, 11, 9], {}, 3, id="nothing is recognised after the first new message"),
    pytest.param([9], {"dup": False}, 1, id="DUP=0"),
    pytest.param([9], {"payload": b"28"}, 1, id="another payload"),
    pytest.param([9], {"topic": "sensors/d8/temperature"}, 1, id="another topic"),
    pytest.param([9], {"mid": 11}, 1, id="another packet id"),
]


@pytest.mark.parametrize(("numbers", "changes", "new"), CASES)
def test_only_the_tail_is_recognised(
    tmp_path: Path, numbers: list[int], changes: dict[str, Any], new: int
) -> None:
    """A run of repeats that reaches the last place is acknowledged and not journaled; all else is new."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        rig.acks.clear()
        sent = [replace(one, **changes) for one in again([arrival(n) for n in numbers], 2)]
        rig.offer([link_up(2), *sent, arrival(30, generation=2)])  # the last one ends every run
        rig.until(lambda: len(rig.acks) == len(sent) + 1)
        assert readings(rig) == new + 1
        assert rig.acks == [(2, one.mid) for one in [*sent, arrival(30)]]
        assert rig.journal.stats.redelivered == len(sent) - new
        assert rig.journal.stats.repeats_possible == (new if changes.get("dup", True) else 0)


@pytest.mark.parametrize("after", [1, 70_000])
def test_equal_messages_past_the_wrap_are_new(tmp_path: Path, after: int) -> None:
    """A contact that says the same all day: what is in flight at a loss is not taken for old."""
    with Rig(tmp_path) as rig:
        journaled = [constant(mid) for mid in range(after, after + 2000)]
        rig.offer([link_up(1), *journaled])
        rig.settle()
        in_flight = [constant(mid, 2, dup=True) for mid in range(after + 2000, after + 2300)]
        rig.offer([link_up(2), *in_flight])
        rig.until(lambda: len(rig.acks) == 2300)
        assert readings(rig) == 2300


@pytest.mark.parametrize("restart", [False, True])
def test_more_than_a_ring_in_flight_is_new(tmp_path: Path, *, restart: bool) -> None:
    """Ids that come round again in one flight are other messages; the tail before them is recognised."""
    rig = Rig(tmp_path).start()
    journaled = [constant(mid) for mid in range(1, 101)]
    rig.offer([link_up(1), *journaled])
    rig.settle()
    if restart:
        rig.stop()
        rig = Rig(tmp_path).start()
    rig.rows.clear()
    flight = [constant(mid, 2, dup=True) for mid in range(51, 51 + 66_000)]
    rig.offer([link_up(2)])
    for start in range(0, len(flight), 5000):
        rig.offer(flight[start : start + 5000])
        rig.until(lambda: not rig.journal.inbox.depth)
    rig.settle()
    assert readings(rig) == 66_000 - 50
    assert rig.journal.stats.redelivered == 50
    rig.stop()


def test_unmatched_messages_have_a_place(tmp_path: Path) -> None:
    """A message of no source between two equal ones keeps them apart."""
    own = {"topic": "own/health", "payload": b"{}"}
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), constant(5), arrival(0, mid=6, **own)])
        rig.settle()
        rig.rows.clear()
        rig.offer([link_up(2), arrival(0, mid=6, generation=2, dup=True, **own), constant(7, 2, dup=True)])
        rig.until(lambda: len(rig.acks) == 4)
        assert readings(rig) == 1
        assert rig.journal.stats.redelivered == 1


def test_a_lost_connack_ends_what_is_known(tmp_path: Path) -> None:
    """After a CONNECT without a CONNACK the session may be a new one: nothing is recognised."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *[constant(mid) for mid in range(2, 12)]])
        rig.settle()
        rig.write(lambda store: store.begin_connection(2))
    with Rig(tmp_path) as rig:
        assert rig.journal.generation == 2
        rig.offer([link_up(3), *[constant(mid, 3, dup=True) for mid in range(2, 12)]])
        rig.until(lambda: len(rig.acks) == 10)
        assert readings(rig) == 10


@pytest.mark.parametrize("restart", [False, True])
def test_a_new_session_ends_what_is_known(tmp_path: Path, *, restart: bool) -> None:
    """What a broker sends after it forgot the session is new, also on the connections that follow."""
    rig = Rig(tmp_path).start()
    rig.offer([link_up(1), *[constant(mid) for mid in range(2, 12)], link_up(2, session_present=False)])
    rig.settle()
    if restart:
        rig.stop()
        rig = Rig(tmp_path).start()
    rig.rows.clear()
    rig.offer([link_up(3), *[constant(mid, 3, dup=True) for mid in range(2, 12)]])
    rig.until(lambda: readings(rig) == 10)
    rig.stop()


def test_the_tail_survives_restarts_and_connections_without_messages(tmp_path: Path) -> None:
    """The places of the last connection with messages count, in any later process."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST, link_up(2)])
        rig.settle()
    with Rig(tmp_path) as rig:
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.until(lambda: len(rig.acks) == len(LAST))
        assert not readings(rig)
    with Rig(tmp_path) as rig:  # the repeats are the places of their own connection
        rig.offer([link_up(4), *again(LAST[2:], 4)])
        rig.until(lambda: len(rig.acks) == 2)
        assert not readings(rig)


def test_a_held_run_is_new_after_two_seconds_of_nothing(tmp_path: Path) -> None:
    """A run that stops before the last place is journaled once nothing more has come for two seconds."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        (first,) = again(LAST[:1], 2)
        rig.offer([link_up(2), replace(first, mono=time.monotonic() - HOLD_S)])
        rig.until(lambda: readings(rig) == 1)
        assert rig.acks[-1] == (2, first.mid)


def test_held_messages_leave_a_full_journal_at_rest(tmp_path: Path) -> None:
    """While nothing may be taken in, what is held waits without a commit for each turn of the thread."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=0, max_mib=1, prune=False)
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        garbage = (arrival(0, qos=0, generation=2, payload=b"x" * 250_000) for _ in range(5))
        (first,) = again(LAST[:1], 2)
        rig.offer([link_up(2), replace(first, mono=time.monotonic()), *garbage])
        rig.until(lambda: rig.journal.stats.state == "full")
        acks, commits = len(rig.acks), rig.journal.stats.commits
        time.sleep(HOLD_S + 0.5)
        assert len(rig.acks) == acks
        assert rig.journal.stats.commits - commits < 20


def test_held_messages_of_a_lost_connection_are_still_owed(tmp_path: Path) -> None:
    """They are neither journaled nor acknowledged; sent again, they are recognised."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.rows.clear()
        rig.acks.clear()
        rig.offer([link_up(2), *again(LAST[:2], 2)])
        rig.settle()
        assert not rig.acks
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.until(lambda: len(rig.acks) == len(LAST))
        assert not readings(rig)
        assert {generation for generation, _ in rig.acks} == {3}


def test_a_failed_commit_forgets_no_held_message(tmp_path: Path) -> None:
    """A transaction that the disk refuses is tried again from the same state."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *LAST])
        rig.settle()
        rig.offer([link_up(2), *again(LAST[:2], 2)])
        rig.settle()
        failures = iter([sqlite3.OperationalError("disk I/O error")])

        def fail_once(_store: object) -> None:
            for error in failures:
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error

        rows = len(rig.rows)
        rig.offer(again(LAST[2:], 2))
        rig.write(fail_once)
        rig.until(lambda: len(rig.acks) == 2 * len(LAST))
        assert rows == len(rig.rows)
        assert rig.journal.stats.redelivered == len(LAST)


def test_a_quarantined_message_is_recognised_too(tmp_path: Path) -> None:
    """Sent again, it makes no second quarantine row."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"{")])
        rig.offer([link_up(2), arrival(1, payload=b"{", generation=2, dup=True)])
        rig.settle()
        assert sum(rig.journal.stats.quarantined.values()) == 1
        assert rig.acks == [(1, 2), (2, 2)]


def test_what_is_held_is_bounded_in_bytes(tmp_path: Path) -> None:
    """Large messages are not held beyond the limit: they count as new."""
    large = [arrival(n, payload=b" " * (MAX_HELD_BYTES // 3) + b"1") for n in range(6, 10)]
    with Rig(tmp_path) as rig:
        for one in (link_up(1), *large):
            rig.offer([one])
            rig.settle()
        rig.rows.clear()
        for one in (link_up(2), *again(large, 2)):
            rig.offer([one])
            rig.settle()
        assert readings(rig) == 4


def test_ids_given_out_again_end_recognition_for_the_session(tmp_path: Path) -> None:
    """A broker that reuses ids is noticed, over restarts too, until it begins a new session."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *[constant(mid) for mid in (3, 4, 5, 4)]])
        rig.settle()
        assert rig.journal.stats.ids_reused
    with Rig(tmp_path) as rig:
        rig.offer([link_up(2), *LAST[:1], *[replace(one, generation=2) for one in LAST]])
        rig.settle()
        rig.rows.clear()
        rig.offer([link_up(3), *again(LAST, 3)])
        rig.until(lambda: readings(rig) == len(LAST))
        rig.offer([link_up(4, session_present=False)])
        rig.settle()
        assert not rig.journal.stats.ids_reused


def test_key_separates_topic_and_payload() -> None:
    """Bytes that move from topic to payload make another key; it is the same in every process."""
    assert key_of(b"ab", b"c") != key_of(b"a", b"bc")
    assert key_of(b"sensors/d1/temperature", b"21.5") == -1_301_765_822_075_475_713


TAILS = [
    pytest.param([], [], id="no place"),
    pytest.param([1], [], id="the lowest id proves nothing"),
    pytest.param([1, 2, 3], [2, 3], id="a new session: all but the first"),
    pytest.param([7, 8, 9], [7, 8, 9], id="ascending"),
    pytest.param([65_534, 65_535, 1, 2], [65_534, 65_535, 1, 2], id="round the ring"),
    pytest.param([7, 9, 40], [7, 9, 40], id="with gaps"),
    pytest.param([7, 7], [], id="an id twice"),
    pytest.param([18, 19, 20, 1, 2], [], id="a pool of twenty"),
    pytest.param([3, 2, 1], [], id="descending"),
]


@pytest.mark.parametrize(("mids", "wanted"), TAILS)
def test_a_tail_needs_ids_that_prove_the_order(mids: list[int], wanted: list[int]) -> None:
    """Only ids that ascend, fewer than the highest of them, exclude that the next one is among them."""
    assert [mid for mid, _ in tail_of(mids, [0] * len(mids))] == wanted


@pytest.mark.parametrize(
    ("mids", "whole"),
    [
        ([9, 9 + 32_767], True),
        ([9, 9 + 32_768], False),  # more than half a ring is a step backward
        ([5, 30_000, 60_000, 4], True),
        ([5, 30_000, 60_000, 5], False),  # once round the ring
    ],
)
def test_a_tail_goes_forward_and_not_round(mids: list[int], whole: bool) -> None:
    """Steps of at most half a ring of 65,535 ids, and all of them together below a ring."""
    assert len(tail_of(mids, [0] * len(mids))) == (len(mids) if whole else 0)


def test_a_tail_is_bounded() -> None:
    """The last 16,384 places in memory, the last 1,024 on disk."""
    mids = range(100, 100 + 20_000)
    tail = tail_of(mids, mids)
    assert (len(tail), tail[0], tail[-1]) == (16_384, (3716, 3716), (20_099, 20_099))
    with recognising([constant(mid) for mid in range(2, 2002)]) as (rule, database):
        rows = database.execute("SELECT count(*), min(mid), max(mid) FROM places").fetchone()
        assert rows == (1024, 978, 2001)
        again = Redelivery()
        again.load(database)
        again.link(LinkUp(2, True, "5", 0.0))
        again.commit()
        (_, new) = again.hold(constant(977, 2, dup=True))
        assert len(new) == 1
        assert rule.recognising


def test_held_messages_are_new_after_two_seconds() -> None:
    """Counted from the last of them."""
    with recognising([constant(mid) for mid in range(2, 12)]) as (rule, _database):
        assert rule.due_s(0.0) is None
        rule.hold(constant(2, 2, dup=True, mono=10.0))
        rule.hold(constant(3, 2, dup=True, mono=11.0))
        assert [rule.due_s(now) for now in (11.0, 12.5, 13.0, 14.0)] == [2.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize(("extra", "held"), [(0, True), (1, False)])
def test_four_mebibytes_are_held(extra: int, held: bool) -> None:
    """Topics and payloads; with one byte more all of them are new."""
    sent = [arrival(0, mid=mid, topic="t" * 24, payload=bytes(1_000_000)) for mid in range(2, 8)]
    rest = 4 * 1024 * 1024 - 4 * 1_000_024 - 24
    sent[4] = replace(sent[4], payload=bytes(rest + extra))
    with recognising(sent) as (rule, _database):
        for one in again(sent[:4], 2):
            assert rule.hold(one) == ([], [])
        repeats, new = rule.hold(again(sent[4:5], 2)[0])
        assert (repeats, len(new)) == ([], 0 if held else 5)
        assert rule.recognising is held


@contextmanager
def recognising(sent: Sequence[Arrival]) -> Iterator[tuple[Redelivery, sqlite3.Connection]]:
    """Have messages journaled on the first connection, and begin the second in the same session."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        migrate(database, version=0)
        rule = Redelivery()
        rule.load(database)
        for up, messages in ((LinkUp(1, True, "5", 0.0), sent), (LinkUp(2, True, "5", 0.0), [])):
            rule.link(up)
            rule.insert(database)
            rule.commit()
            for one in messages:
                rule.remember(one)
            rule.insert(database)
            rule.commit()
        yield rule, database


class Network:
    """A broker with one session and one agent on it, where every message has the same bytes.

    It loses acknowledgements, connections, CONNACKs, sessions and the agent's process at random. ``ids`` says
    how it numbers: round the ring, round a pool, or by the lowest free id.
    """

    def __init__(self, seed: int, *, ids: str, calm: bool = False) -> None:
        self.dice = random.Random(seed)
        self.ids = ids
        self.calm = calm  # connections and processes end, but no CONNACK and no session is lost
        self.size = 65_535 if ids == "ring" else self.dice.choice([3, 20, 500])
        self.last_mid = self.dice.choice([0, 0, 65_500]) if ids == "ring" else 0
        self.queue: list[int] = []  # published, without a packet id
        self.flight: list[tuple[int, int]] = []  # unacknowledged: packet id, number of the message
        self.wire: list[tuple[int, int, bool]] = []  # sent, not received: packet id, number, DUP
        self.acks: list[int] = []  # sent by the agent, not received by the broker
        self.published = 0
        self.forgotten: set[int] = set()  # lost with the broker's session
        self.journaled: Counter[int] = Counter()
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.database, version=0)
        self.generation = 0
        self.waiting: list[tuple[Arrival, int]] = []  # received, not committed
        self.losses = 0
        self.boot()
        self.connect()

    def boot(self) -> None:
        """Start the agent's process."""
        self.rule = Redelivery()
        self.rule.load(self.database)
        self.numbers: dict[int, int] = {}  # id of a held arrival -> number of its message
        self.waiting = []

    def connect(self) -> None:
        """Connect; in one of six, the CONNACK of a first attempt is lost."""
        present = True
        for _ in range(1 + (not self.calm and self.dice.random() < 1 / 6)):
            self.generation += 1
            present = self.calm or self.dice.random() > 1 / 8
            if not present:
                self.forgotten.update(number for _, number in self.flight)
                self.flight, self.last_mid = [], 0
        self.wire = [(mid, number, True) for mid, number in self.flight]
        self.acks = []
        self.transact([], LinkUp(self.generation, present, "5", 0.0))

    def lose(self, *, crash: bool) -> None:
        """End the connection; what the process holds in memory is committed, or gone with it."""
        self.losses += 1
        if crash:
            self.boot()
        else:
            self.commit(len(self.waiting), acknowledge=False)
        self.connect()

    def next_mid(self) -> int:
        """Number a message."""
        used = {mid for mid, _ in self.flight}
        if self.ids == "lowest":
            return next(mid for mid in range(1, 65_536) if mid not in used)
        mid = self.last_mid % self.size + 1
        while mid in used and self.ids == "pool":
            mid = mid % self.size + 1
        self.last_mid = mid
        return mid

    def send(self, count: int) -> None:
        """Publish, and send as far as ids are free."""
        for _ in range(count):
            self.queue.append(self.published)
            self.published += 1
        while self.queue and (self.ids == "ring" or len(self.flight) < self.size - 1):
            mid, number = self.next_mid(), self.queue.pop(0)
            self.flight.append((mid, number))
            self.wire.append((mid, number, False))

    def receive(self, count: int) -> None:
        """Let the agent read some."""
        for mid, number, dup in self.wire[:count]:
            self.waiting.append((constant(mid, self.generation, dup=dup, mono=0.0), number))
        del self.wire[:count]

    def commit(self, count: int, *, acknowledge: bool = True) -> None:
        """Let the journal commit some of it."""
        group, self.waiting = self.waiting[:count], self.waiting[count:]
        done = self.transact(group)
        if acknowledge:
            self.acks += done

    def transact(self, group: list[tuple[Arrival, int]], up: LinkUp | None = None) -> list[int]:
        """Be the writer's transaction; return the acknowledged packet ids."""
        rule, done = self.rule, []

        def keep(messages: list[Arrival], *, new: bool) -> None:
            for one in messages:
                rule.remember(one)
                done.append(one.mid)
                number = self.numbers.pop(id(one))
                if new:
                    self.journaled[number] += 1

        for one, number in group:
            self.numbers[id(one)] = number
            repeats, new = rule.hold(one) if rule.recognising else ([], [one])
            keep(repeats, new=False)
            keep(new, new=True)
        if not (group or self.calm) and self.dice.random() < 1 / 4:  # two seconds of nothing
            keep(rule.release(), new=True)
        if up is not None:
            rule.release()
            rule.link(up)
        rule.insert(self.database)
        rule.commit()
        return done

    def settle(self, count: int) -> None:
        """Let the broker take some acknowledgements."""
        for mid in self.acks[:count]:
            self.flight.remove(next(entry for entry in self.flight if entry[0] == mid))
        del self.acks[:count]

    def step(self) -> None:
        """Do one thing."""
        amount = self.dice.choice([1, 1, 3, 10, 60])
        {
            0: lambda: self.send(amount),
            1: lambda: self.receive(amount),
            2: lambda: self.commit(amount),
            3: lambda: self.settle(amount),
            4: lambda: self.lose(crash=bool(amount % 3)) if self.dice.random() < 1 / 5 else self.send(1),
        }[self.dice.randrange(5)]()

    def drain(self) -> None:
        """Let everything arrive."""
        for _ in range(1000):
            if not (self.queue or self.flight):
                return
            self.send(0)
            self.receive(10_000)
            self.commit(10_000)
            self.settle(10_000)
        raise AssertionError("the broker still owes messages")


@pytest.mark.parametrize("ids", ["ring", "pool", "lowest"])
def test_no_order_of_faults_loses_an_equal_message(ids: str) -> None:
    """Whatever is lost on the way, and however a broker numbers, each message is journaled at least once."""
    losses = 0
    for seed in range(60):
        network = Network(seed, ids=ids)
        for _ in range(300):
            network.step()
        network.drain()
        owed = set(range(network.published)) - network.forgotten
        assert not owed - set(network.journaled), f"seed {seed}: lost"
        losses += network.losses
    assert losses > 500


def test_lost_connections_and_kills_duplicate_nothing() -> None:
    """Round the ring, where each CONNACK arrives and the session is kept, every message is journaled once."""
    for seed in range(60):
        network = Network(seed, ids="ring", calm=True)
        network.last_mid = max(network.last_mid, 1)  # the lowest id is never recognised
        for _ in range(300):
            network.step()
        network.drain()
        assert set(network.journaled.values()) <= {1}, f"seed {seed}: twice"
        assert len(network.journaled) == network.published


def test_the_rule_of_packet_id_and_hash_loses_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: taking DUP=1 with equal id and bytes for a repeat loses messages in the same faults."""

    def by_key(self: Redelivery, one: Arrival) -> tuple[list[Arrival], list[Arrival]]:
        known = set(zip(self._mids, self._hashes, strict=True))
        place = (one.mid, key_of(one.topic.encode(), one.payload))
        return ([one], []) if one.dup and place in known else ([], [one])

    monkeypatch.setattr(Redelivery, "recognising", True)
    monkeypatch.setattr(Redelivery, "hold", by_key)
    lost = 0
    for seed in range(20):
        network = Network(seed, ids="lowest")
        for _ in range(300):
            network.step()
        network.drain()
        lost += len(set(range(network.published)) - network.forgotten - set(network.journaled))
    assert lost
