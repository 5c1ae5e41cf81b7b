"""Rows reach a sink in order, bounded; a refused key holds up no other."""

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.records import Outgoing
from agent.pipeline.outbox_feed import FIRST_BACKOFF_S, MAX_HANDED, PER_DEVICE, SinkFeed
from agent.sinks import Answer, Delivered, Refused, Retry

DELIVERED = Delivered()
REFUSED = Refused(reason="reason code 0x87", remedy="allow it", code=0x87)


class Rig:
    """The feed of one sink, over a list in place of the disk."""

    name = title = "mqtt"
    pipelined = True

    def __init__(self) -> None:
        self.disk: dict[int, Outgoing] = {}
        self.sent: list[int] = []
        self.answers: dict[int, Callable[[Answer], object]] = {}
        self.retained: list[bool] = []  # of the messages that were sent
        self.refused: list[tuple[int, str]] = []
        self.reports: list[str] = []
        self.slow = False
        self.under_way: list[tuple[dict[str, list[Outgoing]], list[Outgoing], int]] = []
        self.devices: dict[int, str] = {}
        self.seniority: dict[str, int] = {}
        self.clock = 0.0
        self.feed = SinkFeed(
            self,
            load=self.load,
            done=self.done,
            failed=lambda row, reason: self.refused.append((row, reason)),
            supersede=self.supersede,
            settled=lambda _row: None,
            post=lambda work, *args: work(*args),
            seniority=self.seniority.get,
            clock=lambda: self.clock,
            log=self.report,
        )

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        self.sent.append(message.outbox_id)
        self.retained.append(message.retain)
        self.answers[message.outbox_id] = answer

    def answer(self, row: int, clock: float, answer: Answer = DELIVERED) -> None:
        self.clock = clock
        if row in self.answers:
            self.answers.pop(row)(answer)

    def turn(self, clock: float) -> None:
        self.clock = clock
        self.feed.turn(clock)

    def report(self, event: str, **_: Any) -> None:
        self.reports.append(event)

    def done(self, ids: Sequence[int]) -> None:
        for row in ids:
            del self.disk[row]

    def supersede(self, topic: str, before: int) -> None:
        for row, item in self.disk.items():
            if item.key == topic and row < before:
                self.disk[row] = replace(item, retain=False)

    def load(self, after: int, limit: int, skip: Collection[str], devices: Sequence[str]) -> None:
        ahead = {
            device: [
                item
                for row, item in sorted(self.disk.items())
                if self.devices[row] == device and item.key not in skip
            ][:PER_DEVICE]
            for device in devices
        }
        rows = [self.disk[row] for row in sorted(self.disk) if row > after][: 2 * limit]
        found = [item for item in rows if item.key not in skip][:limit]
        read_to = (found if len(found) == limit else rows)[-1].outbox_id if rows else 0
        if self.slow:
            self.under_way.append((ahead, found, read_to))
        else:
            self.feed.loaded(ahead, found, read_to)

    def commit(self, *ids: int, topic: str = "t", device: str = "d") -> Sequence[Outgoing]:
        items = [Outgoing(row, "mqtt", topic, b"{}", retain=True) for row in ids]
        self.disk.update((item.outbox_id, item) for item in items)
        self.devices.update(dict.fromkeys(ids, device))
        self.feed.add(items, device)
        return items


class Later(Rig):
    """A disk that answers in the order in which it was asked, like the journal; commits wait as well."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: deque[Callable[[], object]] = deque()

    def load(self, after: int, limit: int, skip: Collection[str], devices: Sequence[str]) -> None:
        self.asked.append(lambda: super(Later, self).load(after, limit, skip, devices))

    def done(self, ids: Sequence[int]) -> None:
        self.asked.append(lambda: super(Later, self).done(ids))

    def commit(self, *ids: int, topic: str = "t", device: str = "d") -> Sequence[Outgoing]:
        self.asked.append(lambda: super(Later, self).commit(*ids, topic=topic, device=device))
        return ()

    def catch_up(self) -> None:
        """Do all that was asked so far."""
        for _ in range(len(self.asked)):
            self.asked.popleft()()


def test_rows_left_by_the_last_process_go_first() -> None:
    """At start the disk is read before anything new is handed on, so order holds."""
    rig = Rig()
    rig.disk = {row: Outgoing(row, "mqtt", "t", b"{}", retain=True) for row in (1, 2)}
    rig.commit(3)
    assert rig.sent == []
    rig.turn(0)
    rig.turn(1)
    assert rig.sent == [1, 2, 3]


def test_acknowledged_rows_leave_the_disk() -> None:
    """A PUBACK below 0x80 removes the row, and only that one."""
    rig = Rig()
    rig.commit(1, 2)
    rig.turn(0)
    rig.answer(1, 0)
    rig.answer(2, 0)
    rig.answer(99, 0)
    rig.turn(1)
    assert rig.disk == {}
    assert rig.feed.stats.delivered == 2


def test_memory_is_bounded_while_the_broker_is_away() -> None:
    """With nothing acknowledged at most 400 rows are in memory; all of them go out in the end, in order."""
    rig = Rig()
    rig.turn(0)
    for row in range(1, 501):
        rig.commit(row)
        rig.turn(0)
    assert rig.feed.in_memory <= MAX_HANDED
    for turn in range(1, 600):
        for row in rig.sent:
            rig.answer(row, turn)
        rig.turn(turn)
    assert rig.disk == {}
    assert rig.sent == list(range(1, 501))


def test_a_refused_topic_waits_alone() -> None:
    """The others go on, the refused one is tried again with a doubling backoff, in order."""
    rig = Rig()
    rig.turn(0)
    rig.commit(1, topic="bad")
    rig.answer(1, 10, REFUSED)
    rig.commit(2, topic="bad")
    rig.commit(3, topic="good")
    assert rig.sent == [1, 3]
    assert rig.refused == [(1, "reason code 0x87")]
    assert list(rig.feed._blocked) == ["bad"]
    rig.turn(10 + FIRST_BACKOFF_S - 1)
    assert rig.sent == [1, 3]
    rig.turn(10 + FIRST_BACKOFF_S)
    assert rig.sent == [1, 3, 1, 2]
    rig.answer(1, 100, REFUSED)
    rig.answer(2, 100, REFUSED)
    rig.turn(100 + 2 * FIRST_BACKOFF_S - 1)
    assert rig.sent == [1, 3, 1, 2]
    rig.answer(3, 101)
    rig.turn(100 + 2 * FIRST_BACKOFF_S)
    assert rig.sent[4:] == [1, 2]


def test_a_late_verdict_does_not_replace_a_newer_one() -> None:
    """Refused while a newer row of its topic was on its way and taken: it is published, but not retained."""
    rig = Rig()
    rig.turn(0)
    rig.commit(1, 2, 3, topic="d")
    rig.answer(1, 10, REFUSED)
    rig.answer(2, 10)
    rig.turn(10 + FIRST_BACKOFF_S)
    assert (rig.sent[-1], rig.retained[-1]) == (1, False)
    rig.answer(1, 41)
    rig.answer(3, 50, REFUSED)  # the newest of its topic
    for _ in range(2):
        rig.turn(50 + FIRST_BACKOFF_S)
    assert (rig.sent[-1], rig.retained[-1]) == (3, True)


def test_a_refused_topic_is_tried_again_although_rows_are_being_loaded() -> None:
    """Its rows are far behind the place of the reading."""
    rig = Rig()
    rig.turn(0)
    rig.commit(1, topic="bad")
    rig.answer(1, 0, REFUSED)
    rig.slow = True
    rig.commit(*range(2, MAX_HANDED + 10))
    for row in rig.sent[1:]:
        rig.answer(row, 0)
    assert len(rig.under_way) == 1
    rig.turn(FIRST_BACKOFF_S)
    rig.feed.loaded(*rig.under_way.pop())
    rig.slow = False
    rig.turn(FIRST_BACKOFF_S + 1)
    rig.turn(FIRST_BACKOFF_S + 2)
    assert rig.sent[-1] == 1


def test_what_was_acknowledged_while_rows_were_loaded_is_not_sent_again() -> None:
    """It might come behind a newer verdict of its device, and stay there as the retained one."""
    rig = Rig()
    rig.disk = {row: Outgoing(row, "mqtt", "t", b"{}", retain=True) for row in (1, 2, 3)}
    rig.turn(0)
    rig.commit(4, topic="bad")
    rig.turn(0)
    rig.answer(4, 0, REFUSED)
    rig.turn(0)
    rig.slow = True
    rig.turn(FIRST_BACKOFF_S)
    rig.answer(2, FIRST_BACKOFF_S)
    rig.feed.loaded(*rig.under_way.pop())
    assert rig.sent == [1, 2, 3, 4, 4]


def test_what_was_acknowledged_just_before_rows_are_read_again_is_not_sent_again() -> None:
    """A refused topic is due while much is on its way: the disk is read from its start a little later."""
    rig = Rig()
    rig.turn(0)
    rig.commit(1, topic="bad")
    rig.answer(1, 0, REFUSED)
    rig.commit(*range(2, MAX_HANDED // 2 + 4))
    rig.turn(FIRST_BACKOFF_S)
    for row in range(2, 6):
        rig.answer(row, FIRST_BACKOFF_S)
    assert rig.sent.count(1) == 2
    assert [rig.sent.count(row) for row in range(2, 6)] == [1] * 4


def test_many_refused_topics_do_not_hold_up_the_others() -> None:
    """Some of them are to be tried again at every turn, with more rows than a load passes over."""
    rig = Rig()
    rig.turn(0)
    clock = 0.0
    for row in range(1, 1001):
        rig.commit(row, topic=f"bad{row % 250}")
    for _ in range(40):
        clock += 0.2
        for row in [row for row in list(rig.feed._handed) if rig.disk[row].key != "good"]:
            rig.answer(row, clock, REFUSED)
        rig.turn(clock)
    assert len(rig.feed._blocked) == 250
    for row in range(1001, 1400):
        rig.commit(row, topic="good")
        for _ in range(2):
            clock += 2.0
            for one in list(rig.feed._handed):
                rig.answer(one, clock, DELIVERED if rig.disk[one].key == "good" else REFUSED)
            rig.turn(clock)
    assert not [row for row in rig.disk if row > 1000 and row < 1390]


def test_a_known_device_is_not_behind_a_flood_and_keeps_its_order() -> None:
    """A thousand rows of new devices are on disk before its own; nothing is sent twice."""
    rig = Rig()
    rig.seniority["known"] = 0
    rig.turn(0)
    for row in range(1, 1001):
        rig.commit(row, topic=f"t{row}", device=f"new{row}")
    for row in (1001, 1002, 1003):
        rig.commit(row, topic="known", device="known")
    for turn in range(1, 2000):
        waiting = [row for row in rig.sent if row in rig.disk and row not in rig.feed._delivered]
        if not waiting:
            break
        for row in waiting[:20]:
            rig.answer(row, turn)
        rig.turn(turn)
    assert rig.disk == {}
    assert sorted(rig.sent) == list(range(1, 1004))
    places = [rig.sent.index(row) for row in (1001, 1002, 1003)]
    assert places == sorted(places)
    assert places[1] < MAX_HANDED + 2
    assert places[2] <= 2 * MAX_HANDED


def test_a_refused_device_has_no_turn_ahead_of_others() -> None:
    """Its topic is left alone as ever, and its turn is over."""
    rig = Rig()
    rig.seniority["bad"] = 0
    rig.turn(0)
    rig.commit(1, topic="bad", device="bad")
    rig.answer(1, 0, REFUSED)
    rig.commit(*range(2, 700), topic="good", device="good")
    rig.commit(700, topic="bad", device="bad")
    for turn in range(100):
        for row in list(rig.feed._handed):
            rig.answer(row, 0)
        rig.turn(turn / 100)
    assert set(rig.disk) == {1, 700}
    assert (len(rig.feed._turns), rig.feed.in_memory) == (0, 0)


def test_a_device_with_many_verdicts_delays_the_others_by_one_load() -> None:
    """Behind two thousand rows of one device another's go with the next load, in their order."""
    rig = Rig()
    rig.seniority |= {"loud": 0, "calm": 1}
    rig.turn(0)
    rig.commit(*range(1, 2001), topic="loud", device="loud")
    rig.commit(2001, topic="calm", device="calm")
    rig.commit(2002, topic="loud", device="loud")
    rig.commit(2003, topic="calm", device="calm")
    done: set[int] = set()
    for turn in range(1, 200):
        for row in [row for row in rig.sent if row not in done][:50]:
            done.add(row)
            rig.answer(row, turn)
        rig.turn(turn)
    assert rig.disk == {}
    assert sorted(rig.sent) == list(range(1, 2004))
    assert rig.sent.index(2001) < rig.sent.index(2003) <= MAX_HANDED + 2 * PER_DEVICE
    assert [row for row in rig.sent if row not in (2001, 2003)] == [*range(1, 2001), 2002]


@pytest.mark.slow
def test_rows_of_a_device_never_overtake_each_other() -> None:
    """Acks, refusals, slow loads, commits in any order: all rows arrive, those of a device in their order."""
    for seed in range(60):
        rng, rig = random.Random(seed), Later()
        rig.seniority |= {f"t{number}": number for number in range(30)}
        newest: dict[str, int] = {}
        waiting: list[int] = []
        name_of: dict[int, str] = {}
        seen = 0
        for clock in range(6000):
            if clock < 1500:
                rows = range(len(name_of) + 1, len(name_of) + 1 + rng.choice((0, 0, 1, 3)))
                name = f"t{min(rng.randrange(40), rng.randrange(40))}"
                name_of.update(dict.fromkeys(rows, name))
                rig.commit(*rows, topic=name, device=name)
            rig.turn(clock)
            if rng.random() < 0.5:
                rig.catch_up()
            waiting += rig.sent[seen:]
            seen = len(rig.sent)
            for _ in range(rng.randrange(3 if clock < 1500 else 20)):
                if waiting:
                    row = waiting.pop(0)
                    name = name_of[row]
                    refused = name in ("t1", "t2") and clock < 1500 and rng.random() < 0.2
                    rig.answer(row, clock, REFUSED if refused else DELIVERED)
                    if name not in ("t1", "t2"):
                        assert newest.get(name, 0) < row, (seed, row)
                        newest[name] = row
        assert (seed, rig.disk) == (seed, {})
        sent = [row for row in rig.sent if name_of[row] not in ("t1", "t2")]
        assert len(sent) == len(set(sent))


class Strict(Rig):
    """A sink that gets a message of a key only after the one before it."""

    pipelined = False


def test_a_strict_sink_gets_one_message_of_a_key_at_a_time() -> None:
    """Other keys go on meanwhile, and a failed message is sent again before the next one of its key."""
    rig = Strict()
    rig.turn(0)
    rig.commit(1, 2, 3, topic="a")
    rig.commit(4, topic="b")
    assert rig.sent == [1, 4]
    rig.answer(1, 0)
    rig.answer(2, 1, Retry(after_s=5.0, reason="busy"))
    rig.commit(5, topic="a")
    rig.turn(5.9)
    assert rig.sent == [1, 4, 2]
    assert rig.refused == [(2, "busy")]
    rig.turn(6)
    rig.answer(4, 6)
    for row in (2, 3, 5):
        assert rig.sent[-1] == row
        rig.answer(row, 6)
    rig.turn(7)
    assert (rig.disk, rig.feed.in_memory, rig.feed._queues) == ({}, 0, {})
    assert rig.reports == ["sink_delivery_failed"]


def test_a_strict_sink_loses_nothing_and_keeps_the_order_of_each_key() -> None:
    """With random answers at random times, and keys that devices share."""
    for seed in range(40):
        rng, rig = random.Random(seed), Strict()
        rig.seniority |= {f"d{number}": number for number in range(9)}
        taken: dict[int, str] = {}
        order: list[int] = []
        seen = clock = 0
        waiting: list[int] = []
        while clock < 1500 or rig.disk:
            clock += 1
            assert clock < 20_000, (seed, rig.disk)
            if clock < 1500 and rng.random() < 0.5:
                row = len(taken) + 1
                taken[row] = f"k{rng.randrange(12)}"
                rig.commit(row, topic=taken[row], device=f"d{rng.randrange(9)}")
            rig.turn(clock)
            waiting += rig.sent[seen:]
            seen = len(rig.sent)
            for _ in range(rng.randrange(4)):
                if waiting:
                    row = waiting.pop(rng.randrange(len(waiting)))
                    delivered = rng.random() < 0.7
                    order += [row] * delivered
                    rig.answer(row, clock, DELIVERED if delivered else Retry(after_s=3.0, reason="busy"))
        for key in set(taken.values()):
            rows = [row for row in order if taken[row] == key]
            assert rows == sorted(row for row in taken if taken[row] == key), (seed, key)


def test_a_held_message_is_handed_on_when_it_was_released() -> None:
    """Not when it is committed; its row may be before those that were read meanwhile."""
    rig = Later()
    rig.feed.turn(0)
    rig.catch_up()
    held = Outgoing(1, "mqtt", "later", b"{}", not_before=17.0)
    rig.feed.add([held], "d")
    rig.commit(2, topic="now")
    rig.catch_up()
    assert rig.sent == [2]
    assert rig.feed.complete
    rig.feed.wake()
    rig.feed.turn(1)
    rig.disk[1], rig.devices[1] = replace(held, not_before=0.0), "d"
    rig.feed.wake()  # while rows are being read that do not have it yet
    rig.slow = True
    rig.catch_up()
    rig.disk.pop(1)
    rig.feed.loaded({}, [], 0)
    rig.disk[1] = replace(held, not_before=0.0)
    rig.slow = False
    rig.turn(2)
    rig.catch_up()
    assert rig.sent == [2, 1]
