"""The evidence of a run, read offline: the generator's logs, bytes, the journal."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.collector import Collected, read_collected
from tests.faults.workload import Key, key_of_broken

NO_SUBSCRIBER = 0x10  # PUBACK: nobody is subscribed, so the broker owes it to nobody
REFUSED = 0x80
SETTLED = 2  # windows.state: the verdict is acknowledged


class JournaledReading(NamedTuple):
    """One row of readings."""

    seq: int
    device: str
    metric: str
    value: float


class JournaledWindow(NamedTuple):
    """One row of windows."""

    id: str
    device: str
    lo: int
    hi: int
    readings: int
    trigger: str
    state: int


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """The journal's rows; nothing of it was pruned."""

    readings: Sequence[JournaledReading]
    received: Sequence[float]  # of the messages, in order of seq
    quarantined: Counter[Key]
    windows: Sequence[JournaledWindow]
    verdicts: dict[str, bytes]
    waiting: int  # rows of the outbox
    integrity: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checker looks at."""

    intents: dict[Key, float]
    acks: dict[Key, int]
    collected: Sequence[Collected]
    journal: JournalFacts | None

    def delivered(self) -> list[Key]:
        """Return the messages that the broker has accepted for the agent's session."""
        return [key for key, code in self.acks.items() if code < REFUSED and code != NO_SUBSCRIBER]


def read_evidence(folder: Path, journals: Iterable[Path]) -> Evidence:
    """Read the files of a run; ``journals`` are the agent's journals, none for an agent without."""
    facts = [read_journal(path) for path in journals]
    return Evidence(
        intents={
            Key(int(device), int(number)): float(at) for device, number, at in _lines(folder, "intents")
        },
        acks={Key(int(device), int(number)): int(code) for device, number, code, _ in _lines(folder, "acks")},
        collected=list(read_collected(folder)),
        journal=facts[0] if facts else None,
    )


def _lines(folder: Path, name: str) -> Iterable[list[str]]:
    with (folder / f"{name}.log").open() as file:
        for line in file:
            yield line.split()


def read_journal(path: Path) -> JournalFacts:
    """Read all that a journal holds of the load, while its agent runs or after its end."""
    with closing(sqlite3.connect(path, timeout=60)) as db:
        return JournalFacts(
            readings=[
                JournaledReading(*row)
                for row in db.execute(
                    "SELECT r.seq, s.device, s.metric, r.value FROM readings r"
                    " JOIN series s ON s.id = r.series ORDER BY r.seq, r.idx"
                )
            ],
            received=[at for (at,) in db.execute("SELECT received FROM messages ORDER BY seq")],
            quarantined=Counter(
                key
                for topic, payload in db.execute("SELECT topic, payload FROM quarantine ORDER BY id")
                if (key := key_of_broken(topic, bytes(payload))) is not None
            ),
            windows=[
                JournaledWindow(*row)
                for row in db.execute(
                    "SELECT id, device, lo, hi, count, trigger, state FROM windows ORDER BY n"
                )
            ],
            verdicts={row[0]: bytes(row[1]) for row in db.execute("SELECT id, body FROM verdicts")},
            waiting=int(db.execute("SELECT count(*) FROM outbox WHERE NOT given_up").fetchone()[0]),
            integrity=str(db.execute("PRAGMA integrity_check").fetchone()[0]),
        )


def count_messages(path: Path) -> Counter[tuple[str, bytes]]:
    """Count the rows of messages and quarantine by topic and payload."""
    there: Counter[tuple[str, bytes]] = Counter()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
        for table in ("messages", "quarantine"):
            rows = db.execute(f"SELECT topic, payload, count(*) FROM {table} GROUP BY topic, payload")
            there.update({(topic, bytes(payload)): count for topic, payload, count in rows})
    return there


def read_booked_usd(path: Path) -> float:
    """Return what the ledger has booked in the running month, USD; for after the agent's end."""
    if not path.exists():  # nothing is reviewed
        return 0.0
    with closing(sqlite3.connect(path, timeout=60)) as db:
        return float(db.execute("SELECT booked FROM periods WHERE kind = 'month'").fetchone()[0]) / 1e9


def is_settled(path: Path) -> bool:
    """Return whether every journaled reading is in a window whose verdict the broker has acknowledged."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
            if db.execute("SELECT 1 FROM windows WHERE state < ? LIMIT 1", (SETTLED,)).fetchone():
                return False
            sealed = dict(db.execute("SELECT device, max(hi) FROM windows GROUP BY device"))
            newest = db.execute(
                "SELECT s.device, max(r.seq) FROM readings r JOIN series s ON s.id = r.series"
                " GROUP BY s.device"
            )
            return all(seq <= sealed.get(device, 0) for device, seq in newest)
    except sqlite3.OperationalError:
        return False  # not created yet


def count_journaled(path: Path) -> int:
    """Return how many messages are journaled or in quarantine."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
            return sum(
                int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("messages", "quarantine")
            )
    except sqlite3.OperationalError:
        return 0


def parse(payload: bytes) -> dict[str, Any] | None:
    """Return a JSON object, None for anything else."""
    try:
        value = json.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
