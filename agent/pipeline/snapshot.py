"""Snapshots: the analyst's state at one row, as bytes, and their schedule."""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from agent.detect import Detector, DetectStateError
from agent.pipeline.window import Windows
from agent.verdict.review_policy import CalmRate

VERSION = 1
# One slice, some milliseconds: so many pieces (at most a hundred readings or names each), so much text.
MAX_SLICE_PIECES = 64
MAX_SLICE_BYTES = 128 * 1024

ROWS: Final = 20_000
MOST_ROWS: Final = 200_000  # which a start takes again, some seconds
SHARE: Final = 0.05  # of the time that those for their rows may take: the state of 10,000 series is long
AGE_S: Final = 600.0
MAX_DOUBLINGS: Final = 10
RETRY_S: Final = (2.0, 60.0)  # first and longest wait after one that the storage refused

#: By the journal's state: the shortest wait between two, s, the longest, and the share of time they may take.
SHORT_OF_ROOM: Final[Mapping[str, tuple[float, float, float]]] = {
    "degraded": (10.0, AGE_S, 0.05),
    "full": (2.0, 30.0, 0.25),
}


class Dump:
    """Makes the bytes in slices. Nothing that it reads may change before the last one."""

    def __init__(
        self, detector: Detector, windows: Windows, calm: CalmRate, last_seq: dict[str, int]
    ) -> None:
        """Begin; devices that the detector has evicted leave ``last_seq``."""
        for device in last_seq.keys() - detector.last_seen().keys():
            del last_seq[device]
        calm_now = _json(calm.dump())  # its counters go on
        self._texts = _texts(detector, windows, calm_now, last_seq)
        self._packer = zlib.compressobj(1)
        self._blob = bytearray()

    def slice(self) -> bytes | None:
        """Do one turn's work; return all bytes after the last slice, None before."""
        left = MAX_SLICE_BYTES
        for _ in range(MAX_SLICE_PIECES):
            text = next(self._texts, None)
            if text is None:
                self._blob += self._packer.flush()
                return bytes(self._blob)
            self._blob += self._packer.compress(text)
            left -= len(text)
            if left <= 0:
                break
        return None


def _texts(detector: Detector, windows: Windows, calm: str, last_seq: dict[str, int]) -> Iterator[bytes]:
    yield f'{{"version":{VERSION},"detector":"'.encode()
    rest = b""
    for piece in detector.dump_pieces():
        whole = rest + piece
        cut = len(whole) - len(whole) % 3  # base64 in pieces has no padding within
        rest = whole[cut:]
        yield base64.b64encode(whole[:cut])
    yield base64.b64encode(rest)
    yield b'","windows":'
    for text in windows.dump():
        yield text.encode()
    yield f',"calm":{calm},"last_seq":{{'.encode()
    items, comma = iter(last_seq.items()), ""
    while part := dict(islice(items, MAX_SLICE_PIECES)):
        yield (comma + _json(part)[1:-1]).encode()
        comma = ","
    yield b"}}"


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def load(
    blob: bytes,
    detector: Detector,
    windows: Windows,
    calm: CalmRate,
    last_seq: dict[str, int],
    sealed_to: dict[str, int],
) -> str | None:
    """Take back what :class:`Dump` gave; return the reason why something of it could not be used, or None.

    Open windows that were sealed after the snapshot (``sealed_to``) are left out.
    """
    state: dict[str, Any] = json.loads(zlib.decompress(blob))
    if state["version"] != VERSION:
        return f"snapshot version {state['version']} is not {VERSION}"
    windows.load(state["windows"], sealed_to)
    calm.load(state["calm"])
    last_seq.update(state["last_seq"])
    try:
        detector.load(base64.b64decode(state["detector"]))
    except DetectStateError as error:
        return f"detector starts cold: {error}"
    return None


class SnapshotDue:
    """Decides when to take one. Rows are pruned only behind the last one, so a full journal needs one.

    A snapshot that let no row go doubles the wait for the next; ``pruned`` counts the rows that went so far.
    """

    def __init__(self, *, clock: float) -> None:
        self.seq = 0  # of the last snapshot
        self._clock = clock
        self._took_s = 0.0
        self._pruned = 0
        self._doublings = 0
        self._before = (0, clock)  # restored if the storage refuses the one under way
        self._under_way = False
        self._refused = 0
        self._retry = clock

    def restore(self, seq: int, clock: float | None) -> None:
        """Go on from the snapshot that the last process left, at its age."""
        self.seq = seq
        self._clock = self._clock if clock is None else clock

    def due(self, seq: int, clock: float, *, state: str) -> bool:
        """Return whether one is to be taken at the row ``seq``; ``state`` is the journal's."""
        if self._under_way or seq <= self.seq or clock < self._retry:
            return False
        age_s, rows = clock - self._clock, seq - self.seq
        if age_s >= AGE_S or rows >= MOST_ROWS or (rows >= ROWS and age_s >= self._took_s / SHARE):
            return True
        if state not in SHORT_OF_ROOM:
            self._doublings = 0
            return False
        shortest_s, longest_s, share = SHORT_OF_ROOM[state]
        return age_s >= max(min(shortest_s * (1 << self._doublings), longest_s), self._took_s / share)

    def taken(self, seq: int, clock: float, *, took_s: float, pruned: int) -> None:
        """Note that one is on its way to the disk."""
        fruitless = pruned == self._pruned
        self._doublings = min(self._doublings + 1, MAX_DOUBLINGS) if fruitless else 0
        self._before = (self.seq, self._clock)
        self.seq, self._clock = seq, clock
        self._took_s, self._pruned = took_s, pruned
        self._under_way = True

    def written(self, clock: float, *, on_disk: bool) -> None:
        """Note whether it is on disk; a snapshot that the storage refused is taken again later."""
        self._under_way = False
        if on_disk:
            self._refused = 0
            return
        self.seq, self._clock = self._before
        first_s, longest_s = RETRY_S
        self._retry = clock + min(first_s * (1 << self._refused), longest_s)
        self._refused = min(self._refused + 1, MAX_DOUBLINGS)
