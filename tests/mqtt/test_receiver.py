"""Messages on their way from the wire to the journal."""

import itertools
from collections.abc import Sequence
from typing import Any

from agent.domain.records import Arrival, LinkDown, LinkUp
from agent.mqtt.receiver import Receiver
from agent.mqtt.settings import LinkStats

Item = Arrival | LinkUp | LinkDown


class Connection:
    """A connection that notes what is acknowledged."""

    protocol = "5"

    def __init__(self) -> None:
        self.acked: list[list[int]] = []

    def ack(self, mids: list[int]) -> None:
        self.acked.append(mids)


class Bench:
    """A receiver before a journal that has room for so many items."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.offers: list[list[Item]] = []
        self.stats = LinkStats()
        self.connection: Any = Connection()
        ticks = itertools.count(1)
        self.receiver = Receiver(
            offer=self._offer,
            pressed=lambda: False,
            stats=self.stats,
            first_generation=1,
            wall=lambda: 0.0,
            mono=lambda: float(next(ticks)),
        )
        self.begin()

    def _offer(self, items: Sequence[Item]) -> int:
        taken = list(items[: self.room])
        self.room -= len(taken)
        self.offers.append(taken)
        return len(taken)

    def begin(self) -> None:
        self.receiver.attempt()
        self.receiver.begin(self.connection, session_present=True)

    def read(self, *mids: int) -> None:
        """Take the messages of one read, up to its end."""
        for mid in mids:
            self.receiver.take(0x32, b"t", mid, b"1", ())
        self.receiver.hand_over()

    @property
    def names(self) -> list[list[int | str]]:
        return [
            [one.mid if isinstance(one, Arrival) else type(one).__name__ for one in offer]
            for offer in self.offers
        ]


def test_the_messages_of_a_read_are_offered_at_once() -> None:
    """In their order, and each with its own time; a read without any offers nothing."""
    one = Bench(room=10)
    one.read(1, 2, 3)
    one.read()
    one.read(4)
    assert one.names == [["LinkUp"], [1, 2, 3], [4]]
    arrivals = [item for offer in one.offers for item in offer if isinstance(item, Arrival)]
    assert [item.mono for item in arrivals] == sorted({item.mono for item in arrivals})


def test_what_has_no_room_is_dropped_with_all_that_follows_it() -> None:
    """The broker sends it again in order, so nothing newer of its connection may be taken."""
    one = Bench(room=3)
    one.read(1, 2, 3, 4)
    one.room = 10
    one.read(5)
    assert (one.names, one.stats.dropped["intake_full"]) == ([["LinkUp"], [1, 2]], 3)
    assert one.receiver.stalled
    one.receiver.end("full")
    one.begin()
    one.read(3)
    assert one.names[2:] == [["LinkDown"], ["LinkUp"], [3]]


def test_messages_before_the_end_in_one_read_come_before_it() -> None:
    """A DISCONNECT behind them in the same bytes does not overtake them."""
    one = Bench(room=10)
    one.receiver.take(0x32, b"t", 1, b"1", ())
    one.receiver.end("closed")
    assert one.names == [["LinkUp"], [1], ["LinkDown"]]
