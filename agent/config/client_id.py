"""The client id at the broker."""

import os
from hashlib import blake2b
from pathlib import Path

from agent.config.sections import Config

_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def client_id_of(config: Config) -> str:
    """Return the configured client id, or one that differs between machines."""
    given = config.mqtt.client_id or f"edge-agent-{{id}}-{_machine_hash()}"
    return given.replace("{id}", config.name)


def _machine_hash() -> str:
    """Return 8 hex digits that differ between machines and stay the same over restarts."""
    for path in _MACHINE_IDS:
        try:
            raw = path.read_bytes().strip()
        except OSError:
            continue
        if raw:
            return blake2b(raw, digest_size=4).hexdigest()
    return blake2b(os.uname().nodename.encode(), digest_size=4).hexdigest()
