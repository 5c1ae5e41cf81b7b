"""The short way of messages that need no decision, as nearly all are.

It makes the rows and counts that the long way (:meth:`agent.journal.arrivals.Intake.accept`) makes of such a
message, with fewer questions: new, of QoS 1, not retained, with nothing but readings of one device, whose
series and source are known and as they were.
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
from agent.journal.series import SeriesTable
from agent.journal.source_tally import SourceTally
from agent.journal.unread import Unread

_READ = Handling.READ

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
        unread: Unread,
        clocks: Clocks,
        announced: Announced,
        places: Places,
        sequence: RowSequence,
    ) -> None:
        self._read = read
        self._series = series
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
        read, find, clock_at = self._read, self._series.ids.get, self._sequence.clock.at
        seq, clock = self._sequence.mark()
        taken: list[Arrival] = []
        made: list[MessageRow] = []
        settled: dict[str, str] = {}  # source by device
        latest: dict[str, float] = {}  # receipt by device
        counted: str | None = None  # source of the last messages
        for one in islice(items, start, None):
            if type(one) is not Arrival or one.qos != 1 or one.retain:
                break
            found = read(one)
            if found is None:
                break
            source, values = found
            if not values:  # of another agent's partition
                tally = source_of(source)
                counted = source
                tally.messages[Handling.EXCLUDED] = tally.messages.get(Handling.EXCLUDED, 0) + 1
                tally.last = one.received
                taken.append(one)
                continue
            value = values[0]
            device, at = value.device, value.at
            if settled.get(device) != source:
                if at < CLOCK_WAS_SET or not self._is_settled(device, source):
                    break
                settled[device] = source
            if len(values) == 1:
                number = find((device, value.metric, value.unit, value.word))
                if number is None:
                    break
                readings.append((seq + 1, 0, number, at, value.value))
            else:
                numbers = [find((device, each.metric, each.unit, each.word)) for each in values]
                if None in numbers:
                    break
                readings += [
                    (seq + 1, index, number, at, each.value)
                    for index, (number, each) in enumerate(zip(numbers, values, strict=True))
                ]
            if source != counted:
                tally, counted = source_of(source), source
            seq += 1
            now = clock_at(one.mono)
            if now > clock:  # noqa: PLR1730 - a call takes as long as all of this
                clock = now
            messages.append(
                (seq, one.generation, one.mid, one.topic, bytearray(one.payload), "", 0, one.received, clock)
            )
            made.append(MessageRow(seq, clock, values))
            tally.messages[_READ] = tally.messages.get(_READ, 0) + 1
            tally.readings += len(values)
            tally.last = one.received
            if at > latest.get(device, 0.0):
                latest[device] = at
            taken.append(one)
        self._sequence.reset((seq, clock))
        self._clocks.follow(latest)
        if self._unread.any:
            for row in made:
                self._unread.clear(row.readings)
        rows += made
        return taken

    def _is_settled(self, device: str, source: str) -> bool:
        """Return whether nothing about a device changes by a reading at the time of its receipt."""
        return self._places.is_settled(device, source) and device not in self._announced.waiting
