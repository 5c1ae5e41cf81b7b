"""Commands of people: rows of the sequence, and what became of each."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any

from agent.domain.records import (
    Arrival,
    Command,
    CommandOutcome,
    CommandReason,
    CommandRow,
    Do,
    FindingState,
    Kind,
    Posted,
    Reply,
    Seen,
)
from agent.journal.feedback import Word

BURST = 100
PER_S = 1.0
MAX_RECOVERED = 1000


class Way(Enum):
    """The way on which a command came; MQTT names no sender."""

    PAGE = auto()
    ASKED = auto()  # over MQTT, with a topic for the answer: the command line
    SENT = auto()


class CommandRate:
    """Buckets that bound how many commands are journaled; a flood on one way leaves the others free."""

    def __init__(self, *, burst: float = BURST, per_s: float = PER_S) -> None:
        self._burst, self._per_s = burst, per_s
        self._left = dict.fromkeys(Way, (burst, 0.0))  # tokens at a time

    def admit(self, way: Way, mono: float) -> bool:
        """Return whether one more may be journaled at ``mono``."""
        tokens, at = self._left[way]
        tokens = min(self._burst, tokens + max(0.0, mono - at) * self._per_s)
        admitted = tokens >= 1.0
        self._left[way] = (tokens - admitted, max(at, mono))
        return admitted


def way_of(arrival: Arrival) -> Way:
    """Return the way on which a command came."""
    if isinstance(arrival, Posted):
        return Way.PAGE
    return Way.SENT if arrival.reply is None else Way.ASKED


def insert(connection: sqlite3.Connection, rows: Sequence[tuple[CommandRow, float]]) -> None:
    """Write commands, decided or not, with their times of receipt."""
    connection.executemany(
        "INSERT INTO commands VALUES (?,?,?,?,?,?)",
        [
            (
                row.seq,
                row.clock,
                received,
                row.clock,
                _encode_command(row.command),
                None if row.outcome is None else _encode_outcome(row.outcome),
            )
            for row, received in rows
        ],
    )


def decide(connection: sqlite3.Connection, seq: int, outcome: CommandOutcome) -> bool:
    """Write what became of a command; false where that was decided before."""
    written = connection.execute(
        "UPDATE commands SET outcome = ?, needed_to = max(clock, ?) WHERE seq = ? AND outcome IS NULL",
        (_encode_outcome(outcome), max(outcome.until or 0.0, outcome.ends or 0.0), seq),
    )
    return written.rowcount > 0


def read(connection: sqlite3.Connection, *, after: int, upto: int) -> dict[int, CommandRow]:
    """Return the commands of a span of the sequence."""
    rows = connection.execute(
        "SELECT seq, clock, body, outcome FROM commands WHERE seq > ? AND seq <= ?", (after, upto)
    )
    return {row.seq: row for row in map(_row, rows)}


def read_decided(connection: sqlite3.Connection) -> tuple[CommandRow, ...]:
    """Return the newest decided commands, oldest first, and maintenance that is not over for long."""
    rows = connection.execute(
        "SELECT seq, clock, body, outcome FROM commands WHERE outcome NOTNULL AND"
        " (needed_to > clock OR seq >= coalesce("
        " (SELECT seq FROM commands ORDER BY seq DESC LIMIT 1 OFFSET ?), 0)) ORDER BY seq",
        (MAX_RECOVERED,),
    )
    return tuple(map(_row, rows))


def prune(connection: sqlite3.Connection, *, watermark: int, cutoff: float, now: float, early: bool) -> int:
    """Delete decided commands that nothing depends on any more; ``early`` leaves the newest ones only."""
    return connection.execute(
        "DELETE FROM commands WHERE outcome NOTNULL AND seq <= :watermark AND needed_to < :now"
        " AND (clock < :cutoff OR (:early AND seq <"
        " (SELECT seq FROM commands ORDER BY seq DESC LIMIT 1 OFFSET :kept)))",
        {"watermark": watermark, "now": now, "cutoff": cutoff, "early": early, "kept": MAX_RECOVERED},
    ).rowcount


def read_words(connection: sqlite3.Connection) -> Iterator[Word]:
    """Yield the feedback on findings, oldest first."""
    for row in read_decided(connection):
        do, outcome = row.command.do, row.outcome
        if outcome is not None and outcome.accepted and do in (Do.FALSE_ALARM, Do.CONFIRMED):
            for metric in outcome.series:
                yield outcome.device or "", metric, outcome.finding_id or "", str(do)


def _row(row: tuple[Any, ...]) -> CommandRow:
    seq, clock, body, outcome = row
    return CommandRow(
        seq, clock, _decode_command(body), None if outcome is None else _decode_outcome(outcome)
    )


def _encode_command(command: Command) -> str:
    fields = [
        command.do,
        command.id,
        command.finding_id,
        command.device,
        command.since,
        command.until,
        command.for_s,
        command.note,
        *([] if command.incident_id is None else [command.incident_id]),
    ]
    return json.dumps(fields, separators=(",", ":"))


def _decode_command(text: str) -> Command:
    do, *fields = json.loads(text)
    return Command(Do(do), *fields)


def _encode_outcome(outcome: CommandOutcome) -> str:
    fields = {
        "accepted": outcome.accepted,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "device": outcome.device,
        "finding_id": outcome.finding_id,
        "state": outcome.state,
        "until": outcome.until,
        "allow": outcome.allow,
        "silence": outcome.silence,
        "forget": outcome.forget,
        "series": outcome.series,
        "judged": outcome.judged,
    }
    return json.dumps({key: value for key, value in fields.items() if value}, separators=(",", ":"))


def _decode_outcome(text: str) -> CommandOutcome:
    fields: dict[str, Any] = json.loads(text)
    state, silence = fields.get("state"), fields.get("silence")
    return CommandOutcome(
        accepted=fields.get("accepted", False),
        reason=CommandReason(fields["reason"]),
        detail=fields.get("detail", ""),
        device=fields.get("device"),
        finding_id=fields.get("finding_id"),
        state=None if state is None else FindingState(state),
        until=fields.get("until"),
        allow=decode_seen(fields.get("allow", ())),
        silence=None if silence is None else (silence[0], silence[1]),
        forget=fields.get("forget", False),
        series=tuple(fields.get("series", ())),
        judged=decode_seen(fields.get("judged", ())),
    )


def decode_seen(items: Iterable[Sequence[Any]]) -> tuple[Seen, ...]:
    """Return cited values that were written as JSON."""
    return tuple(Seen(metric, Kind(kind), low, high) for metric, kind, low, high in items)


Refusal = tuple[Reply | None, str, CommandReason, str]  # where to, the command's id, why, in words
