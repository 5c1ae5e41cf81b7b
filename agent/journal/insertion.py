"""Many rows with few statements."""

import sqlite3
from collections.abc import Sequence

_ROWS = 64


class Insertion:
    """An INSERT of 64 rows at a time: each step of SQLite gives the interpreter lock away."""

    def __init__(self, head: str, *, columns: int) -> None:
        values = f"({','.join('?' * columns)})"
        self._one = f"{head} {values}"
        self._many = f"{head} {','.join([values] * _ROWS)}"

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert the rows, in order."""
        whole = len(rows) - len(rows) % _ROWS
        for start in range(0, whole, _ROWS):
            flat: list[object] = []
            for row in rows[start : start + _ROWS]:
                flat += row
            connection.execute(self._many, flat)
        if whole < len(rows):
            connection.executemany(self._one, rows[whole:])
