"""Recognition of repeats, by place (the tail rule) or by publisher's id.

A packet id and equal bytes do not identify a PUBLISH: ids wrap after 65,535 messages, some brokers reuse low
ids, and a contact publishes ``ON`` all day. The order does. After a reconnect a broker first sends the
messages that it still holds, with DUP=1, in the original order, and acknowledgements follow the commits in
order. So only the tail of the journaled messages can be sent again.
"""

import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count, pairwise
from struct import Struct
from typing import Final

from agent.domain.messages import Arrival, LinkUp
from agent.journal.codec import Insertion
from agent.journal.schema import read_meta, write_meta

MAX_PLACES: Final = 1024  # on disk, of the last connection on which a message was received
MAX_TAIL: Final = 16_384  # in memory: a full intake is committed after its connection is over
HOLD_S: Final = 2.0  # without a further message: what is held does not reach the last place
MAX_HELD_BYTES: Final = 4 * 1024 * 1024

_RING = 65_535  # packet ids 1 to 65,535
_BACKWARD = _RING // 2  # a step of more than half a ring is one backward
_PLACES = Insertion("INSERT OR REPLACE INTO places VALUES", columns=5)
_unpack = Struct("<q").unpack

Place = tuple[int, int]  # packet id, hash of topic and payload


def key_of(topic: bytes, payload: bytes) -> int:
    """Return 64 bits that identify a topic and a payload, the same in every process."""
    # NUL cannot be in a topic, so it separates.
    digest: int = _unpack(blake2b(topic + b"\0" + payload, digest_size=8).digest())[0]
    return digest


@dataclass(slots=True)
class _State:
    """The part of the state that a rollback restores."""

    ids_reused: bool = False  # seen in this session
    generation: int = 0  # of the places
    stored: int = 0  # places of that connection so far, those of this transaction included
    last_mid: int = 0  # of its last place; 0: none yet
    tail: tuple[Place, ...] = ()  # what may be sent again; empty: nothing is recognised any more
    held: list[Arrival] = field(default_factory=list)
    start: int = 0  # index in the tail of the first held message
    held_bytes: int = 0


class Redelivery:
    """The places of the last connection, and the messages that are held until they are decided.

    A *place* is the packet id and hash of a QoS 1 message in the order of its connection. Messages of a
    resumed session are held while each has DUP=1 and equals a stored place: the first any of them, each
    further one the place after it. Where that run reaches the last place, they are repeats; where it breaks,
    they are new. All other messages are new: a duplicate is better than a loss.

    Nothing is recognised where the order proves nothing: the session is new, a CONNECT was sent whose CONNACK
    is not on disk, or the broker may have handed out one of the stored ids again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._linked = 0  # the last generation with a CONNACK on disk
        self._mids, self._hashes = array("H"), array("q")  # of the committed places
        self._new_mids, self._new_hashes = array("H"), array("q")  # and of those of this transaction
        self._link: LinkUp | None = None  # the CONNACK that ends this transaction
        self._state = _State()
        self._mark = _State()
        self._load(connection)

    def _load(self, connection: sqlite3.Connection) -> None:
        """Read the places of the last connection on which a message was received."""
        rows = connection.execute(
            "SELECT mid, hash FROM places WHERE generation = (SELECT max(generation) FROM places) ORDER BY n"
        )
        for mid, digest in rows:
            self._mids.append(mid)
            self._hashes.append(digest)
        self._linked = int(read_meta(connection, "linked") or 0)
        self._state.ids_reused = bool(read_meta(connection, "ids_reused"))
        self._keep_state()

    # --------------------------------------------------------------------------- in a transaction

    @property
    def ids_reused(self) -> bool:
        """Whether this session's broker reuses packet ids, so that nothing can be recognised."""
        return self._state.ids_reused

    @property
    def recognising(self) -> bool:
        """Whether the next message may be a repeat."""
        return bool(self._state.tail)

    def link(self, up: LinkUp) -> None:
        """Note a CONNACK: the last thing in its transaction."""
        self._link = up

    def hold(self, arrival: Arrival) -> tuple[list[Arrival], list[Arrival]]:
        """Take a message while recognising; return the repeats and the new ones among those decided now."""
        state = self._state
        index = self._index(arrival)
        state.held_bytes += len(arrival.payload) + len(arrival.topic)
        if index is None or state.held_bytes > MAX_HELD_BYTES:
            return [], [*self.release(), arrival]
        if not state.held:
            state.start = index
        state.held.append(arrival)
        return ([], []) if index + 1 < len(state.tail) else (self.release(), [])

    def release(self) -> list[Arrival]:
        """Stop recognising on this connection; return what was held."""
        state = self._state
        held, state.held = state.held, []
        state.tail, state.held_bytes = (), 0
        return held

    def due_s(self, now: float) -> float | None:
        """Return the seconds until held messages count as new (monotonic ``now``), None without any."""
        held = self._state.held
        return max(0.0, held[-1].mono + HOLD_S - now) if held else None

    def remember(self, *arrivals: Arrival) -> None:
        """Note the places of messages; they are acknowledged once this is on disk."""
        state, mids, hashes = self._state, self._new_mids, self._new_hashes
        for arrival in arrivals:
            mid = arrival.mid
            if arrival.generation != state.generation:
                state.generation, state.stored, state.last_mid = arrival.generation, 0, 0
                self._forget_new()
            if state.last_mid and not 0 < (mid - state.last_mid) % _RING <= _BACKWARD:
                state.ids_reused = True
            state.last_mid = mid
            state.stored += 1
            mids.append(mid)
            hashes.append(_digest(arrival))

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write the places of this transaction; only the last of them are kept."""
        state, mids, hashes = self._state, self._new_mids[-MAX_PLACES:], self._new_hashes[-MAX_PLACES:]
        generation, first = state.generation, state.stored - len(mids)
        _PLACES.run(
            connection,
            [
                (n % MAX_PLACES, generation, n, mid, digest)
                for n, mid, digest in zip(count(first), mids, hashes, strict=False)
            ],
        )
        if state.ids_reused and not self._mark.ids_reused:
            write_meta(connection, "ids_reused", 1)
        if self._link is not None:
            write_meta(connection, "linked", self._link.generation)
            if not self._resumes(self._link):
                connection.execute("DELETE FROM places")
                write_meta(connection, "ids_reused", 0)

    # ------------------------------------------------------------------------------------ after it

    def commit(self) -> None:
        """Keep what was noted; after a CONNACK, begin its connection."""
        if self._new_mids:
            if self._state.generation != self._mark.generation:
                self._clear()
            self._mids += self._new_mids
            self._hashes += self._new_hashes
            if len(self._mids) > 2 * MAX_TAIL:
                del self._mids[:-MAX_TAIL], self._hashes[:-MAX_TAIL]
            self._forget_new()
        if self._link is not None:
            self._begin(self._link)
        self._link = None
        self._keep_state()

    def rollback(self) -> None:
        """Forget what was noted since the last commit."""
        self._forget_new()
        self._link = None
        self._state = replace(self._mark, held=list(self._mark.held))

    def _keep_state(self) -> None:
        self._mark = replace(self._state, held=list(self._state.held))

    def _forget_new(self) -> None:
        del self._new_mids[:], self._new_hashes[:]

    def _clear(self) -> None:
        del self._mids[:], self._hashes[:]

    def _begin(self, up: LinkUp) -> None:
        self.release()
        state = self._state
        state.last_mid = 0
        if not self._resumes(up):
            self._clear()
            state.ids_reused = False
        elif not state.ids_reused:
            state.tail = tail_of(self._mids, self._hashes)
        self._linked = up.generation

    def _resumes(self, up: LinkUp) -> bool:
        """Whether the session is that of the places: an attempt without a CONNACK may have got a new one."""
        return up.session_present and up.generation == self._linked + 1

    def _index(self, arrival: Arrival) -> int | None:
        """Return which place of the tail this message repeats, if it may be a repeat."""
        if not arrival.dup:
            return None
        state, place = self._state, (arrival.mid, _digest(arrival))
        if state.held:
            index = state.start + len(state.held)
            return index if state.tail[index] == place else None
        return state.tail.index(place) if place in state.tail else None  # ids in a tail are unique


def tail_of(mids: Sequence[int], hashes: Sequence[int]) -> tuple[Place, ...]:
    """Return the last places of a connection that may be sent again; none where the ids prove nothing.

    The ids must ascend, once round the ring at most, and the places must be fewer than the highest id.
    Then the broker's next id is none of theirs, whether it goes round the ring, goes round a smaller pool or
    takes the lowest free one: at least one id that it gave out earlier is not among them.
    """
    if not mids:
        return ()
    steps = [(after - before) % _RING for before, after in pairwise(mids)]
    if not all(0 < step <= _BACKWARD for step in steps) or sum(steps) >= _RING:
        return ()
    last = min(len(mids), max(mids) - 1, MAX_TAIL)
    return tuple(zip(mids[-last:], hashes[-last:], strict=True)) if last else ()


def _digest(arrival: Arrival) -> int:
    return key_of(arrival.topic.encode("utf-8", "backslashreplace"), arrival.payload)


KEEP_S = 86_400.0
MAX_IDS = 100_000

_SIZE = 15  # one byte more would take 16 more in memory
_MAX_DELETED = 500  # rows in one transaction: after a pause there are many
# Made when a source first asks for it; other versions leave it alone, so the version stays.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS message_ids(n INTEGER PRIMARY KEY, clock REAL NOT NULL, ids BLOB NOT NULL)"
)


class MessageIds:
    """Ids of (source, device, publisher's id) over a retention window.

    Noted ids go to disk in the transaction of their messages, so both are there or neither. A row holds
    the ids of one transaction, and memory holds all: an index on disk would rewrite a page for each message.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        now: Callable[[], float],
        keep_s: float = KEEP_S,
        max_ids: int = MAX_IDS,
    ) -> None:
        self._connection = connection
        self._now = now
        self._keep_s = keep_s
        self._max_ids = max_ids
        self._loaded = False
        self._making = False  # the table is made in the open transaction
        self._known: set[bytes] = set()
        self._rows: deque[tuple[int, float, bytes]] = deque()  # n, clock, ids; oldest first
        self._passed = 0  # rows up to here are out of the window
        self._fresh: dict[bytes, None] = {}  # of the open transaction, in order
        self._row: tuple[int, float, bytes] | None = None  # what the open transaction inserted

    def knows(self, digest: bytes) -> bool:
        """Whether a message with this id was journaled within the window; inside a transaction."""
        if not self._loaded:
            self._load()
        self._forget()
        return digest in self._known or digest in self._fresh

    def note(self, digest: bytes) -> None:
        """Note the id of a message of the open transaction."""
        self._fresh[digest] = None

    def insert(self) -> None:
        """Write what was noted into the open transaction, and delete what the window has passed."""
        if not self._fresh:
            return
        clock, ids = self._now(), b"".join(self._fresh)
        execute = self._connection.execute
        cursor = execute("INSERT INTO message_ids(clock, ids) VALUES (?, ?)", (clock, ids))
        self._row = (int(cursor.lastrowid or 0), clock, ids)
        if self._passed:
            execute(
                "DELETE FROM message_ids WHERE n <= ? AND n < (SELECT min(n) FROM message_ids) + ?",
                (self._passed, _MAX_DELETED),
            )

    def commit(self) -> None:
        """Keep what was noted: it is on disk."""
        self._making = False
        if self._row is not None:
            self._rows.append(self._row)
            self._known.update(self._fresh)
            self._row = None
            self._fresh.clear()

    def rollback(self) -> None:
        """Forget the open transaction."""
        self._loaded = self._loaded and not self._making
        self._making = False
        self._row = None
        self._fresh.clear()

    def _load(self) -> None:
        self._connection.execute(_TABLE)
        self._loaded = self._making = True
        self._known.clear()
        self._rows = deque(self._connection.execute("SELECT n, clock, ids FROM message_ids ORDER BY n"))
        for _, _, ids in self._rows:
            self._known.update(_split(ids))

    def _forget(self) -> None:
        """Drop ids that are too old or too many."""
        rows, since = self._rows, self._now() - self._keep_s
        while rows and (rows[0][1] <= since or len(self._known) > self._max_ids):
            self._passed, _, ids = rows.popleft()
            self._known.difference_update(_split(ids))


def digest_of(source: str, device: str, message_id: str) -> bytes:
    """Return 120 bits that identify a message of a device, the same in every process."""
    # Neither a source nor a device holds a NUL.
    return blake2b(f"{source}\0{device}\0{message_id}".encode(), digest_size=_SIZE).digest()


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + _SIZE] for at in range(0, len(ids), _SIZE)]
