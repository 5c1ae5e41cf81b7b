"""Arrivals of one transaction: each becomes a row, a quarantine row or a count, and an acknowledgement."""

import sqlite3
from collections.abc import Callable
from math import isfinite
from typing import Protocol

from agent.journal.redelivery import Redelivery, key_of
from agent.journal.sequence import Sequence
from agent.journal.series import SeriesTable
from agent.journal.stats import Tally
from agent.records import Arrival, DecodeError, DecodeReason, MessageRow, Reading, Row

_MAX_QUARANTINE_BYTES = 256 * 1024

Ack = tuple[int, int]  # generation, packet id


class Decoded(Protocol):
    """What the journal needs to know of a decoded message (``agent.decode.Decoded``)."""

    @property
    def source(self) -> str | None: ...
    @property
    def readings(self) -> tuple[Reading, ...]: ...
    @property
    def traceparent(self) -> str | None: ...
    @property
    def text_only(self) -> bool: ...
    @property
    def retained(self) -> str: ...  # seed | live | ignore


Decode = Callable[[Arrival], Decoded]


class Intake:
    """Collects arrivals in memory and inserts them at once; one object for each transaction."""

    def __init__(
        self,
        *,
        decode: Decode,
        redelivery: Redelivery,
        series: SeriesTable,
        sequence: Sequence,
        rows: list[Row],
    ) -> None:
        self.acks: list[Ack] = []  # in arrival order
        self.rows = rows
        self.tally = Tally()
        self._decode = decode
        self._redelivery = redelivery
        self._series = series
        self._sequence = sequence
        self._messages: list[tuple[object, ...]] = []
        self._readings: list[tuple[int, int, int, float, float]] = []
        self._keys: list[tuple[int, int, int]] = []
        self._quarantine: list[tuple[object, ...]] = []

    def accept(self, arrival: Arrival) -> None:
        """Decide what becomes of one arrival. Every QoS 1 arrival ends in exactly one ack."""
        self.tally.received += 1
        if arrival.qos:
            self.acks.append((arrival.generation, arrival.mid))
            digest = key_of(arrival.topic.encode("utf-8", "backslashreplace"), arrival.payload)
            repeat = arrival.dup and self._redelivery.matches(arrival.mid, digest)
            self._redelivery.remember(arrival.mid, arrival.generation, digest)
            self._keys.append((arrival.mid, arrival.generation, digest))
            if repeat:
                self.tally.redelivered += 1
                return
        try:
            decoded = self._decode(arrival)
            self._journal(arrival, decoded)
        except DecodeError as error:
            self.quarantine(arrival, error.reason, error.detail)
        except UnicodeEncodeError:
            self.quarantine(arrival, DecodeReason.BAD_UTF8, "lone surrogate")
        except sqlite3.Error:  # the storage, not the message
            raise
        except Exception as error:  # noqa: BLE001 - a fault of a decoder must not stop the acks
            self.quarantine(arrival, DecodeReason.DECODER_FAULT, type(error).__name__)

    def quarantine(self, arrival: Arrival, reason: DecodeReason, detail: str) -> None:
        """Put an arrival aside with the reason."""
        _, clock = self._sequence.mark()
        self._quarantine.append(
            (
                _printable(arrival.topic),
                arrival.payload[:_MAX_QUARANTINE_BYTES],
                len(arrival.payload),
                reason.value,
                _printable(detail),
                arrival.received,
                clock,
            )
        )
        self.tally.quarantined[reason.value] += 1

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write what was collected into the open transaction."""
        if self._messages:
            connection.executemany("INSERT INTO messages VALUES (?,?,?,?,?,?,?,?,?)", self._messages)
            connection.executemany("INSERT INTO readings VALUES (?,?,?,?,?)", self._readings)
        if self._keys:
            connection.executemany("INSERT OR REPLACE INTO redelivery VALUES (?,?,?)", self._keys)
        if self._quarantine:
            connection.executemany(
                "INSERT INTO quarantine(topic, payload, size, reason, detail, received, clock)"
                " VALUES (?,?,?,?,?,?,?)",
                self._quarantine,
            )

    def _journal(self, arrival: Arrival, decoded: Decoded) -> None:
        tally = self.tally
        readings = decoded.readings
        if decoded.source is not None:
            tally.sources[decoded.source] += 1
        if arrival.retain and decoded.retained == "ignore":
            tally.retained_ignored += 1
            return
        if decoded.text_only:
            tally.text_only += 1
            return
        if not readings:
            tally.unmatched += 1
            return
        # What could fail comes first: it must not leave half of a message behind.
        arrival.topic.encode()
        (decoded.traceparent or "").encode()
        series = [self._series.id_of(_checked(reading)) for reading in readings]
        seed = arrival.retain and decoded.retained == "seed"
        seq, clock = self._sequence.take(arrival.mono)
        self._messages.append(
            (
                seq,
                arrival.generation,
                arrival.mid,
                arrival.topic,
                arrival.payload,
                decoded.traceparent,
                seed,
                arrival.received,
                clock,
            )
        )
        for index, reading in enumerate(readings):
            self._readings.append((seq, index, series[index], reading.at, reading.value))
        self.rows.append(MessageRow(seq, clock, readings, decoded.traceparent, seed))
        tally.journaled += 1
        if seed:
            tally.seeds += 1
        else:
            tally.readings += len(readings)


def _checked(reading: Reading) -> Reading:
    """Refuse what SQLite would store as something else: NaN becomes NULL there."""
    if isfinite(reading.value) and isfinite(reading.at):
        return reading
    raise DecodeError(DecodeReason.NOT_FINITE, reading.metric)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
