"""Arrivals of one transaction: inserted, quarantined or counted, then acked."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Protocol

from agent.decode.family import Note, Skip, Skipped, only_device
from agent.domain.records import (
    NOTHING_READ,
    Arrival,
    Command,
    CommandOutcome,
    CommandReason,
    CommandRow,
    DecodeError,
    DecodeReason,
    Do,
    Handling,
    MessageRow,
    Posted,
    Reading,
    Receipt,
    Row,
    TimerKind,
    TimerRow,
)
from agent.journal import commands, feedback
from agent.journal.announced import Announced
from agent.journal.clocks import Clocks
from agent.journal.codec import Insertion
from agent.journal.commands import CommandRate, Refusal, way_of
from agent.journal.places import Places
from agent.journal.redelivery import MessageIds, Redelivery, digest_of
from agent.journal.sequence import RowSequence
from agent.journal.series import Newcomers, SeriesTable
from agent.journal.short_way import ShortWay
from agent.journal.source_tally import (
    COMMAND,
    DUPLICATE,
    FEEDBACK,
    FRUITLESS,
    HISTORY,
    IGNORED,
    INTENDED,
    REDELIVERED,
    REFUSED,
    SEED,
    SourceTally,
)
from agent.journal.stats import Tally
from agent.journal.unread import MESSAGE, Unread
from agent.verdict.command import CommandError
from agent.verdict.feedback import Feedback, Noted

_MAX_QUARANTINE_BYTES = 256 * 1024
_MAX_SHOWN = 128  # characters of a name
_KEY = "key"
_OTHER_BODY = "this key came with another body within a day; a new message needs a new key"
#: Families of any JSON; the others know their devices' messages without a value: a join, a receipt.
_PLAIN = frozenset({None, "generic", "http_data"})

_MESSAGES = Insertion("INSERT INTO messages VALUES", columns=9)
_READINGS = Insertion("INSERT INTO readings VALUES", columns=5)
_HISTORY = Insertion("INSERT INTO history VALUES", columns=5)
_TIMERS = Insertion("INSERT INTO timer_events VALUES", columns=5)
_QUARANTINE = Insertion(
    "INSERT INTO quarantine(topic, payload, size, reason, detail, received, clock) VALUES", columns=7
)

_TIMES = frozenset(note for note in Note if note.startswith("time_"))

_NO_CONTENT = frozenset({TimerKind.HEARD.value, TimerKind.EXPECTED.value})

Ack = tuple[int, int]  # generation, packet id


class Decoded(Protocol):
    """The parts of a decoded message that the journal uses (``agent.decode.Decoded``)."""

    @property
    def source(self) -> str | None: ...
    @property
    def readings(self) -> tuple[Reading, ...]: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def family(self) -> str | None: ...
    @property
    def text_only(self) -> bool: ...
    @property
    def skipped(self) -> Collection[Skipped]: ...  # values that are not readings
    @property
    def notes(self) -> Collection[str]: ...
    @property
    def heard(self) -> tuple[str, ...]: ...  # devices without a value in the message
    @property
    def handling(self) -> Handling: ...
    @property
    def excluded_by(self) -> str | None: ...
    @property
    def retained(self) -> str: ...  # seed | live | ignore
    @property
    def device(self) -> str | None: ...  # named by the topic
    @property
    def online(self) -> bool | None: ...  # the device's own status
    @property
    def states(self) -> tuple[tuple[str, bool], ...]: ...  # of other devices: online or not
    @property
    def message_id(self) -> str | None: ...  # the publisher's
    @property
    def history(self) -> tuple[Reading, ...]: ...  # that the sender marks as old
    @property
    def expected_s(self) -> Collection[tuple[str, float]]: ...  # announced interval: device, seconds
    @property
    def received(self) -> float: ...  # the time of readings without one
    @property
    def off_s(self) -> float | None: ...  # of a time that was not believed, from receipt


Decode = Callable[[Arrival], Decoded | Feedback | Command]


class Intake:
    """Collects arrivals in memory and inserts them at once; one object for each transaction."""

    def __init__(
        self,
        *,
        decode: Decode,
        redelivery: Redelivery,
        message_ids: MessageIds,
        series: SeriesTable,
        newcomers: Newcomers,
        unread: Unread,
        clocks: Clocks,
        announced: Announced,
        command_rate: CommandRate,
        places: Places,
        sequence: RowSequence,
        rows: list[Row],
        short_way: ShortWay | None = None,
    ) -> None:
        self.acks: list[Ack] = []  # in arrival order
        self.tally = Tally()
        self.texts: list[tuple[Arrival, bool]] = []  # with text in them, and whether they are garbled
        self._rows = rows
        self._decode = decode
        self._redelivery = redelivery
        self._message_ids = message_ids
        self._series = series
        self._newcomers = newcomers
        self._unread = unread
        self._clocks = clocks
        self._announced = announced
        self._command_rate = command_rate
        self._places = places
        self._sequence = sequence
        self._short_way = short_way
        self._messages: list[tuple[object, ...]] = []
        self._readings: list[tuple[object, ...]] = []
        self._history: list[tuple[object, ...]] = []
        self._timers: list[tuple[object, ...]] = []
        self._quarantine: list[tuple[object, ...]] = []
        self._feedback: list[tuple[Feedback, Arrival]] = []
        self._commands: list[tuple[CommandRow, float]] = []  # with their time of receipt
        self.refusals: list[Refusal] = []  # of commands that are not journaled
        self.receipts: list[tuple[Posted, Receipt]] = []
        self._receipt: Receipt | None = None  # of the message that is taken, if its rows do not give it
        self.noted: tuple[Noted, ...] = ()  # what became of the feedback, once it is inserted

    def hasten(self, items: Sequence[object], start: int) -> int:
        """Take the plain messages from ``items[start]`` on; return the place of the first other one."""
        if self._short_way is None or self._redelivery.recognising:
            return start
        before, rows = len(self._readings), len(self._messages)
        taken = self._short_way.take(
            items,
            start,
            rows=self._rows,
            messages=self._messages,
            readings=self._readings,
            source_of=self.tally.of,
        )
        self._redelivery.remember(*taken)
        self.acks += [(one.generation, one.mid) for one in taken]
        tally = self.tally
        tally.repeats_possible += sum(one.dup for one in taken)
        tally.received += len(taken)
        tally.journaled += len(self._messages) - rows
        tally.readings += len(self._readings) - before
        return start + len(taken)

    def accept(self, arrival: Arrival) -> None:
        """Decide what becomes of one arrival. Every QoS 1 arrival ends in one ack, a held one later."""
        if not arrival.qos:
            if isinstance(arrival, Posted):
                self._take_posted(arrival)
            else:
                self._take(arrival)
        elif self._redelivery.recognising:
            repeats, new = self._redelivery.hold(arrival)
            self._acknowledge(repeats)
            for one in new:
                self._take_placed(one)
        else:
            self._take_placed(arrival)

    def give_up_held(self) -> None:
        """Take held messages as new ones: no further repeat came in time."""
        for one in self._redelivery.release():
            self._take_placed(one)

    def drop_held(self) -> None:
        """Forget held messages: their connection is over, and the broker still owes them."""
        self._redelivery.release()

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write the collected rows into the open transaction."""
        _MESSAGES.run(connection, self._messages)
        _READINGS.run(connection, self._readings)
        _HISTORY.run(connection, self._history)
        self._clocks.insert(connection)
        _TIMERS.run(connection, self._timers)
        self._places.insert()
        self._redelivery.insert(connection)
        received = [(one, arrival.received) for one, arrival in self._feedback]
        self.noted = feedback.keep(connection, received)
        for one, (_, arrival) in zip(self.noted, self._feedback, strict=True):
            if one.refused:
                self._put_aside(arrival, DecodeReason.UNKNOWN_VERDICT, one.why)
            elif one.judged:
                self._judge(arrival, one)
        commands.insert(connection, self._commands)
        _QUARANTINE.run(connection, self._quarantine)
        self._message_ids.insert()

    def _acknowledge(self, repeats: list[Arrival]) -> None:
        """Acknowledge messages that are journaled already."""
        self._redelivery.remember(*repeats)
        self.acks += [(one.generation, one.mid) for one in repeats]
        self.tally.received += len(repeats)
        self.tally.redelivered += len(repeats)
        if repeats:
            self._count("", REDELIVERED, repeats[-1].received, len(repeats))

    def _take_placed(self, arrival: Arrival) -> None:
        """Take a new QoS 1 message at its place in the connection."""
        self._redelivery.remember(arrival)
        self.acks.append((arrival.generation, arrival.mid))
        self.tally.repeats_possible += arrival.dup
        self._take(arrival)

    def _take_posted(self, posted: Posted) -> None:
        """Take a message whose sender waits for its receipt, unless the sender has given up."""
        if not posted.receipt.set_running_or_notify_cancel():
            return
        made, aside, unmatched = self._rows_made(), len(self._quarantine), self.tally.unmatched
        self._take(posted)
        if self._receipt is not None:
            receipt = self._receipt
        elif len(self._quarantine) > aside:
            receipt = Receipt(str(self._quarantine[-1][3]), str(self._quarantine[-1][4]))
        elif self._rows_made() > made:
            receipt = Receipt()
        elif self.tally.unmatched > unmatched:
            receipt = Receipt("no_source", "no source has this topic")
        else:
            receipt = Receipt("no_value", "the message holds no value that can be read")
        self.receipts.append((posted, receipt))

    def _rows_made(self) -> int:
        """Return how many rows with content there are, messages that are there already among them."""
        states = sum(kind not in _NO_CONTENT for _seq, kind, *_ in self._timers)
        return len(self._messages) + len(self._commands) + states + self.tally.duplicates

    def _take(self, arrival: Arrival) -> None:
        """Make it a row, a quarantine row or a count."""
        self.tally.received += 1
        self._receipt = None
        source, outcome = "", REFUSED
        try:
            decoded = self._decode(arrival)
            if isinstance(decoded, Feedback):
                self._note_feedback(arrival, decoded)
                outcome = FEEDBACK
            elif isinstance(decoded, Command):
                self._note_command(arrival, decoded)
                outcome = COMMAND
            else:
                source = decoded.source or ""
                outcome = self._journal(arrival, decoded)
                if decoded.skipped:
                    self.texts.append((arrival, False))
        except CommandError as error:
            self._refuse_command(arrival, error)
        except DecodeError as error:
            source = error.source or source
            self._note_refused(arrival, error)
            self.texts.append((arrival, error.reason is not DecodeReason.STRING_TOO_LONG))
            self._put_aside(arrival, error.reason, error.detail)
        except UnicodeEncodeError:
            self._put_aside(arrival, DecodeReason.BAD_UTF8, "lone surrogate")
        except sqlite3.Error:  # the storage, not the message
            raise
        except Exception as error:  # noqa: BLE001 - a fault of a decoder must not stop the acks
            self._put_aside(arrival, DecodeReason.DECODER_FAULT, type(error).__name__)
        one = self._count(source, outcome, arrival.received)
        if outcome in FRUITLESS and not arrival.retain:
            one.fruitless += 1

    def _journal(self, arrival: Arrival, decoded: Decoded) -> str:
        """Make it rows or counts; return the outcome."""
        tally = self.tally
        readings = decoded.readings + decoded.history
        source = decoded.source
        seed = False
        if arrival.retain and source is not None:
            if decoded.retained == "ignore":
                tally.retained_ignored += 1
                return IGNORED
            seed = decoded.retained == "seed"
        self._note_states(arrival, decoded)
        if decoded.skipped or decoded.notes or not readings:
            self._note_unread(arrival, decoded)
        if not readings:
            self._note_announced(arrival, decoded, ())
            if decoded.text_only:
                tally.text_only += 1
            elif source is None:
                tally.unmatched += 1
            if decoded.excluded_by is not None:
                self._receipt = Receipt("excluded", f"by {decoded.excluded_by}")
            intended = all(one.why in INTENDED for one in decoded.skipped)
            if intended and decoded.handling in FRUITLESS and decoded.family not in _PLAIN:
                self._receipt = Receipt(NOTHING_READ, "a message of its family that holds no value")
            return decoded.handling
        topic, traceparent = arrival.topic, decoded.traceparent
        # The statements that can fail come first, so that no half of a message is left behind.
        topic.encode()
        if traceparent is not None:
            traceparent.encode()
        readings = self._admit(source or "", readings, arrival.mono)
        found = [self._series.find(reading) for reading in readings if _is_sound(reading)]
        readings, series = self._number(source or "", readings, found, arrival.mono)
        if (decoded.message_id is not None or not arrival.qos) and not seed:
            ids = _digests(arrival, decoded)
            known = [one for one in ids if self._message_ids.knows(ids[one])]
            if known == [_KEY]:
                self._receipt = Receipt("idempotency_key", _OTHER_BODY)
                return REFUSED
            if known:
                tally.duplicates += 1
                return DUPLICATE
            for digest in ids.values():
                self._message_ids.note(digest)
        seq, clock = self._sequence.take(arrival.mono)
        # Int, float, str and bytearray only: sqlite3 seeks an adapter for any other type, 0.5 us a value.
        self._messages.append(
            (
                seq,
                arrival.generation,
                arrival.mid,
                topic,
                bytearray(arrival.payload),
                traceparent or "",
                int(seed),
                arrival.received,
                clock,
            )
        )
        if seed:
            old: frozenset[int] = frozenset()
        else:
            readings, old = self._judge_times(decoded, readings)
        for place, reading in enumerate(readings):
            rows = self._history if place in old else self._readings
            rows.append((seq, place, series[place], reading.at, reading.value))
        live, history = _divide(readings, old)
        self._rows.append(MessageRow(seq, clock, live, traceparent, seed, history))
        tally.journaled += 1
        if seed:
            tally.seeds += 1
            return SEED
        tally.readings += len(live)
        one = self.tally.of(source or "")
        one.readings += len(live)
        one.history += len(history)
        self._unread.clear(readings)
        self._places.take_readings(source or "", {reading.device for reading in live})
        self._note_announced(arrival, decoded, live)
        return decoded.handling if live else HISTORY

    def _judge_times(
        self, decoded: Decoded, readings: tuple[Reading, ...]
    ) -> tuple[tuple[Reading, ...], frozenset[int]]:
        """Return the readings at the times that are believed, and the places of those that are history."""
        count = len(readings)
        if decoded.history:  # behind the others
            marked = {id(reading) for reading in decoded.history}
            count = sum(id(reading) not in marked for reading in readings)
        judged = self._clocks.judge(readings[:count], decoded.received, decoded.off_s)
        if judged.replaced:
            self.tally.of(decoded.source or "").times += 1
        return judged.readings + readings[count:], judged.old.union(range(count, len(readings)))

    def _note_announced(self, arrival: Arrival, decoded: Decoded, readings: tuple[Reading, ...]) -> None:
        """Journal the intervals that devices announce, once they have had a reading."""
        if not decoded.expected_s and not self._announced.waiting:
            return
        measured = {reading.device for reading in readings}
        for device, seconds in self._announced.take(decoded.expected_s, measured):
            seq, clock = self._sequence.take(arrival.mono)
            self._timers.append((seq, TimerKind.EXPECTED.value, device, clock, seconds))
            self._rows.append(TimerRow(seq, clock, TimerKind.EXPECTED, device, seconds))

    def _count(self, source: str, outcome: str, received: float, count: int = 1) -> SourceTally:
        one = self.tally.of(source)
        one.messages[outcome] = one.messages.get(outcome, 0) + count
        one.last = received
        return one

    def _note_unread(self, arrival: Arrival, decoded: Decoded) -> None:
        """Count unread values and times not believed; journal the devices without a value."""
        one = self.tally.of(decoded.source or "")
        one.times += any(note in _TIMES for note in decoded.notes)
        read = bool(decoded.readings)
        device = only_device(decoded.readings, decoded.heard) or decoded.device or ""
        for name, why, own, _word in decoded.skipped:
            one.skipped[why] = one.skipped.get(why, 0) + 1
            if why not in INTENDED and not (read and why is Skip.TEXT):
                shown = _printable(name[:_MAX_SHOWN])
                meant = _printable(device if own is None else own)
                one.sample(meant, shown, why)
                if meant:
                    self._unread.note(meant, shown, why, arrival.received)
        if arrival.retain:
            return
        heard = decoded.heard
        if not heard and decoded.handling in FRUITLESS and not _is_deletion(decoded):
            heard = (device,)
        for each in heard:
            self._hear(arrival, each)

    def _hear(self, arrival: Arrival, device: str) -> None:
        """Journal that a device sent a message, at its place in the sequence."""
        if not device or not self._unread.wants_row(device, arrival.mono):
            return
        seq, clock = self._sequence.take(arrival.mono)
        self._timers.append((seq, TimerKind.HEARD.value, device, clock, None))
        self._rows.append(TimerRow(seq, clock, TimerKind.HEARD, device))

    def _note_refused(self, arrival: Arrival, error: DecodeError) -> None:
        """Note that a device sent something unreadable; it is not silent."""
        if error.device and not arrival.retain:
            self._unread.note(_printable(error.device), MESSAGE, error.reason, arrival.received)
            self._hear(arrival, error.device)

    def _admit(self, source: str, readings: tuple[Reading, ...], mono: float) -> tuple[Reading, ...]:
        """Leave out the readings of new devices beyond their source's limit; count what was left out."""
        admitted: tuple[Reading, ...] = ()
        try:
            admitted = self._newcomers.admit(source, readings, mono)
        finally:
            if len(admitted) < len(readings):
                refused = self.tally.new_refused
                refused[source] = refused.get(source, 0) + 1
        return admitted

    def _number(
        self, source: str, readings: tuple[Reading, ...], found: list[int | None], mono: float
    ) -> tuple[tuple[Reading, ...], list[int]]:
        """Begin new series up to the limits; return the readings that have one, and its ids."""
        known = [one for one in found if one is not None]
        if len(known) == len(found):
            return readings, known
        numbered: list[tuple[Reading, int]] = []
        for reading, one in zip(readings, found, strict=True):
            number = self._series.find(reading) if one is None else one
            if number is None and self._newcomers.admit_series(source, reading.device, mono):
                number = self._series.begin(reading)
            if number is not None:
                numbered.append((reading, number))
        if len(numbered) < len(readings):
            refused = self.tally.new_refused
            refused[source] = refused.get(source, 0) + 1
        if not numbered:
            raise DecodeError(DecodeReason.NEW_SERIES_LIMIT, "too many new metrics of its device or source")
        return tuple(reading for reading, _ in numbered), [number for _, number in numbered]

    def _note_feedback(self, arrival: Arrival, feedback: Feedback) -> None:
        if arrival.retain:
            self.tally.retained_ignored += 1
        else:
            self._feedback.append((feedback, arrival))

    def _judge(self, arrival: Arrival, noted: Noted) -> None:
        """Append feedback on an anomaly to the sequence, as a decided command."""
        seq, clock = self._sequence.take(arrival.mono)
        outcome = CommandOutcome(
            accepted=True,
            reason=CommandReason.DONE,
            device=noted.device,
            finding_id=noted.finding_id,
            judged=noted.judged,
        )
        row = CommandRow(seq, clock, Command(Do(noted.feedback.outcome), device=noted.device), outcome)
        self._commands.append((row, arrival.received))
        self._rows.append(row)

    def _note_command(self, arrival: Arrival, command: Command) -> None:
        """Journal a person's command at its place in the sequence; too many at once are refused."""
        if arrival.retain:
            self.tally.retained_ignored += 1
            return
        if not self._command_rate.admit(way_of(arrival), arrival.mono):
            error = CommandError(DecodeReason.COMMAND_LIMIT, "too many commands; send at most one a second")
            error.command_id = command.id
            raise error
        seq, clock = self._sequence.take(arrival.mono)
        row = CommandRow(seq, clock, command, reply=arrival.reply)
        self._commands.append((row, arrival.received))
        self._rows.append(row)

    def _refuse_command(self, arrival: Arrival, error: CommandError) -> None:
        if arrival.retain or not arrival.payload:  # an empty one deletes a retained one
            self.tally.retained_ignored += 1
            return
        flood = error.reason is DecodeReason.COMMAND_LIMIT
        reason = CommandReason.TOO_MANY if flood else CommandReason.INVALID
        self.refusals.append((arrival.reply, error.command_id, reason, error.detail))
        self._put_aside(arrival, error.reason, error.detail)

    def _note_states(self, arrival: Arrival, decoded: Decoded) -> None:
        """Journal the states of a message: of the device that it names, and of others."""
        states = decoded.states
        if decoded.online is not None and decoded.device:
            states = ((decoded.device, decoded.online), *states)
        for device, _ in states:
            device.encode()
        for device, online in states:
            kind = TimerKind.ONLINE if online else TimerKind.OFFLINE
            seq, clock = self._sequence.take(arrival.mono)
            self._timers.append((seq, kind.value, device, clock, None))
            self._rows.append(TimerRow(seq, clock, kind, device))
            self._places.take_state(decoded.source or "", device, None if online else arrival.topic)
            self.tally.states += 1

    def _put_aside(self, arrival: Arrival, reason: DecodeReason, detail: str) -> None:
        self._quarantine.append(
            (
                _printable(arrival.topic),
                arrival.payload[:_MAX_QUARANTINE_BYTES],
                len(arrival.payload),
                reason.value,
                _printable(detail),
                arrival.received,
                self._sequence.now(),
            )
        )
        self.tally.quarantined[reason] += 1


def _divide(
    readings: tuple[Reading, ...], old: frozenset[int]
) -> tuple[tuple[Reading, ...], tuple[Reading, ...]]:
    """Return the readings that are not at ``old`` places, and those that are."""
    if not old:
        return readings, ()
    live = tuple(reading for place, reading in enumerate(readings) if place not in old)
    return live, tuple(readings[place] for place in sorted(old))


def _digests(arrival: Arrival, decoded: Decoded) -> dict[str, bytes]:
    """Return the ids of a message: that of its publisher, the HTTP client's key, and that key and body."""
    digests = {}
    if decoded.message_id is not None:
        digests["own"] = digest_of(decoded.source or "", decoded.device or "", decoded.message_id)
    if isinstance(arrival, Posted) and arrival.key is not None:  # no source has an empty name
        whole = f"{arrival.key}\0{blake2b(arrival.payload).hexdigest()}"
        digests[_KEY] = digest_of("", arrival.topic, arrival.key)
        digests["body"] = digest_of("", arrival.topic, whole)
    return digests


def _is_deletion(decoded: Decoded) -> bool:
    """Whether it is an empty payload, which deletes a retained message."""
    return any(one.why is Skip.EMPTY for one in decoded.skipped)


def _is_sound(reading: Reading) -> bool:
    """Refuse values that SQLite changes: it stores NaN as NULL."""
    if isfinite(reading.value) and isfinite(reading.at):
        return True
    raise DecodeError(DecodeReason.NOT_FINITE, reading.metric)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
