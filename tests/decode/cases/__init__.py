"""Messages for each family, one JSON object a line in ``<family>.jsonl``.

``topic``, ``payload`` (text) or ``payload_hex``, ``source`` (topic pattern of the source), and the result:
``expect`` ({device: {metric: value}}), ``units`` ({metric: unit}), ``at`` (event time, Unix seconds; the
receipt time if absent), ``online`` (true or false), or ``refused`` (the reason for the quarantine).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from agent.decode.families import FAMILIES

NOW = 1_782_475_200.0  # receipt time of every message: 2026-06-26T12:00:00Z


class Case(NamedTuple):
    """One message of a family."""

    family: str
    topic: str
    payload: bytes
    source: str
    wanted: dict[str, Any]


def load(family: str) -> list[Case]:
    """Return the cases of ``family``."""
    text = (Path(__file__).parent / f"{family}.jsonl").read_text(encoding="utf-8")
    return [_case(family, json.loads(line)) for line in text.splitlines()]


def _case(family: str, line: dict[str, Any]) -> Case:
    payload = bytes.fromhex(line["payload_hex"]) if "payload_hex" in line else line["payload"].encode()
    return Case(family, line["topic"], payload, line["source"], line)


CASES = [case for family in FAMILIES for case in load(family)]
