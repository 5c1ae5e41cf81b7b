"""The short way of messages that need no decision, as nearly all are.

It makes the rows and counts that the long way (:meth:`agent.journal.arrivals.Intake.accept`) makes of such a
message, with fewer questions: new, of QoS 1, not retained, with nothing but readings of one device, whose
series, source and clock are known and as they were.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from agent.decode.times import CLOCK_WAS_SET
from agent.domain.records import Arrival, Handling, MessageRow, Reading, Row
from agent.journal.announced import Announced
from agent.journal.clocks import Clocks
from agent.journal.places import Places
from agent.journal.sequence import RowSequence
from agent.journal.series import Newcomers, SeriesTable
from agent.journal.source_tally import SourceTally
from agent.journal.unread import Unread

#: Source and readings of a message that holds nothing else, no readings if they are another agent's; None
#: for all that needs a longer look.
Plain = tuple[str, tuple[Reading, ...]]
ReadPlain = Callable[[Arrival], Plain | None]


class ShortWay:
    """One object for the life of the writer."""

    def __init__(
        self,
        *,
        read: ReadPlain,
        series: SeriesTable,
        newcomers: Newcomers,
        unread: Unread,
        clocks: Clocks,
        announced: Announced,
        places: Places,
        sequence: RowSequence,
    ) -> None:
        self._read = read
        self._series = series
        self._newcomers = newcomers
        self._unread = unread
        self._clocks = clocks
        self._announced = announced
        self._places = places
        self._sequence = sequence

    def take(
        self,
        items: Sequence[object],
        start: int,
        *,
        rows: list[Row],
        messages: list[tuple[Any, ...]],
        readings: list[tuple[Any, ...]],
        source_of: Callable[[str], SourceTally],
    ) -> list[Arrival]:
        """Make rows of the messages from ``items[start]`` on, up to the first other one; return them."""
        read, ids, of, keeps_up = self._read, self._series.ids, self._places.of, self._clocks.keeps_up
        known, clear, next_row = self._newcomers.recent, self._unread.clear, self._sequence.take
        waiting = self._announced.waiting
        taken: list[Arrival] = []
        for one in islice(items, start, None):
            if type(one) is not Arrival or one.qos != 1 or one.retain:
                break
            found = read(one)
            if found is None:
                break
            label, values = found
            if not values:  # of another agent's partition
                _count(source_of(label), Handling.EXCLUDED, one)
                taken.append(one)
                continue
            device, at = values[0].device, values[0].at
            origin = of(device)
            numbers = [ids.get((device, each.metric, each.unit, each.word)) for each in values]
            if (
                origin is None
                or origin.source != label
                or origin.link is not None
                or device not in known
                or device in waiting
                or None in numbers
                or at < CLOCK_WAS_SET
                or not keeps_up(device, at)
            ):
                break
            seq, clock = next_row(one.mono)
            messages.append(
                (seq, one.generation, one.mid, one.topic, bytearray(one.payload), "", 0, one.received, clock)
            )
            if len(values) == 1:
                readings.append((seq, 0, numbers[0], at, values[0].value))
            else:
                readings += [
                    (seq, index, number, at, each.value)
                    for index, (number, each) in enumerate(zip(numbers, values, strict=True))
                ]
            rows.append(MessageRow(seq, clock, values))
            clear(values)
            tally = source_of(label)
            tally.readings += len(values)
            _count(tally, Handling.READ, one)
            taken.append(one)
        return taken


def _count(tally: SourceTally, outcome: Handling, arrival: Arrival) -> None:
    tally.messages[outcome] = tally.messages.get(outcome, 0) + 1
    tally.last = arrival.received
