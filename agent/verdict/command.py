"""Commands of people, strictly parsed, and their answers."""

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from agent.decode.family import DecodeLimits
from agent.decode.strict_json import parse
from agent.domain.records import (
    Command,
    CommandOutcome,
    CommandReason,
    DecodeError,
    DecodeReason,
    Do,
    Reply,
)
from agent.verdict.encode import encode, iso
from agent.verdict.feedback import one_line

MAX_NOTE = 500  # characters that are kept
MAX_DEVICE = 1024
MAX_REPLY = 256  # characters of a response topic
MAX_CORRELATION = 256  # bytes
_LIMITS = DecodeLimits(max_bytes=8192, max_string=8192)
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_FINDING = re.compile(r"[0-9a-f]{4,64}")
_SPAN = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_COMMON = frozenset({"id", "do", "note"})
_KEYS: Final = {
    Do.FORGET: frozenset({"device"}),
    Do.MAINTENANCE: frozenset({"device", "from", "until", "for"}),
    Do.PAUSE_MODEL: frozenset({"until", "for"}),
    Do.RESUME_MODEL: frozenset[str](),
    Do.ACK: frozenset({"finding_id", "device", "incident_id"}),
    Do.SNOOZE: frozenset({"finding_id", "device", "incident_id", "until", "for"}),
}
_OF_FINDING = frozenset({"finding_id", "device"})


class CommandError(DecodeError):
    """A message that is not a command; ``command_id`` is its id, if that could be read."""

    command_id = ""


def read_command(payload: bytes) -> Command:
    """Return the command in ``payload``.

    Raises:
        CommandError: not a JSON object of a command's keys; the detail names key and remedy.
    """
    try:
        value = parse(payload, _LIMITS)
    except DecodeError as error:
        raise CommandError(error.reason, f"command: {error.detail or error.reason}") from error
    if not isinstance(value, dict):
        raise _refuse("is not an object", 'send {"do":"ack","finding_id":...}')
    try:
        return _read(value)
    except CommandError as error:
        given = value.get("id")
        error.command_id = given if isinstance(given, str) and _ID.fullmatch(given) else ""
        raise


def _read(value: dict[str, Any]) -> Command:
    word = value.get("do")
    if not isinstance(word, str) or word not in list(Do):
        raise _refuse("do is unknown", f"use one of {', '.join(Do)}")
    do = Do(word)
    allowed = _COMMON | _KEYS.get(do, _OF_FINDING)
    stranger = next((key for key in value if key not in allowed), None)
    if stranger is not None:
        raise _refuse(f"{do} has the key {one_line(stranger)[:40]!r}", "leave it out")
    command_id = value.get("id", "")
    if not isinstance(command_id, str) or (command_id and not _ID.fullmatch(command_id)):
        raise _refuse("id is not an id", "send 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
    note = value.get("note")
    if note is not None and not isinstance(note, str):
        raise _refuse("note is not text", "send text or null")
    finding_id, device, incident_id = _read_target(do, value)
    until, for_s = _read_end(do, value)
    return Command(
        do,
        command_id,
        finding_id,
        device,
        _read_time(value, "from"),
        until,
        for_s,
        one_line(note or "")[:MAX_NOTE],
        incident_id,
    )


def _read_target(do: Do, value: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    finding_id, device, incident_id = (value.get(key) for key in ("finding_id", "device", "incident_id"))
    if device is not None and (not isinstance(device, str) or not 0 < len(device) <= MAX_DEVICE):
        raise _refuse("device is not a name", f"send 1 to {MAX_DEVICE} characters")
    if finding_id is not None and (not isinstance(finding_id, str) or not _FINDING.fullmatch(finding_id)):
        remedy = "copy it, or at least its first 4 characters, or name the device instead"
        raise _refuse("finding_id is not an id of a finding", remedy)
    if incident_id is not None and (not isinstance(incident_id, str) or not _FINDING.fullmatch(incident_id)):
        raise _refuse("incident_id is not an id of an incident", "copy it")
    if do in (Do.FORGET, Do.MAINTENANCE):
        if device is None:
            raise _refuse(f"{do} names no device", "add device")
    elif do not in (Do.PAUSE_MODEL, Do.RESUME_MODEL) and [finding_id, device, incident_id].count(None) != 2:  # noqa: PLR2004 - all but one
        keys = sorted(_KEYS.get(do, _OF_FINDING) & {"finding_id", "device", "incident_id"})
        raise _refuse(f"{do} needs one of {', '.join(keys)}", "send one of them")
    return finding_id, device, incident_id


def _read_end(do: Do, value: dict[str, Any]) -> tuple[float | None, float | None]:
    if do not in (Do.SNOOZE, Do.MAINTENANCE, Do.PAUSE_MODEL):
        return None, None
    until, text = _read_time(value, "until"), value.get("for")
    if do is Do.PAUSE_MODEL and until is None and text is None:
        return None, None
    if (until is None) is (text is None):
        raise _refuse(f"{do} needs one of until and for", 'send a time, or "for":"24h"')
    if text is None:
        return until, None
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise _refuse("for is not a time span", "send for example 90m, 24h or 3d")
    return None, float(found[1]) * _UNITS[found[2]]


def _read_time(value: dict[str, Any], key: str) -> float | None:
    """Return a time of ISO 8601 with its zone, or of Unix seconds."""
    given = value.get(key)
    if given is None:
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool) and isfinite(given):
        return float(given)
    if isinstance(given, str) and len(given) <= 40:  # noqa: PLR2004 - with room for its zone
        try:
            moment = datetime.fromisoformat(given)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC).timestamp()
        except (ValueError, OverflowError):
            pass
    raise _refuse(f"{key} is not a time", "send for example 2026-05-01T06:00:00Z, or Unix seconds")


def _refuse(what: str, remedy: str) -> CommandError:
    return CommandError(DecodeReason.BAD_COMMAND, f"command: {what}; {remedy}")


def reply_topic(base_topic: str, reply: Reply | None) -> str:
    """Return the topic of the answer: the sender's own if it is below ``.../command/``.

    A client that may send commands must not make the agent publish anywhere else in its name.
    """
    mine = f"{base_topic}/command/"
    if reply is not None and reply.topic.startswith(mine) and len(reply.topic) <= MAX_REPLY:
        rest = reply.topic[len(mine) :]
        if rest and not any(char in "+#" or not char.isprintable() for char in rest):
            return reply.topic
    return f"{mine}result"


def correlation_of(reply: Reply | None) -> bytes | None:
    """Return the correlation data for the answer, None where there is none or too much."""
    data = None if reply is None else reply.correlation
    return data if data is None or len(data) <= MAX_CORRELATION else None


def answer(command_id: str, do: Do | None, outcome: CommandOutcome) -> bytes:
    """Return the bytes of the answer to a command."""
    return encode(
        {
            "id": command_id or None,
            "do": do,
            "accepted": outcome.accepted,
            "reason": outcome.reason,
            "detail": outcome.detail,
            "device": outcome.device,
            "finding_id": outcome.finding_id,
            "state": outcome.state,
            "until": None if outcome.until is None else iso(outcome.until),
        }
    )


def refused(reason: CommandReason, detail: str) -> CommandOutcome:
    """Return the outcome of a command that changes nothing."""
    return CommandOutcome(accepted=False, reason=reason, detail=detail)
