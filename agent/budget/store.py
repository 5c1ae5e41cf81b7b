"""``budget.sqlite``: its tables, its version, and the recovery of a lost file."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import tzinfo
from pathlib import Path

from agent.budget.periods import KINDS, Anchor, Period, starts
from agent.journal.errors import (
    JournalError,
    JournalNewerError,
    JournalStorageError,
    is_storage,
    is_transient,
)
from agent.journal.state_dir import open_plain, refuse_planted, sync_directory

VERSION = 1
SENTINEL = ".budget-created"  # next to the file: if it is there and the file is not, the file was lost
_NO_PERIOD = -1.0  # begin of a period that is over, whatever the clock
_MAGIC = b"SQLite format 3\0"
_TABLES = (
    """CREATE TABLE IF NOT EXISTS periods(
        kind TEXT PRIMARY KEY, start REAL NOT NULL, booked INTEGER NOT NULL, lost INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS anchor(
        id INTEGER PRIMARY KEY CHECK (id = 1), wall REAL NOT NULL, mono REAL NOT NULL, boot TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS bookings(
        id INTEGER PRIMARY KEY AUTOINCREMENT, amount INTEGER NOT NULL, purpose TEXT NOT NULL,
        at REAL NOT NULL, hour REAL NOT NULL, day REAL NOT NULL, month REAL NOT NULL
    )""",
)


class LedgerFile:
    """The SQLite file; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"budget: {self.path} is closed")
        return self._connection

    def open(self, now: Anchor, zone: tzinfo, *, shared: bool = False) -> bool:
        """Open or create the file; return whether an earlier one was lost or damaged.

        ``shared``: another process may have bookings under way; they are kept.
        """
        sentinel = self.path.with_name(SENTINEL)
        refuse_planted(self.path)
        try:
            damaged = self._inspect(now)
            lost = damaged or (not self.path.exists() and sentinel.exists())
            self._connect()
            self._create(now, zone, lost=lost, shared=shared)
            if not sentinel.exists():
                _touch(sentinel)
        except (sqlite3.Error, OSError) as error:
            self.close()
            kind = JournalStorageError if is_storage(error) or is_transient(error) else JournalError
            raise kind(
                f"budget: cannot open {self.path}: {error}; make the directory writable for user "
                f"{os.getuid()} or set agent.state_dir"
            ) from error
        except JournalNewerError:
            self.close()
            raise
        return lost

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock from the first read on; commit, or roll back when the block raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def load(self) -> tuple[dict[str, Period], Anchor]:
        """Return the periods and the anchor as stored."""
        rows = self._db.execute("SELECT kind, start, booked, lost FROM periods").fetchall()
        wall, mono, boot = self._db.execute("SELECT wall, mono, boot FROM anchor").fetchone()
        return {kind: Period(start, booked, bool(lost)) for kind, start, booked, lost in rows}, Anchor(
            wall, mono, boot
        )

    def store(self, periods: Mapping[str, Period], anchor: Anchor) -> None:
        """Write the periods and the anchor."""
        self._db.executemany(
            "INSERT OR REPLACE INTO periods VALUES (?, ?, ?, ?)",
            [(kind, one.start, one.booked, int(one.lost)) for kind, one in periods.items()],
        )
        self._db.execute(
            "INSERT OR REPLACE INTO anchor VALUES (1, ?, ?, ?)", (anchor.wall, anchor.mono, anchor.boot)
        )

    def book(self, sums: Mapping[str, int]) -> None:
        """Write what is booked in each period."""
        self._db.executemany(
            "UPDATE periods SET booked = ? WHERE kind = ?", [(amount, kind) for kind, amount in sums.items()]
        )

    def add(self, amount: int, purpose: str, at: float, begins: Mapping[str, float]) -> int:
        """Insert a booking and return its id."""
        cursor = self._db.execute(
            "INSERT INTO bookings(amount, purpose, at, hour, day, month) VALUES (?, ?, ?, ?, ?, ?)",
            (amount, purpose[:40], at, *(begins[kind] for kind in KINDS)),
        )
        if cursor.lastrowid is None:
            raise JournalError("budget: no id for a booking")
        return cursor.lastrowid

    def take(self, booking: int) -> tuple[int, dict[str, float]] | None:
        """Remove a booking; return its amount and the periods that it was booked in."""
        row = self._db.execute(
            "DELETE FROM bookings WHERE id = ? RETURNING amount, hour, day, month", (booking,)
        ).fetchone()
        return None if row is None else (int(row[0]), dict(zip(KINDS, row[1:], strict=True)))

    def move(self, begins: Mapping[str, tuple[float, float]]) -> None:
        """Take the bookings of each period to its new begin; those of earlier ones to none.

        ``begins`` are the begins before and after a step of the clock.
        """
        for kind, (before, begin) in begins.items():
            self._db.execute(
                f"UPDATE bookings SET {kind} = CASE {kind} WHEN ? THEN ? ELSE ? END",  # noqa: S608 - of KINDS
                (before, begin, _NO_PERIOD),
            )

    def bookings(self) -> list[tuple[int, dict[str, float]]]:
        """Return the amount of each booking under way, and the periods that it was booked in."""
        rows = self._db.execute("SELECT amount, hour, day, month FROM bookings").fetchall()
        return [(amount, dict(zip(KINDS, begins, strict=True))) for amount, *begins in rows]

    def reset(self, now: Anchor, zone: tzinfo) -> None:
        """Start all periods at zero and forget the bookings."""
        self._db.execute("DELETE FROM bookings")
        begins = starts(now.wall, zone)
        self.store({kind: Period(begins[kind], 0) for kind in KINDS}, now)

    def _inspect(self, now: Anchor) -> bool:
        """Move a damaged file aside and return True; refuse a newer one before SQLite touches it."""
        try:
            with self.path.open("rb") as file:
                header = file.read(100)
        except FileNotFoundError:
            return False
        if not header:  # killed while creating it, or emptied later
            return self.path.with_name(SENTINEL).exists()
        if header.startswith(_MAGIC) and len(header) == 100:  # noqa: PLR2004 - size of SQLite's header
            self._refuse_newer(int.from_bytes(header[60:64], "big"))
            if self._sound():
                return False
        aside = self.path.with_name(f"{self.path.name}.corrupt-{now.wall:.0f}")
        self.path.replace(aside)
        journal = self.path.with_name(f"{self.path.name}-journal")
        with contextlib.suppress(FileNotFoundError):
            journal.replace(aside.with_name(f"{aside.name}-journal"))
        return True

    def _sound(self) -> bool:
        try:
            self._connect()
            result = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return False
        finally:
            self.close()
        return bool(result == "ok")

    def _refuse_newer(self, version: int) -> None:
        if version > VERSION:
            raise JournalNewerError(
                f"budget: {self.path} has schema {version}, this agent knows up to {VERSION}; nothing was "
                "touched. Install the newer agent again, or give this one another agent.state_dir"
            )

    def _connect(self) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        self._connection = connection
        connection.execute("PRAGMA journal_mode=TRUNCATE").fetchone()
        connection.execute("PRAGMA synchronous=FULL")

    def _create(self, now: Anchor, zone: tzinfo, *, lost: bool, shared: bool) -> None:
        with self.transaction():
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            self._refuse_newer(version)
            for statement in _TABLES:
                self._db.execute(statement)
            if self._db.execute("SELECT count(*) FROM periods").fetchone()[0] != len(KINDS):
                begins = starts(now.wall, zone)
                self.store({kind: Period(begins[kind], 0, lost=lost) for kind in KINDS}, now)
            if not shared:
                # Bookings of processes that are gone: they are part of the sums, and stay so.
                self._db.execute("DELETE FROM bookings")
            self._db.execute(f"PRAGMA user_version={VERSION}")
        sync_directory(self.path.parent)


def _touch(path: Path) -> None:
    fd = open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write("budget.sqlite was created here; without it the caps count as spent\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(path.parent)
