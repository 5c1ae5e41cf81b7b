"""Incidents in the journal."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from agent.domain.records import Cause, Incident, Place, Severity

MAX_OPEN = 10_000
MAX_PAST = 1000


def write(connection: sqlite3.Connection, incidents: Sequence[Incident], *, clock: float) -> None:
    """Write incidents as they are now."""
    connection.executemany(
        "INSERT OR REPLACE INTO incidents VALUES (?,?,?,?)",
        [(one.id, _encode(one), one.closed, clock) for one in incidents],
    )


def read(connection: sqlite3.Connection) -> tuple[Incident, ...]:
    """Return the open incidents, oldest first."""
    rows = connection.execute(
        "SELECT id, body FROM incidents WHERE NOT closed ORDER BY clock LIMIT ?", (MAX_OPEN,)
    )
    return tuple(sorted((_decode(key, body) for key, body in rows), key=lambda one: (one.opened, one.id)))


def read_past(connection: sqlite3.Connection) -> tuple[Incident, ...]:
    """Return the last incidents that are over and were not merged, oldest first."""
    rows = connection.execute(
        "SELECT id, body FROM incidents WHERE closed ORDER BY clock DESC LIMIT ?", (MAX_PAST,)
    )
    past = [replace(_decode(key, body), closed=True) for key, body in rows]
    return tuple(one for one in reversed(past) if one.merged_into is None)


def _encode(incident: Incident) -> str:
    place = incident.place
    return json.dumps(
        [
            incident.opened,
            incident.cause,
            incident.severity,
            incident.devices,
            None if place is None else [place.source, place.link],
            incident.merged_into,
            incident.reviewed,
        ],
        separators=(",", ":"),
    )


def _decode(key: str, text: str) -> Incident:
    opened, cause, severity, devices, place, merged_into, *reviewed = json.loads(text)
    where = None if place is None else Place(*place)
    return Incident(
        key, opened, Cause(cause), Severity(severity), devices, where, merged_into,
        reviewed=reviewed[0] if reviewed else None,  # an older agent wrote none
    )  # fmt: skip
