"""Feedback of a person on a verdict: ``{"verdict_id", "outcome", "note"}``."""

import re
from dataclasses import dataclass
from typing import Any

from agent.decode.family import DecodeLimits
from agent.decode.strict_json import parse
from agent.domain.records import DecodeError, DecodeReason, Seen

REPEAT = "repeat"
OUTCOMES = ("confirmed", "false_alarm")
MAX_NOTE = 500  # characters that are kept
_LIMITS = DecodeLimits(max_bytes=8192, max_string=8192)
_KEYS = {"verdict_id", "outcome", "note"}
MIN_ID = 4  # characters of an id that may abbreviate it
_ID = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One person's answer to one verdict."""

    verdict_id: str  # or its first characters
    outcome: str  # confirmed | false_alarm
    note: str = ""  # one printable line


@dataclass(frozen=True, slots=True)
class Noted:
    """The result of a feedback; ``status`` is its verdict's, None where it was not counted."""

    feedback: Feedback
    status: str | None
    why: str = ""  # repeat, or in words why it was refused
    verdict_id: str = ""  # the whole id of its verdict
    device: str = ""
    finding_id: str = ""  # of its verdict, else the verdict's own id
    judged: tuple[Seen, ...] = ()  # values that its verdict cites, if that is an anomaly

    @property
    def refused(self) -> bool:
        """Whether it speaks of no verdict, or of more than one."""
        return self.status is None and self.why != REPEAT


def read_feedback(payload: bytes) -> Feedback:
    """Return the feedback in ``payload``.

    Raises:
        DecodeError: not a JSON object of exactly these keys; the detail names key and remedy.
    """
    value = parse(payload, _LIMITS)
    if not isinstance(value, dict):
        raise _refuse("is not an object", 'send {"verdict_id":...,"outcome":...}')
    stranger = next((key for key in value if key not in _KEYS), None)
    if stranger is not None:
        raise _refuse(f"has the key {one_line(stranger)[:40]!r}", "leave it out")
    verdict_id, outcome, note = value.get("verdict_id"), value.get("outcome"), value.get("note")
    if not isinstance(verdict_id, str) or not _ID.fullmatch(verdict_id):
        remedy = f"copy the id of the verdict, or at least its first {MIN_ID} characters"
        raise _refuse("verdict_id is not an id of a verdict", remedy)
    if outcome not in OUTCOMES:
        raise _refuse("outcome is unknown", "use confirmed or false_alarm")
    if note is not None and not isinstance(note, str):
        raise _refuse("note is not text", "send text or null")
    return Feedback(verdict_id, str(outcome), one_line(note or "")[:MAX_NOTE])


def _refuse(what: str, remedy: str) -> DecodeError:
    return DecodeError(DecodeReason.BAD_JSON, f"feedback: {what}; {remedy}")


def one_line(text: Any) -> str:
    """Return a text on one line, without characters that are not printable."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
