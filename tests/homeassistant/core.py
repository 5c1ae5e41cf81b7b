"""A real Home Assistant core with its MQTT integration alone.

Usage, with the core's own interpreter: ``python core.py FOLDER BROKER_PORT HTTP_PORT``. Each line on
standard input asks for the ``states`` by unique id and the names of the ``devices``, one line of JSON; a line
with the unique id of a button or a switch has it pressed before.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

from homeassistant import auth, bootstrap, loader  # type: ignore[import-not-found]
from homeassistant.config_entries import SOURCE_USER, ConfigEntries, ConfigEntry  # type: ignore[import-not-found]
from homeassistant.core import HomeAssistant  # type: ignore[import-not-found]
from homeassistant.helpers import device_registry, entity_registry  # type: ignore[import-not-found]
from homeassistant.setup import async_setup_component  # type: ignore[import-not-found]


async def start(folder: str, port: int, http: int) -> HomeAssistant:
    """Return a running core that is connected to the broker on ``port``."""
    hass = HomeAssistant(folder)
    hass.config.skip_pip = True
    hass.config_entries = ConfigEntries(hass, {})
    loader.async_setup(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    entry = ConfigEntry(
        data={"broker": "127.0.0.1", "port": port},
        options={},
        domain="mqtt",
        title="broker",
        source=SOURCE_USER,
        unique_id=None,
        version=1,
        minor_version=2,
        discovery_keys=MappingProxyType({}),
        subentries_data=None,
    )
    hass.config_entries._entries[entry.entry_id] = entry
    await async_setup_component(hass, "mqtt", {"http": {"server_host": ["127.0.0.1"], "server_port": http}})
    await hass.async_start()
    return hass


def show(hass: HomeAssistant) -> dict[str, Any]:
    """Return the states and the devices."""
    known = entity_registry.async_get(hass).entities.values()
    states = {one.unique_id: hass.states.get(one.entity_id) for one in known}
    return {
        "states": {
            key: {"state": one.state, "attributes": dict(one.attributes), "entity": one.entity_id}
            for key, one in states.items()
            if one is not None
        },
        "devices": sorted(str(one.name) for one in device_registry.async_get(hass).devices.values()),
    }


async def main() -> None:
    """Answer until standard input ends."""
    logging.basicConfig(level=logging.WARNING)
    hass = await start(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if key := line.strip():
            find = entity_registry.async_get(hass).async_get_entity_id
            button, switch = (find(domain, "mqtt", key) for domain in ("button", "switch"))
            domain, press = ("button", "press") if button else ("switch", "toggle")
            await hass.services.async_call(domain, press, {"entity_id": button or switch}, blocking=True)
        print(json.dumps(show(hass), default=str), flush=True)
    await hass.async_stop(force=True)


if __name__ == "__main__":
    Path(sys.argv[1], "configuration.yaml").touch()
    asyncio.run(main())
