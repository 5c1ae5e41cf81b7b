"""Rows reach the net thread in order, bounded, and a refused topic does not hold up the others."""

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.records import Outgoing
from agent.pipeline.outbox_feed import FIRST_BACKOFF_S, MAX_HANDED, PER_DEVICE, Outbox


class Rig:
    """An outbox over a list that stands for the disk."""

    def __init__(self) -> None:
        self.disk: dict[int, Outgoing] = {}
        self.sent: list[int] = []
        self.retained: list[bool] = []  # of the last that were sent together
        self.refused: list[tuple[int, int]] = []
        self.reports: list[str] = []
        self.slow = False
        self.under_way: list[tuple[dict[str, list[Outgoing]], list[Outgoing], int]] = []
        self.devices: dict[int, str] = {}
        self.seniority: dict[str, int] = {}
        self.outbox = Outbox(
            publish=self.publish,
            load=self.load,
            done=self.done,
            refuse=lambda row, code: self.refused.append((row, code)),
            supersede=self.supersede,
            settled=lambda _row: None,
            seniority=self.seniority.get,
            log=self.report,
        )

    def publish(self, items: Sequence[Outgoing]) -> None:
        self.sent.extend(item.outbox_id for item in items)
        self.retained = [item.retain for item in items]

    def report(self, event: str, **_: Any) -> None:
        self.reports.append(event)

    def done(self, ids: Sequence[int]) -> None:
        for row in ids:
            del self.disk[row]

    def supersede(self, topic: str, before: int) -> None:
        for row, item in self.disk.items():
            if item.topic == topic and row < before:
                self.disk[row] = replace(item, retain=False)

    def load(self, after: int, limit: int, skip: Collection[str], devices: Sequence[str]) -> None:
        ahead = {
            device: [
                item
                for row, item in sorted(self.disk.items())
                if self.devices[row] == device and item.topic not in skip
            ][:PER_DEVICE]
            for device in devices
        }
        rows = [self.disk[row] for row in sorted(self.disk) if row > after][: 2 * limit]
        found = [item for item in rows if item.topic not in skip][:limit]
        read_to = (found if len(found) == limit else rows)[-1].outbox_id if rows else 0
        if self.slow:
            self.under_way.append((ahead, found, read_to))
        else:
            self.outbox.loaded(ahead, found, read_to)

    def commit(self, *ids: int, topic: str = "t", device: str = "d") -> Sequence[Outgoing]:
        items = [Outgoing(row, topic, b"{}", retain=True) for row in ids]
        self.disk.update((item.outbox_id, item) for item in items)
        self.devices.update(dict.fromkeys(ids, device))
        self.outbox.add(items, device)
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

    def answer(self) -> None:
        """Do all that was asked so far."""
        for _ in range(len(self.asked)):
            self.asked.popleft()()


def test_rows_left_by_the_last_process_go_first() -> None:
    """At start the disk is read before anything new is handed on, so order holds."""
    rig = Rig()
    rig.disk = {row: Outgoing(row, "t", b"{}", retain=True) for row in (1, 2)}
    rig.commit(3)
    assert rig.sent == []
    rig.outbox.turn(0)
    rig.outbox.turn(1)
    assert rig.sent == [1, 2, 3]


def test_acknowledged_rows_leave_the_disk() -> None:
    """A PUBACK below 0x80 removes the row, and only that one."""
    rig = Rig()
    rig.commit(1, 2)
    rig.outbox.turn(0)
    rig.outbox.published(1, 0, 0)
    rig.outbox.published(2, 0x10, 0)
    rig.outbox.published(99, 0, 0)
    rig.outbox.turn(1)
    assert rig.disk == {}
    assert rig.outbox.stats.published == 2


def test_memory_is_bounded_while_the_broker_is_away() -> None:
    """With nothing acknowledged at most 400 rows are in memory; all of them go out in the end, in order."""
    rig = Rig()
    rig.outbox.turn(0)
    for row in range(1, 501):
        rig.commit(row)
        rig.outbox.turn(0)
    assert rig.outbox.in_memory <= MAX_HANDED
    for turn in range(1, 600):
        for row in rig.sent:
            rig.outbox.published(row, 0, turn)
        rig.outbox.turn(turn)
    assert rig.disk == {}
    assert rig.sent == list(range(1, 501))


def test_a_refused_topic_waits_alone() -> None:
    """The others go on, the refused one is tried again with a doubling backoff, in order."""
    rig = Rig()
    rig.outbox.turn(0)
    rig.commit(1, topic="bad")
    rig.outbox.published(1, 0x87, 10)
    rig.commit(2, topic="bad")
    rig.commit(3, topic="good")
    assert rig.sent == [1, 3]
    assert rig.refused == [(1, 0x87)]
    assert rig.outbox.blocked_topics == ("bad",)
    rig.outbox.turn(10 + FIRST_BACKOFF_S - 1)
    assert rig.sent == [1, 3]
    rig.outbox.turn(10 + FIRST_BACKOFF_S)
    assert rig.sent == [1, 3, 1, 2]
    rig.outbox.published(1, 0x87, 100)
    rig.outbox.published(2, 0x87, 100)
    rig.outbox.turn(100 + 2 * FIRST_BACKOFF_S - 1)
    assert rig.sent == [1, 3, 1, 2]
    rig.outbox.published(3, 0, 101)
    rig.outbox.turn(100 + 2 * FIRST_BACKOFF_S)
    assert rig.sent[4:] == [1, 2]


def test_a_late_verdict_does_not_replace_a_newer_one() -> None:
    """Refused while a newer row of its topic was on its way and taken: it is published, but not retained."""
    rig = Rig()
    rig.outbox.turn(0)
    rig.commit(1, 2, 3, topic="d")
    rig.outbox.published(1, 0x95, 10)
    rig.outbox.published(2, 0, 10)
    rig.outbox.turn(10 + FIRST_BACKOFF_S)
    assert (rig.sent[-1], rig.retained) == (1, [False])
    rig.outbox.published(1, 0, 41)
    rig.outbox.published(3, 0x95, 50)  # the newest of its topic
    for _ in range(2):
        rig.outbox.turn(50 + FIRST_BACKOFF_S)
    assert (rig.sent[-1], rig.retained) == (3, [True])


def test_a_refused_topic_is_tried_again_although_rows_are_being_loaded() -> None:
    """Its rows are far behind where the reading stands."""
    rig = Rig()
    rig.outbox.turn(0)
    rig.commit(1, topic="bad")
    rig.outbox.published(1, 0x87, 0)
    rig.slow = True
    rig.commit(*range(2, MAX_HANDED + 10))
    for row in rig.sent[1:]:
        rig.outbox.published(row, 0, 0)
    assert len(rig.under_way) == 1
    rig.outbox.turn(FIRST_BACKOFF_S)
    rig.outbox.loaded(*rig.under_way.pop())
    rig.slow = False
    rig.outbox.turn(FIRST_BACKOFF_S + 1)
    rig.outbox.turn(FIRST_BACKOFF_S + 2)
    assert rig.sent[-1] == 1


def test_what_was_acknowledged_while_rows_were_loaded_is_not_sent_again() -> None:
    """It might come behind a newer verdict of its device, and stay there as the retained one."""
    rig = Rig()
    rig.disk = {row: Outgoing(row, "t", b"{}", retain=True) for row in (1, 2, 3)}
    rig.outbox.turn(0)
    rig.commit(4, topic="bad")
    rig.outbox.turn(0)
    rig.outbox.published(4, 0x87, 0)
    rig.outbox.turn(0)
    rig.slow = True
    rig.outbox.turn(FIRST_BACKOFF_S)
    rig.outbox.published(2, 0, FIRST_BACKOFF_S)
    rig.outbox.loaded(*rig.under_way.pop())
    assert rig.sent == [1, 2, 3, 4, 4]


def test_what_was_acknowledged_just_before_rows_are_read_again_is_not_sent_again() -> None:
    """A refused topic is due while much is on its way: the disk is read from its start a little later."""
    rig = Rig()
    rig.outbox.turn(0)
    rig.commit(1, topic="bad")
    rig.outbox.published(1, 0x87, 0)
    rig.commit(*range(2, MAX_HANDED // 2 + 4))
    rig.outbox.turn(FIRST_BACKOFF_S)
    for row in range(2, 6):
        rig.outbox.published(row, 0, FIRST_BACKOFF_S)
    assert rig.sent.count(1) == 2
    assert [rig.sent.count(row) for row in range(2, 6)] == [1] * 4


def test_many_refused_topics_do_not_hold_up_the_others() -> None:
    """Some of them are to be tried again at every turn, with more rows than a load passes over."""
    rig = Rig()
    rig.outbox.turn(0)
    clock = 0.0
    for row in range(1, 1001):
        rig.commit(row, topic=f"bad{row % 250}")
    for _ in range(40):
        clock += 0.2
        for row in [row for row in list(rig.outbox._handed) if rig.disk[row].topic != "good"]:
            rig.outbox.published(row, 0x87, clock)
        rig.outbox.turn(clock)
    assert len(rig.outbox.blocked_topics) == 250
    for row in range(1001, 1400):
        rig.commit(row, topic="good")
        for _ in range(2):
            clock += 2.0
            for one in list(rig.outbox._handed):
                rig.outbox.published(one, 0 if rig.disk[one].topic == "good" else 0x87, clock)
            rig.outbox.turn(clock)
    assert not [row for row in rig.disk if row > 1000 and row < 1390]


def test_a_known_device_is_not_behind_a_flood_and_keeps_its_order() -> None:
    """A thousand rows of new devices are on disk before its own; nothing is sent twice."""
    rig = Rig()
    rig.seniority["known"] = 0
    rig.outbox.turn(0)
    for row in range(1, 1001):
        rig.commit(row, topic=f"t{row}", device=f"new{row}")
    for row in (1001, 1002, 1003):
        rig.commit(row, topic="known", device="known")
    for turn in range(1, 2000):
        waiting = [row for row in rig.sent if row in rig.disk and row not in rig.outbox._acked]
        if not waiting:
            break
        for row in waiting[:20]:
            rig.outbox.published(row, 0, turn)
        rig.outbox.turn(turn)
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
    rig.outbox.turn(0)
    rig.commit(1, topic="bad", device="bad")
    rig.outbox.published(1, 0x87, 0)
    rig.commit(*range(2, 700), topic="good", device="good")
    rig.commit(700, topic="bad", device="bad")
    for turn in range(100):
        for row in list(rig.outbox._handed):
            rig.outbox.published(row, 0, 0)
        rig.outbox.turn(turn / 100)
    assert set(rig.disk) == {1, 700}
    assert (len(rig.outbox._turns), rig.outbox.in_memory) == (0, 0)


def test_a_device_with_many_verdicts_delays_the_others_by_one_load() -> None:
    """Behind two thousand rows of one device another's go with the next load, in their order."""
    rig = Rig()
    rig.seniority |= {"loud": 0, "calm": 1}
    rig.outbox.turn(0)
    rig.commit(*range(1, 2001), topic="loud", device="loud")
    rig.commit(2001, topic="calm", device="calm")
    rig.commit(2002, topic="loud", device="loud")
    rig.commit(2003, topic="calm", device="calm")
    done: set[int] = set()
    for turn in range(1, 200):
        for row in [row for row in rig.sent if row not in done][:50]:
            done.add(row)
            rig.outbox.published(row, 0, turn)
        rig.outbox.turn(turn)
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
            rig.outbox.turn(clock)
            if rng.random() < 0.5:
                rig.answer()
            waiting += rig.sent[seen:]
            seen = len(rig.sent)
            for _ in range(rng.randrange(3 if clock < 1500 else 20)):
                if waiting:
                    row = waiting.pop(0)
                    name = name_of[row]
                    refused = name in ("t1", "t2") and clock < 1500 and rng.random() < 0.2
                    rig.outbox.published(row, 0x87 if refused else 0, clock)
                    if name not in ("t1", "t2"):
                        assert newest.get(name, 0) < row, (seed, row)
                        newest[name] = row
        assert (seed, rig.disk) == (seed, {})
        sent = [row for row in rig.sent if name_of[row] not in ("t1", "t2")]
        assert len(sent) == len(set(sent))
