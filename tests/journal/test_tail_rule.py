"""The tail rule by itself, in a network that loses everything else."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from agent.domain.records import Arrival, LinkUp
from agent.journal.redelivery import Redelivery, key_of, tail_of
from agent.journal.schema import migrate
from tests.journal.rig import again, arrival, constant


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
        again = Redelivery(database)
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
        rule.hold(constant(3, 2, dup=True, mono=10.5))
        rule.hold(constant(4, 2, dup=True, mono=11.0))
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
        rule = Redelivery(database)
        for up, messages in ((LinkUp(1, True, "5", 0.0), sent), (LinkUp(2, True, "5", 0.0), [])):
            rule.link(up)
            rule.insert(database)
            rule.commit()
            for one in messages:
                rule.remember(one)
            rule.insert(database)
            rule.commit()
        yield rule, database


LAST = [constant(mid) for mid in range(2, 12)]


def up(generation: int, *, present: bool = True) -> LinkUp:
    """Return a CONNACK."""
    return LinkUp(generation, present, "5", 0.0)


def linked(rule: Redelivery, database: sqlite3.Connection, one: LinkUp) -> None:
    """Commit a CONNACK."""
    rule.link(one)
    rule.insert(database)
    rule.commit()


def loaded(database: sqlite3.Connection) -> Redelivery:
    """Return the rule of a new process."""
    return Redelivery(database)


def reused(rule: Redelivery) -> bool:
    """Return its judgement of the broker's ids."""
    return rule.ids_reused


def test_a_run_is_repeated_when_it_reaches_the_last_place() -> None:
    """Held until then; the next message is new and nothing is recognised any more."""
    with recognising(LAST) as (rule, _database):
        sent = again(LAST[7:], 2)
        assert [rule.hold(one) for one in sent[:2]] == [([], []), ([], [])]
        assert rule.hold(sent[2]) == (sent, [])
        assert not rule.recognising
        assert rule.due_s(0.0) is None


@pytest.mark.parametrize(
    "sent",
    [
        [replace(LAST[9], dup=False)],
        [*again(LAST[6:7], 2), *again(LAST[8:9], 2)],  # a gap
        [*again(LAST[6:8], 2), constant(40, 2, dup=True)],
        again(LAST[5:6] * 2, 2),
    ],
)
def test_a_run_that_breaks_is_new(sent: list[Arrival]) -> None:
    """All of it, with the message that broke it."""
    with recognising(LAST) as (rule, _database):
        for one in sent[:-1]:
            assert rule.hold(one) == ([], [])
        assert rule.hold(sent[-1]) == ([], sent)
        assert not rule.recognising


def test_a_topic_that_is_not_unicode_has_a_place() -> None:
    """A lone surrogate differs from other text."""
    odd = [
        arrival(0, mid=5, topic="s/\udc80", payload=b"1"),
        arrival(0, mid=6, topic="s/\udc81", payload=b"1"),
    ]
    with recognising(odd) as (rule, _database):
        (_, new) = rule.hold(again([replace(odd[1], topic="s/\udc80")], 2)[0])
        assert len(new) == 1
    with recognising(odd) as (rule, _database):
        assert rule.hold(again(odd[1:], 2)[0])[1] == []


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    ("ups", "recognised"),
    [
        ([up(3)], True),  # a connection without a message
        ([up(4)], False),  # a CONNECT without a CONNACK came between
        ([up(3, present=False)], False),
        ([up(3, present=False), up(4)], False),
        ([up(3), up(4)], True),
    ],
)
def test_only_a_resumed_session_is_recognised(ups: list[LinkUp], recognised: bool, restart: bool) -> None:
    """Each CONNACK since the places must be that of the same session, without an attempt in between."""
    with recognising(LAST) as (rule, database):
        process = loaded(database) if restart else rule
        for one in ups:
            linked(process, database, one)
        assert process.recognising is recognised
        last = loaded(database)
        linked(last, database, up(ups[-1].generation + 1))
        assert last.recognising is recognised


def test_reused_ids_are_remembered_until_a_new_session() -> None:
    """Over restarts too."""
    with recognising([constant(3), constant(4), constant(4)]) as (rule, database):
        assert (reused(rule), rule.recognising) == (True, False)
        later = loaded(database)
        later.rollback()
        assert reused(later)
        linked(later, database, up(3))
        assert (reused(later), later.recognising) == (True, False)
        linked(later, database, up(4, present=False))
        assert not reused(later)
        assert not reused(loaded(database))


def test_each_connection_has_its_own_order_of_ids() -> None:
    """A new one may begin below the last id; within one that is a reuse."""
    with recognising(LAST) as (rule, database):
        rule.release()
        rule.remember(constant(2, 2))
        assert not reused(rule)
        rule.remember(constant(1, 2))
        assert reused(rule)
        rule.rollback()
        assert not reused(rule)
        rule.insert(database)
        rule.commit()
        assert not reused(loaded(database))
        for mid in (2, 1):
            rule.remember(constant(mid, 2))
        rule.insert(database)
        rule.commit()
        assert reused(loaded(database))


@pytest.mark.parametrize(("step", "backward"), [(1, False), (32_767, False), (32_768, True), (65_534, True)])
def test_a_step_of_more_than_half_a_ring_is_backward(step: int, backward: bool) -> None:
    """Then the broker has given an id out again."""
    with recognising([constant(9)]) as (rule, _database):
        rule.remember(constant(100, 2))
        rule.remember(constant(100 + step, 2))
        assert reused(rule) is backward


def test_places_of_two_connections_are_not_mixed() -> None:
    """Those of the later one count, also within one transaction."""
    with recognising(LAST) as (rule, database):
        for one in (constant(5, 2), constant(6, 3)):
            rule.remember(one)
        rule.insert(database)
        rule.commit()
        assert database.execute("SELECT mid FROM places WHERE generation = 3").fetchall() == [(6,)]


def test_places_on_disk_are_the_last_of_many_transactions() -> None:
    """The oldest are overwritten, however they came."""
    with recognising(LAST) as (rule, database):
        for first in range(2, 2002, 500):
            for mid in range(first, first + 500):
                rule.remember(constant(mid, 2))
            rule.insert(database)
            rule.commit()
        kept = "SELECT count(*), min(mid), max(mid) FROM places WHERE generation = 2"
        assert database.execute(kept).fetchone() == (1024, 978, 2001)


def test_places_are_those_of_the_last_connection_with_messages() -> None:
    """In memory as on disk, from the first message of the next connection on."""
    with recognising(LAST) as (rule, database):
        rule.release()
        later = [constant(mid, 2) for mid in (30, 31)]
        for one in later:
            rule.remember(one)
            rule.insert(database)
            rule.commit()
        assert database.execute("SELECT count(*) FROM places WHERE generation = 2").fetchone() == (2,)
        for process in (rule, loaded(database)):
            linked(process, database, up(3))
            assert process.hold(again(LAST[-1:], 3)[0])[0] == []
            linked(process, database, up(4))
            sent = again(later, 4)
            assert process.hold(sent[0]) == ([], [])
            assert process.hold(sent[1]) == (sent, [])


def test_a_rollback_takes_back_all_of_the_transaction() -> None:
    """Places, a CONNACK, and held messages; those that were held before stay so."""
    with recognising(LAST) as (rule, database):
        sent = again(LAST[7:], 2)
        rule.hold(sent[0])
        rule.commit()
        rule.hold(sent[1])
        rule.remember(constant(40, 2))
        rule.link(up(3, present=False))
        rule.rollback()
        assert rule.hold(sent[1]) == ([], [])
        assert rule.hold(sent[2]) == (sent, [])
        rule.insert(database)
        rule.commit()
        assert not reused(loaded(database))
        assert database.execute("SELECT max(mid), max(generation) FROM places").fetchone() == (11, 1)


def test_memory_holds_a_bounded_number_of_places() -> None:
    """Twice the tail at most, and the last ones stay."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        migrate(database, version=0)
        rule = loaded(database)
        linked(rule, database, up(1))
        for first in range(2, 60_002, 1000):
            for mid in range(first, first + 1000):
                rule.remember(constant(mid))
            rule.insert(database)
            rule.commit()
            assert len(rule._mids) == len(rule._hashes) <= 2 * 16_384
        linked(rule, database, up(2))
        assert rule.hold(again([constant(60_001)], 2)[0])[0] != []


class Network:
    """A broker with one session and one agent on it, where every message has the same bytes.

    It loses acknowledgements, connections, CONNACKs, sessions and the agent's process at random.
    ``ids`` names its numbering: round the ring, round a pool, or by the lowest free id.
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
        self.rule = Redelivery(self.database)
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


@pytest.mark.slow
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


@pytest.mark.slow
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
