"""The analyst's state at one place of the sequence, as bytes for the journal."""

import base64
import json
import zlib
from typing import Any

from agent.detect import Detector, DetectStateError
from agent.review import CalmRate
from agent.window import Windows

VERSION = 1


def dump(detector: Detector, windows: Windows, calm: CalmRate, last_seq: dict[str, int]) -> bytes:
    """Return detector, open windows and counters as compressed JSON; ``last_seq`` forgets who is gone."""
    for device in last_seq.keys() - detector.last_seen().keys():
        del last_seq[device]
    state = {
        "version": VERSION,
        "detector": base64.b64encode(detector.dump()).decode(),
        "windows": windows.dump(),
        "calm": calm.dump(),
        "last_seq": last_seq,
    }
    return zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 1)


def load(
    blob: bytes,
    detector: Detector,
    windows: Windows,
    calm: CalmRate,
    last_seq: dict[str, int],
    sealed_to: dict[str, int],
) -> str | None:
    """Take back what :func:`dump` gave; return in words what could not be used, or None.

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
