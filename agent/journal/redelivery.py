"""Which PUBLISH is one that we already have."""

import sqlite3
from array import array
from hashlib import blake2b
from struct import Struct

_MIDS = 65_536
_unpack = Struct("<q").unpack


def key_of(topic: bytes, payload: bytes) -> int:
    """Return 64 bits that stand for a topic and a payload, the same in every process."""
    # NUL cannot be in a topic, so it separates.
    digest: int = _unpack(blake2b(topic + b"\0" + payload, digest_size=8).digest())[0]
    return digest


class Redelivery:
    """The last message of every packet id: generation and hash.

    A PUBLISH with DUP=1 whose packet id and hash were journaled in the generation before is the same
    PUBLISH. Everything else is new: a broker restored from an older save sends again with packet ids rolled
    back, and a wider match would take a new message for an old one.
    """

    def __init__(self) -> None:
        self._generations = array("q", [-1]) * _MIDS
        self._hashes = array("q", [0]) * _MIDS
        self._undo: list[tuple[int, int, int]] = []
        self._previous = -1  # no generation: nothing matches

    def load(self, connection: sqlite3.Connection, generation: int) -> None:
        """Read the keys of the last stored generation, the only ones that can still match."""
        rows = connection.execute("SELECT mid, hash FROM redelivery WHERE generation = ?", (generation,))
        for mid, digest in rows:
            self._generations[mid] = generation
            self._hashes[mid] = digest

    def connect(self, *, previous: int, session_present: bool) -> None:
        """Begin a generation; a broker that lost the session has nothing to send again."""
        self._previous = previous if session_present else -1

    def matches(self, mid: int, digest: int) -> bool:
        """Whether this packet id and hash were journaled in the previous generation."""
        return self._generations[mid] == self._previous >= 0 and self._hashes[mid] == digest

    def remember(self, mid: int, generation: int, digest: int) -> None:
        """Note the key of a message, or move it to this generation."""
        self._undo.append((mid, self._generations[mid], self._hashes[mid]))
        self._generations[mid] = generation
        self._hashes[mid] = digest

    def commit(self) -> None:
        """Keep what was noted."""
        self._undo.clear()

    def rollback(self) -> None:
        """Forget what was noted since the last commit."""
        while self._undo:
            mid, generation, digest = self._undo.pop()
            self._generations[mid] = generation
            self._hashes[mid] = digest
