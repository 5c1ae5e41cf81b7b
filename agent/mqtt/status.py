"""The retained status message of the agent, also its last will."""

import json
from datetime import UTC, datetime


def status_payload(state: str, version: str, since: float | None) -> bytes:
    """Render ``online`` or ``offline``; ``since`` is Unix seconds, None in a will."""
    at = None
    if since is not None:
        at = datetime.fromtimestamp(since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"state": state, "version": version, "since": at}).encode()
