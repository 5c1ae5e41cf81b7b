"""Messages with their readings, as JSON lines in ``<family>`` and ``field*``.

``topic``, ``payload`` (text) or ``payload_hex``, ``source`` (topic pattern, or an entry of ``sources:``),
``more_sources`` (entries after it), ``before`` (messages that came first), ``received`` (``NOW`` if absent),
and the result:

- ``expect`` ({device: {metric: value}}, nothing if absent) is all there is, except for the ``device/metric``
  globs in ``may``. ``{device: {}}`` is a device that sent no value. A value
  ``[[time, value], ..]`` is a list of readings. ``or``: other answers that are as good.
- ``units`` ({metric glob: unit}, compared by meaning; any unit if absent), ``skipped`` (globs of values that
  must be named as skipped), ``at`` (Unix seconds, ``"receipt"``, a list of these; ``"receipt"`` if absent),
  ``online`` (true, false, or {device: true or false}), ``refused`` (the reason for the quarantine, or true),
  ``expected`` ({device: seconds}, the announced interval).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from agent.decode.families import FAMILIES

NOW = 1_782_475_200.0  # receipt time of every message: 2026-06-26T12:00:00Z


class Case(NamedTuple):
    """One message of a family."""

    family: str  # or the file that it comes from
    topic: str
    payload: bytes
    source: dict[str, Any]  # an entry of `sources:`
    wanted: dict[str, Any]
    received: float = NOW

    def __str__(self) -> str:
        name = self.wanted.get("id") or f"{self.topic} {self.payload[:40]!r}"
        return f"{self.family}: {name}"


def payload_of(line: dict[str, Any]) -> bytes:
    """Return the payload of one line."""
    return bytes.fromhex(line["payload_hex"]) if "payload_hex" in line else line["payload"].encode()


def load(name: str) -> list[Case]:
    """Return the cases of the file ``<name>.jsonl``; the name of a family is the format of its sources."""
    text = (Path(__file__).parent / f"{name}.jsonl").read_text(encoding="utf-8")
    return [_case(name, json.loads(line)) for line in text.splitlines()]


def _case(name: str, line: dict[str, Any]) -> Case:
    source = line["source"] if isinstance(line["source"], dict) else {"topic": line["source"]}
    if name in FAMILIES:
        source = {"format": name, **source}
    return Case(name, line["topic"], payload_of(line), source, line, line.get("received", NOW))


CASES = [case for family in FAMILIES for case in load(family)]
FIELD = [case for path in sorted(Path(__file__).parent.glob("field*.jsonl")) for case in load(path.stem)]
