"""Opening of the file: sound, of a known version, else moved aside or refused."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from agent.journal.errors import JournalCorruptError, JournalError, is_damage
from agent.journal.schema import VERSION, check_header, connect, create
from agent.journal.state_dir import open_plain, refuse_planted, sync_directory

NAME = "journal.sqlite"
SUSPECT = "journal.suspect"  # left behind when SQLite called the file damaged while running

_MAX_ASIDE = 2  # damaged files that are kept


def open_database(path: Path, *, log: Callable[..., None]) -> sqlite3.Connection:
    """Open, check and complete the journal; a damaged one is moved aside and a clean one begun, loudly.

    Raises:
        JournalNewerError: a newer agent wrote it; nothing was touched.
        JournalError: it is something else than a journal.
        sqlite3.Error: it cannot be read or written.
    """
    try:
        return _open_sound(path, log)
    except JournalCorruptError as error:
        aside = _move_aside(path)
        log(
            "journal_moved_aside",
            level="error",
            error=str(error),
            path=str(aside),
            remedy=(
                "a clean journal was begun; what was not acknowledged comes again, the rest is in that file"
            ),
        )
        return _open_sound(path, log)


def _open_sound(path: Path, log: Callable[..., None]) -> sqlite3.Connection:
    refuse_planted(path)
    check_header(path)
    suspect = path.with_name(SUSPECT)
    try:
        connection = connect(path)
        try:
            _check(connection, path, thorough=suspect.exists())
            found = create(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        if is_damage(error):
            raise JournalCorruptError(f"journal: {path} is damaged: {error}") from error
        raise
    suspect.unlink(missing_ok=True)
    if 0 < found < VERSION:
        log("journal_migrated", path=str(path), found=found, now=VERSION)
    return connection


def mark_suspect(path: Path) -> None:
    """Note in a file next to the journal at ``path`` that its next opening must look at every page."""
    try:
        os.close(open_plain(path.with_name(SUSPECT), os.O_WRONLY | os.O_CREAT))
    except (OSError, JournalError):
        return  # the quick check is made in any case


def _check(connection: sqlite3.Connection, path: Path, *, thorough: bool) -> None:
    found = connection.execute(f"PRAGMA {'integrity_check' if thorough else 'quick_check'}(1)").fetchone()[0]
    if found != "ok":
        raise JournalCorruptError(f"journal: {path} is damaged: {found}")


def _move_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"journal.corrupt-{stamp}")
    number = 0
    while aside.exists():
        number += 1
        aside = path.with_name(f"journal.corrupt-{stamp}-{number}")
    path.rename(aside)
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        wal.rename(aside.with_name(aside.name + "-wal"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    path.with_name(SUSPECT).unlink(missing_ok=True)
    _drop_oldest(path.parent)
    sync_directory(path.parent)
    return aside


def moved_aside(folder: Path) -> list[Path]:
    """Return the damaged journals that were moved aside, the oldest first; none if the folder is not read."""
    try:
        names = [found.name for found in folder.iterdir()]
    except OSError:  # such as no descriptor that is free
        return []
    return [
        folder / name
        for name in sorted(names)
        if name.startswith("journal.corrupt-") and not name.endswith("-wal")
    ]


def _drop_oldest(folder: Path) -> None:
    for old in moved_aside(folder)[:-_MAX_ASIDE]:
        old.unlink()
        old.with_name(old.name + "-wal").unlink(missing_ok=True)
