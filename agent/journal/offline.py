"""The intake without a file: arrivals to rows as the writer makes them, in memory.

Sources, availability, retained values, deduplication, devices without a value and the limits on new devices
are those of the live agent, because it is the same :class:`~agent.journal.arrivals.Intake`. Only the rows are
not written. Time is that of the arrivals.
"""

import sqlite3
from collections.abc import Callable, Mapping

from agent.domain.records import Arrival, Handling, MessageRow, Row, TimerKind, TimerRow
from agent.journal.announced import Announced
from agent.journal.arrivals import Decode, Intake
from agent.journal.clocks import Clocks
from agent.journal.commands import CommandRate
from agent.journal.family_tables import Families
from agent.journal.places import Places
from agent.journal.redelivery import MessageIds, Redelivery
from agent.journal.schema import migrate
from agent.journal.sequence import AgentClock, RowSequence
from agent.journal.series import Newcomers, SeriesTable
from agent.journal.short_way import ReadPlain
from agent.journal.stats import JournalStats
from agent.journal.unread import Unread

MAX_GROUP = 256  # arrivals, as in a transaction of the writer


class OfflineIntake:
    """Makes rows of arrivals; their ``mono`` is the clock of these rows. ``stats`` counts as live.

    ``read`` gives source and readings of an arrival that holds nothing else, whose times are believed; None
    of any other. ``places`` has the source of each device.
    """

    def __init__(
        self,
        *,
        decode: Decode,
        read: ReadPlain,
        families: Families,
        knows: Callable[[str], bool],
        new_devices_per_min: Mapping[str, int],
    ) -> None:
        self.stats = JournalStats()
        self._decode = decode
        self._read = read
        self._families = families
        self._connection = connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(connection, version=0)
        self._now = 0.0
        clock = AgentClock(last=0.0, wall=lambda: 0.0, mono=lambda: 0.0)
        self._sequence = RowSequence(seq=0, clock_value=0.0, clock=clock)
        self._redelivery = Redelivery(connection)
        self._message_ids = MessageIds(connection, now=lambda: self._now)
        self._series = SeriesTable(connection)
        self._newcomers = Newcomers(connection, knows=knows, per_min=new_devices_per_min)
        self._unread = Unread(knows=knows)
        self._clocks = Clocks(connection)
        self._announced = Announced(knows=knows)
        self._command_rate = CommandRate()
        self.places = Places(connection)
        self._rows: list[Row] = []
        self._accepted = 0
        self._intake = self._begin()

    def _begin(self) -> Intake:
        return Intake(
            decode=self._decode,
            redelivery=self._redelivery,
            message_ids=self._message_ids,
            series=self._series,
            newcomers=self._newcomers,
            unread=self._unread,
            clocks=self._clocks,
            announced=self._announced,
            command_rate=self._command_rate,
            places=self.places,
            sequence=self._sequence,
            rows=self._rows,
        )

    def accept(self, arrival: Arrival) -> list[Row]:
        """Return the rows of an arrival of QoS 0, seldom more than one; those before it are forgotten."""
        rows = self._rows
        rows.clear()
        self._now = arrival.mono
        if not self._hasten(arrival):
            self._intake.accept(arrival)
        self._accepted += 1
        if self._accepted >= MAX_GROUP:
            self.commit()
        return rows

    def _hasten(self, arrival: Arrival) -> bool:
        """Make the row that the intake makes of readings of known series, with fewer questions."""
        plain = self._read(arrival)
        if plain is None or not plain[1] or self._unread.any or self._announced.waiting:
            return False
        label, readings = plain
        device, known = readings[0].device, self._series.ids
        if not self.places.is_settled(device, label):
            return False
        for one in readings:
            if one.device != device or (device, one.metric, one.unit, one.word) not in known:
                return False
        seq, clock = self._sequence.take(arrival.mono)
        self._rows.append(MessageRow(seq, clock, readings))
        tally, count = self._intake.tally, len(readings)
        source = tally.of(label)
        source.messages[Handling.READ] = source.messages.get(Handling.READ, 0) + 1
        source.last = arrival.received
        source.readings += count
        tally.received += 1
        tally.journaled += 1
        tally.readings += count
        return True

    def timer(self, kind: TimerKind, clock: float) -> TimerRow:
        """Return a decision of time or link at its place in the sequence."""
        seq, clock = self._sequence.take(clock)
        return TimerRow(seq, clock, kind)

    def place(self, clock: float) -> tuple[int, float]:
        """Return the next place in the sequence, for a row of another journal."""
        return self._sequence.take(clock)

    def commit(self) -> None:
        """Count the arrivals so far, and end their group."""
        self._accepted = 0
        self._message_ids.insert()
        self._families.take_changes()
        parts = (
            self._message_ids,
            self._series,
            self._newcomers,
            self._unread,
            self._clocks,
            self._announced,
            self.places,
        )
        for part in parts:
            part.commit()
        self.stats.add(self._intake.tally, self._now)
        self._intake = self._begin()

    def close(self) -> None:
        """Give the memory back."""
        self.commit()
        self._connection.close()
