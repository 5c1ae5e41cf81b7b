"""Clocks of devices: history, clocks that are wrong or show local time.

A time more than a day behind the newest believed time of its device is history, unless three messages in a
row advance with their receipt: then the clock is wrong. All of it follows from the messages in their order;
where their rows do not show it, it is written in their transaction.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

from agent.decode.times import CLOCK_WAS_SET
from agent.domain.records import Reading
from agent.journal.reversible import Reversible
from agent.journal.schema import read_meta, write_meta

DAY_S = 86_400.0
MAX_DEVICES = 10_000  # beyond it, the devices that were met first are forgotten
_MESSAGES = 3  # in a row, before their clock is judged
_NEAR_S = 2700.0  # nearer to receipt a time is right, or merely late
_SAME_S = 120.0  # by so much the offset of a known fault may change at once
_MOVED_S = 5.0  # and by so much before that is noted
_QUARTER_S = 900.0
_LEAST_QUARTERS = 4  # no zone is nearer to UTC
_WEST_S, _EAST_S = -12.25 * 3600.0, 14.25 * 3600.0  # the zones of the world
# Receipt differs by the network's delays, and a time may be cut to seconds.
_JITTER_S, _JITTER = 2.0, 0.1
_LEAST_PASSED = 0.5  # of the time that the messages span; less is a backlog in one burst

_SEQ = "clocks_seq"  # in `meta`: the table is as of this row


class Fault(StrEnum):
    """Fault in the times of a device."""

    NONE = ""
    WRONG = "wrong"  # its clock is not set: more than a day behind, or farther ahead than any zone
    LOCAL = "local"  # whole quarter hours off: local time sent as UTC


class Run(NamedTuple):
    """Messages in a row whose times advance with their receipt."""

    first: float
    received: float  # of the first
    last: float
    messages: int  # with different times


class Odd(NamedTuple):
    """The state of a device whose times are far from their receipt."""

    run: Run | None = None
    fault: Fault = Fault.NONE
    off_s: float = 0.0  # with a fault: its time, less receipt
    noted: frozenset[Fault] = frozenset()


class Faulty(NamedTuple):
    """A device with a fault of its clock."""

    device: str
    fault: Fault
    off_s: float


class FaultWords(NamedTuple):
    """A fault for people."""

    event: str  # of the log
    remedy: str


FAULTS: Final = {
    Fault.WRONG: FaultWords(
        "device_clock_wrong", "set its clock; until then its readings get the time of their receipt"
    ),
    Fault.LOCAL: FaultWords(
        "device_time_local",
        "let the device send UTC; if its times are ahead or name no zone, `time: {zone: ...}` of its source"
        " helps as well",
    ),
}


class Judged(NamedTuple):
    """The readings of a message after their times were judged, in their order."""

    readings: tuple[Reading, ...]
    old: frozenset[int] = frozenset()  # places of those that are history
    replaced: bool = False  # the times of a wrong clock, by receipt


class Clocks:
    """One object for the life of the writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._newest: Reversible[float] = Reversible(MAX_DEVICES)  # believed, by device
        self._odd: Reversible[Odd] = Reversible(MAX_DEVICES)
        self._unsaved: dict[str, None] = {}  # changed since the table was last saved as a whole
        self._saved = False  # in the open transaction
        self._reports: list[Faulty] = []  # of the open transaction
        self._restore(connection)

    # -------------------------------------------------------------------------------- judgement

    def judge(self, readings: tuple[Reading, ...], received: float, off_s: float | None = None) -> Judged:
        """Find the readings of a message that are history, and replace wrong times; inside a transaction.

        Args:
            readings: at the times that were decoded, those without one at ``received``.
            received: receipt time, Unix seconds.
            off_s: how far the time was from receipt that was not believed and that receipt replaced.
        """
        if not readings or received < CLOCK_WAS_SET:
            return Judged(readings)
        first = readings[0]
        device, at = first.device, first.at
        newest = self._newest.get(device)
        if (
            newest is not None
            and off_s is None
            and -_NEAR_S < at - received < _NEAR_S
            and device not in self._odd
            and (len(readings) == 1 or all(one.at == at and one.device == device for one in readings))
        ):
            if at > newest:
                self._newest.put(device, at)
            return Judged(readings)
        return self._judge_each(readings, received, off_s)

    def follow(self, latest: Mapping[str, float]) -> None:
        """Take the latest receipt by device of messages without times, of which there is nothing to judge."""
        for device, received in latest.items():
            newest = self._newest.get(device)
            if newest is None or received > newest:
                self._newest.put(device, received)

    def _judge_each(self, readings: tuple[Reading, ...], received: float, off_s: float | None) -> Judged:
        latest: dict[str, float | None] = {}
        for one in readings:
            known = latest.setdefault(one.device, None)
            if one.at != received and (known is None or one.at > known):
                latest[one.device] = one.at
        shifts: dict[str, float] = {}
        for device, stamp in latest.items():
            given = stamp
            if given is None and off_s is not None:
                given = received + off_s
            if given is not None and self._follow(device, given, received) and stamp is not None:
                shifts[device] = stamp
        judged: list[Reading] = []
        old: set[int] = set()
        for place, one in enumerate(readings):
            stamp = shifts.get(one.device)
            if stamp is not None and one.at != received:
                one = replace(one, at=received - (stamp - one.at))  # noqa: PLW2901 - the same reading, later
            judged.append(one)
            newest = self._newest.get(one.device)
            if newest is not None and one.at < min(newest, received) - DAY_S:
                old.add(place)
            elif newest is None or one.at > newest:
                self._newest.put(one.device, one.at)
        return Judged(tuple(judged), frozenset(old), bool(shifts))

    def _follow(self, device: str, given: float, received: float) -> bool:
        """Take the time of a device's message; return whether receipt must replace it."""
        off_s, odd = given - received, self._odd.get(device, Odd())
        if abs(off_s) < _NEAR_S:
            if odd.run is not None or odd.fault:
                self._change(device, Odd(noted=odd.noted))
            return False
        if odd.fault and abs(off_s - odd.off_s) <= _SAME_S:
            if abs(off_s - odd.off_s) > _MOVED_S:
                odd = odd._replace(off_s=off_s)
                self._change(device, odd)
        else:
            run = _extended(odd.run, given, received)
            odd = odd._replace(run=run)
            found = _fault(off_s) if _is_proof(run, given, received) else Fault.NONE
            if found:
                if found not in odd.noted:
                    self._reports.append(Faulty(device, found, off_s))
                odd = Odd(None, found, off_s, odd.noted | {found})
            self._change(device, odd)
        return odd.fault is Fault.WRONG and off_s < -DAY_S and abs(off_s - odd.off_s) <= _SAME_S

    def _change(self, device: str, odd: Odd) -> None:
        if odd != self._odd.get(device, Odd()):
            self._odd.put(device, None if odd == Odd() else odd)

    @property
    def changed(self) -> bool:
        """Whether the open transaction has changed more than the newest times."""
        return bool(self._odd.changed)

    def faults(self) -> tuple[Faulty, ...]:
        """Return the devices whose clock is wrong or shows local time."""
        return tuple(Faulty(device, odd.fault, odd.off_s) for device, odd in self._odd.items() if odd.fault)

    # ------------------------------------------------------------------------------ transaction

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write into the open transaction what the rows of the sequence do not show."""
        if self._odd.changed:
            self._write(connection, self._odd.changed)

    def save(self, connection: sqlite3.Connection, seq: int) -> None:
        """Write the table as of ``seq`` into the open transaction, which may prune the rows up to there."""
        devices = {**self._unsaved, **self._newest.changed, **self._odd.changed}
        if devices:
            self._write(connection, devices)
            write_meta(connection, _SEQ, seq)
            self._saved = True

    def commit(self) -> None:
        """Keep the changes of the transaction; see :meth:`take_reports`."""
        if self._saved:
            self._unsaved, self._saved = {}, False
        else:
            self._unsaved.update(dict.fromkeys(self._newest.changed))
            self._unsaved.update(dict.fromkeys(self._odd.changed))
        self._newest.commit()
        self._odd.commit()

    def rollback(self) -> None:
        """Take the changes back: the messages come again."""
        self._newest.rollback()
        self._odd.rollback()
        self._reports, self._saved = [], False

    def take_reports(self) -> list[Faulty]:
        """Return the faults that were found since the last call, each once for a device and a kind."""
        reports, self._reports = self._reports, []
        return reports

    def _write(self, connection: sqlite3.Connection, devices: Iterable[str]) -> None:
        for device in devices:
            newest, odd = self._newest.get(device), self._odd.get(device, Odd())
            if newest is None:
                connection.execute("DELETE FROM clocks WHERE device = ?", (device,))
                continue
            run = odd.run or (None, None, None, 0)
            noted = " ".join(sorted(odd.noted))
            connection.execute(
                "INSERT OR REPLACE INTO clocks VALUES (?,?,?,?,?,?,?,?,?)",
                (device, newest, str(odd.fault), odd.off_s, noted, *run),
            )

    def _restore(self, connection: sqlite3.Connection) -> None:
        """Read the table, and the newest times from the rows after it."""
        for device, newest, fault, off_s, noted, *run in connection.execute("SELECT * FROM clocks"):
            self._newest[device] = newest
            odd = Odd(
                Run(*run) if run[-1] else None, Fault(fault), off_s, frozenset(map(Fault, noted.split()))
            )
            if odd != Odd():
                self._odd[device] = odd
        seq = read_meta(connection, _SEQ) or 0
        for device, at in connection.execute(
            "SELECT s.device, max(r.at) FROM messages m JOIN readings r ON r.seq = m.seq"
            " JOIN series s ON s.id = r.series WHERE m.seq > ? AND NOT m.seed AND m.received >= ?"
            " GROUP BY s.device ORDER BY min(m.seq)",
            (seq, CLOCK_WAS_SET),
        ):
            self._newest[device] = max(at, self._newest.get(device, at))
            self._unsaved[device] = None


def read_faults(connection: sqlite3.Connection) -> list[Faulty]:
    """Return the devices whose clock is wrong or shows local time, as journaled."""
    rows = connection.execute("SELECT device, fault, off_s FROM clocks WHERE fault != '' ORDER BY device")
    return [Faulty(device, Fault(fault), off_s) for device, fault, off_s in rows]


def _extended(run: Run | None, given: float, received: float) -> Run:
    """Return the run with one more message, or a new one where it does not go on from the last."""
    if run is not None and given >= run.last:
        passed = received - run.received
        if passed >= 0.0 and abs(given - run.first - passed) <= max(_JITTER_S, _JITTER * passed):
            if run.messages >= _MESSAGES:
                return run
            return run._replace(last=given, messages=run.messages + (given > run.last))
    return Run(given, received, given, 1)


def _is_proof(run: Run, given: float, received: float) -> bool:
    """Whether the messages of a run cannot be a backlog that is sent in one burst."""
    return run.messages >= _MESSAGES and received - run.received >= _LEAST_PASSED * (given - run.first)


def _fault(off_s: float) -> Fault:
    """Return what a constant offset from receipt means."""
    if off_s < -DAY_S or off_s > _EAST_S:
        return Fault.WRONG
    quarters = round(off_s / _QUARTER_S)
    near = abs(off_s - quarters * _QUARTER_S) <= _SAME_S and abs(quarters) >= _LEAST_QUARTERS
    return Fault.LOCAL if near and off_s >= _WEST_S else Fault.NONE
