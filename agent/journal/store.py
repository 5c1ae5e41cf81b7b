"""Store: writes of other threads within the writer's open transaction.

A function given to ``Journal.write`` receives a :class:`Store`. It may run again when the transaction is
rolled back, so it must touch nothing but the store.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence

from agent.domain.records import (
    Batch,
    Command,
    CommandOutcome,
    CommandRow,
    Do,
    Finding,
    Incident,
    Outgoing,
    Row,
    SettingsRow,
    TimerKind,
    TimerRow,
    Window,
)
from agent.journal import commands, findings, incidents, samples
from agent.journal.codec import encode_window
from agent.journal.outbox import Outbox
from agent.journal.places import Places
from agent.journal.pruning import Pruner
from agent.journal.schema import CONCLUDED, SEALED, WAITING, write_meta
from agent.journal.sequence import RowSequence
from agent.testing.failpoint import failpoint


class Store:
    """The journal's tables, inside one transaction of the writer."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        sequence: RowSequence,
        pruner: Pruner,
        wall: Callable[[], float],
        rows: list[Row],
        passed: list[str],
        places: Places,
    ) -> None:
        self.rows = rows  # of this transaction, for the analyst
        self.passed = passed  # failpoints to pass once it is committed
        self.outbox = Outbox(connection, sequence.now)
        self._connection = connection
        self._sequence = sequence
        self._pruner = pruner
        self._places = places
        self._wall = wall

    # -------------------------------------------------------------------------------- the sequence

    def timer(self, kind: TimerKind, device: str | None = None, *, mono: float | None = None) -> TimerRow:
        """Append a timer row; it comes back through ``on_rows`` once it is committed."""
        seq, clock = self._sequence.take(mono)
        self._connection.execute(
            "INSERT INTO timer_events VALUES (?,?,?,?,NULL)", (seq, kind.value, device, clock)
        )
        row = TimerRow(seq, clock, kind, device)
        self.rows.append(row)
        return row

    def settings(self, body: str) -> SettingsRow:
        """Append a change of settings; it comes back through ``on_rows`` and holds from then on."""
        seq, clock = self._sequence.take()
        self._connection.execute("INSERT INTO settings VALUES (?,?,?)", (seq, clock, body))
        row = SettingsRow(seq, clock, body)
        self.rows.append(row)
        self.passed.append("settings_committed")
        return row

    def snapshot(self, seq: int, blob: bytes, floor: int | None = None) -> None:
        """Replace the snapshot: the analyst's state after the row ``seq``.

        ``floor`` is the lowest seq that an open window still covers; rows below it may go once the snapshot
        and their verdicts allow.
        """
        lowest = seq + 1 if floor is None else floor
        self._connection.execute("DELETE FROM snapshots")
        self._connection.execute(
            "INSERT INTO snapshots VALUES (?,?,?,?)", (seq, lowest, blob, self._sequence.now())
        )

    # ------------------------------------------------------------------------------------- windows

    def seal(self, window: Window, usual: Collection[samples.Usual] = ()) -> None:
        """Write a sealed window; one with the same id is left as it is.

        ``usual`` is what is usual of series of its device at its end, for charts.
        """
        failpoint("c5_before_seal")
        self._connection.execute(
            "INSERT OR IGNORE INTO windows(id, device, lo, hi, count, trigger, state, body)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (
                window.id,
                window.device,
                window.lo,
                window.hi,
                window.count,
                window.trigger.value,
                SEALED,
                encode_window(window),
            ),
        )
        samples.note_usual(self._connection, window.device, window.end, usual)

    def plan_batch(self, batch: Batch) -> None:
        """Note the windows of one call; no attempt is counted."""
        ids = [window.id for window in batch.windows]
        self._connection.execute(
            "INSERT INTO batches(id, attempts, windows, audit, clock) VALUES (?,0,?,?,?)"
            " ON CONFLICT(id) DO NOTHING",
            (batch.id, json.dumps(ids), json.dumps(sorted(batch.audit)), self._sequence.now()),
        )
        self._connection.executemany(
            "UPDATE windows SET batch = ? WHERE id = ?", [(batch.id, window_id) for window_id in ids]
        )

    def start_batch(self, batch: Batch, windows: Collection[str] | None = None) -> None:
        """Count an attempt for the batch and for its ``windows``; commit it before their request goes out.

        ``windows`` are the ids of those that the request holds: without it all of the batch.
        """
        ids = [window.id for window in batch.windows] if windows is None else windows
        self.plan_batch(batch)
        self._connection.execute("UPDATE batches SET attempts = attempts + 1 WHERE id = ?", (batch.id,))
        self._connection.executemany(
            "UPDATE windows SET attempts = attempts + 1 WHERE id = ?", [(window_id,) for window_id in ids]
        )
        self.passed.append("c6_attempt_committed")

    def release_batch(self, batch_id: str, windows: Collection[str]) -> None:
        """Take back the attempt of windows whose call ends in good order, not by a crash."""
        self._connection.executemany(
            "UPDATE windows SET attempts = max(attempts - 1, 0) WHERE id = ? AND batch = ? AND state = ?",
            [(window_id, batch_id, SEALED) for window_id in windows],
        )

    def finish_batch(self, batch_id: str, detail: bytes) -> None:
        """Keep what was asked and answered, for ``show`` and ``replay``."""
        self._connection.execute("UPDATE batches SET detail = ? WHERE id = ?", (detail, batch_id))

    # ------------------------------------------------------------------------------------ verdicts

    def conclude(
        self,
        *,
        window: Window,
        verdict: bytes,
        finding: Finding | None,
        outgoing: Sequence[Outgoing],
        detail: bytes | None = None,
        anomaly: bool = False,
        moved: Sequence[Finding] = (),
        changed: Sequence[Incident] = (),
    ) -> list[Outgoing]:
        """Commit the one verdict of a window with its finding, incidents and what is to be published.

        ``moved`` are other findings that changed their incident.

        The first content wins: for a window that has a verdict nothing changes and nothing is returned. Else
        ``outgoing`` comes back with its ids in the outbox.
        """
        failpoint("c7_before_conclude")
        clock = self._sequence.now()
        batch = self._connection.execute("SELECT batch FROM windows WHERE id = ?", (window.id,)).fetchone()
        reviewed = detail is not None or (batch is not None and batch[0] is not None)
        inserted = self._connection.execute(
            "INSERT OR IGNORE INTO verdicts(id, device, body, created, clock, acked, reviewed, detail)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (window.id, window.device, verdict, self._wall(), clock, WAITING, reviewed, detail),
        )
        if not inserted.rowcount:
            return []
        self._connection.execute("UPDATE windows SET state = ? WHERE id = ?", (CONCLUDED, window.id))
        if finding is not None:
            kept = verdict if anomaly else None
            findings.write(self._connection, finding, verdict=kept, clock=clock)
        for one in moved:
            findings.write(self._connection, one, clock=clock)
        incidents.write(self._connection, changed, clock=clock)
        added = self.outbox.add(outgoing, device=window.device, verdict=window.id)
        if not added:
            self.outbox.settle(window.id)
        self.passed.append("c8_verdict_committed")
        return added

    # -------------------------------------------------------------------------------------- people

    def decide(
        self,
        seq: int,
        outcome: CommandOutcome,
        *,
        changed: Sequence[Finding] = (),
        closed: Sequence[Incident] = (),
        outgoing: Sequence[tuple[str, Outgoing]] = (),
    ) -> list[tuple[str, Outgoing]]:
        """Commit the outcome of a command, with findings, incidents and what is to be published.

        The first outcome wins: for a command that has one nothing changes and nothing is returned. Else
        ``outgoing``, messages with their devices, comes back with its ids in the outbox.
        """
        failpoint("command_deciding")
        if not commands.decide(self._connection, seq, outcome):
            return []
        if outcome.forget and outcome.device is not None:
            self._places.forget(outcome.device)
            self._places.insert()
        self.passed.append("command_decided")
        return self.change(changed, closed, outgoing)

    def change(
        self,
        changed: Sequence[Finding],
        of: Sequence[Incident],
        outgoing: Sequence[tuple[str, Outgoing]],
    ) -> list[tuple[str, Outgoing]]:
        """Commit findings and incidents that no verdict changed, and what is to be published of them."""
        clock = self._sequence.now()
        for finding in changed:
            findings.write(self._connection, finding, clock=clock)
        incidents.write(self._connection, of, clock=clock)
        return [(device, one) for device, item in outgoing for one in self.outbox.add([item], device=device)]

    # ---------------------------------------------------------------------------------- the journal

    def begin_connection(self, generation: int) -> None:
        """Note an attempt to connect, before its CONNECT is written: the broker may begin a new session."""
        write_meta(self._connection, "generation", generation)
        failpoint("c13_generation")

    def set_filters(self, filters: Sequence[str]) -> None:
        """Remember what is subscribed, so that removed filters can be unsubscribed after a restart."""
        write_meta(self._connection, "filters", json.dumps(list(filters)))

    def set_epochs(self, own: int, known: int) -> None:
        """Remember the last own epoch and the highest known one."""
        write_meta(self._connection, "epochs", json.dumps([own, known]))
        self.passed.append("epoch_stored")

    def forget(self, devices: Collection[str]) -> None:
        """Append commands to forget devices, which another agent has now."""
        received = self._wall()
        for device in devices:
            seq, clock = self._sequence.take()
            row = CommandRow(seq, clock, Command(Do.FORGET, device=device))
            commands.insert(self._connection, [(row, received)])
            self.rows.append(row)

    def prune(self) -> int:
        """Delete a chunk of rows that are no longer needed; return how many rows went."""
        return self._pruner.step(self._connection)
