"""Discovery on a real Home Assistant core.

`make test-ha` runs it and gives the core's interpreter as HA_PYTHON.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import REPO, AgentProcess
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

CORE = Path(__file__).with_name("core.py")
HARMLESS = ("zlib_ng and isal", "async_forward_entry_setups")  # of the machine, of the way it is started here
LIMIT_S = 40.0
TH1, AGENT = "edge_agent_gw_th1", "edge_agent_gw"


class Core:
    """A core on the broker of a test; its configuration outlives a restart."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker, self.log = folder, broker, folder / "core.log"
        folder.mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        argv = [os.environ["HA_PYTHON"], str(CORE), str(self.folder), str(self.broker.port), str(free_port())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self.log.read_text()[-3000:]
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def show(self, press: str = "") -> dict[str, Any]:
        """Return its entities' states by unique id, and its devices; press a button before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{press}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def state(self, key: str) -> str | None:
        """Return the state of an entity, None while there is none."""
        found = self.show()["states"].get(key)
        return None if found is None else str(found["state"])

    def warnings(self) -> list[str]:
        """Return what it complained of."""
        lines = self.log.read_text().splitlines()
        return [
            line
            for line in lines
            if line.startswith(("WARNING", "ERROR")) and not any(one in line for one in HARMLESS)
        ]


@pytest.fixture
def agent(tmp_path: Path, own_broker: Broker) -> Iterator[AgentProcess]:
    """An agent that announces itself, not started."""
    settings = {
        "homeassistant": {"discovery": True},
        "sources": [{"topic": "load/{device}"}],
        "limits": {"*/temperature": {"high": 30}},
        "review": {"window": {"max_readings": 2, "settle_s": 1}},
    }
    process = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    yield process
    process.kill()


def test_a_day_with_a_real_core(tmp_path: Path, own_broker: Broker, agent: AgentProcess) -> None:
    """Entities with the right states, over a broken limit, an agent that dies, and a restart of the core."""
    with peer(own_broker.port) as site, Core(tmp_path / "core", own_broker) as core:
        agent.start()
        wait_for(lambda: core.state(f"{AGENT}_connectivity") == "on", LIMIT_S, "the agent is there")
        assert "(monitor)" not in str(core.show()["devices"])
        send(site, "load/th1", *[json.dumps({"temperature": 21.0 + place / 10}) for place in range(2)])
        wait_for(lambda: core.state(f"{TH1}_problem") == "off", LIMIT_S, "the device has no problem")
        assert core.show()["devices"] == ["edge-agent gw", "th1 (monitor)"]
        assert core.state(f"{TH1}_event") == "unknown"

        send(site, "load/th1", *[json.dumps({"temperature": 80.0 + place}) for place in range(2)])
        wait_for(lambda: core.state(f"{TH1}_problem") == "on", LIMIT_S, "the limit is broken")
        now = core.show()["states"]
        assert float(now[f"{TH1}_score"]["state"]) >= 1
        assert now[f"{TH1}_event"]["attributes"]["event_type"] == "opened"
        assert "outside its configured limits" in now[f"{TH1}_problem"]["attributes"]["summary"]
        assert now[f"{TH1}_problem"]["attributes"]["device_class"] == "problem"
        for key, right in (("findings", "1"), ("state", "ok"), ("queue", "0"), ("spend", "0.0")):
            wait_for(lambda key=key, right=right: core.state(f"{AGENT}_{key}") == right, 80, key)  # type: ignore[misc]

        assert core.state(f"{AGENT}_pause") == "off"
        core.show(press=f"{AGENT}_pause")
        wait_for(lambda: core.state(f"{AGENT}_pause") == "on", LIMIT_S, "a switch pauses the model")
        assert agent.status()["ai"]["paused_until"] is not None
        core.show(press=f"{AGENT}_pause")
        wait_for(lambda: core.state(f"{AGENT}_pause") == "off", LIMIT_S, "and resumes it")

        core.show(press=f"{TH1}_ack")

        def known() -> bool:
            return [one["state"] for one in agent.status()["findings"]] == ["acknowledged"]

        wait_for(known, LIMIT_S, "a button acknowledges the finding")
        agent.kill()
        wait_for(lambda: core.state(f"{AGENT}_connectivity") == "off", LIMIT_S, "its last will")
        assert core.state(f"{TH1}_problem") == "unavailable"
        agent.start()
        wait_for(lambda: core.state(f"{TH1}_problem") == "on", LIMIT_S, "as before")
        assert core.warnings() == []
    with Core(tmp_path / "core", own_broker) as core:
        wait_for(lambda: core.state(f"{TH1}_problem") == "on", LIMIT_S, "again after its restart")
        assert core.warnings() == []

        agent.stop()
        done = subprocess.run(
            [sys.executable, "-m", "agent", "ha", "clean", "--config", str(agent.config_path)],
            capture_output=True, text=True, timeout=60, check=False, cwd=REPO,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        wait_for(lambda: core.show()["devices"] == [], LIMIT_S, "nothing of it is left")
        assert core.warnings() == []


def test_names_that_a_core_must_take(tmp_path: Path, own_broker: Broker, agent: AgentProcess) -> None:
    """Devices with other scripts, templates and long names become devices of the core."""
    names = ["Küche Fühler", "温度計", "{{ 1 }}", "a" * 200, "~x", 'x","y":"z', "_"]
    with peer(own_broker.port) as site, Core(tmp_path / "core", own_broker) as core:
        agent.start()
        wait_for(lambda: core.state(f"{AGENT}_connectivity") == "on", LIMIT_S, "the agent is there")
        for name in names:
            send(
                site, f"load/{name}", *[json.dumps({"temperature": 21.0 + place / 10}) for place in range(2)]
            )

        def problems() -> list[str]:
            return [one["state"] for key, one in core.show()["states"].items() if key.endswith("_problem")]

        wait_for(lambda: len(problems()) >= len(names), LIMIT_S, "each is a device")
        wait_for(lambda: set(problems()) == {"off"}, LIMIT_S, "each has a state")
        assert core.warnings() == []
