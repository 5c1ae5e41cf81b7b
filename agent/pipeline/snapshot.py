"""The analyst's state at one place of the sequence, as bytes for the journal."""

import base64
import json
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from agent.detect import Detector, DetectStateError
from agent.pipeline.window import Windows
from agent.verdict.review_policy import CalmRate

VERSION = 1
# One slice, some milliseconds: so many pieces (at most a hundred readings or names each), so much text.
MAX_SLICE_PIECES = 64
MAX_SLICE_BYTES = 128 * 1024


class Dump:
    """Makes the bytes in slices. Nothing that it reads may change before the last one."""

    def __init__(
        self, detector: Detector, windows: Windows, calm: CalmRate, last_seq: dict[str, int]
    ) -> None:
        """Begin; ``last_seq`` forgets who is gone."""
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
    """Take back what :class:`Dump` gave; return in words what could not be used, or None.

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
