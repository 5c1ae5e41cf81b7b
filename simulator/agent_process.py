"""The agent as a child process: its configuration, its start, its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from simulator import scrape
from simulator.broker import free, free_port

STOP_LIMIT_S = 12.0  # the agent promises 9 s
EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_FAULT = 2, 69, 70


class AgentEndedError(Exception):
    """The agent ended by itself or never became ready; ``code`` is what the demo should exit with."""

    def __init__(self, text: str, code: int) -> None:
        self.code = code
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration that the agent is started with, and what the demo needs to know of it."""

    config: Mapping[str, Any]
    base_topic: str
    web: str  # http://host:port
    window_s: float
    model: str


def demo_config() -> Path:
    """Return ``configs/demo.yaml`` of the clone that this package runs from, or the one in the package."""
    package = Path(__file__).resolve().parent
    clone = package.parent / "configs" / "demo.yaml"
    return clone if clone.is_file() else package / "demo.yaml"


def plan(path: Path, *, state_dir: Path, broker_url: str, model_url: str | None) -> Plan:
    """Complete the configuration in ``path`` with addresses.

    Args:
        path: the agent's configuration, as far as it is the same everywhere.
        state_dir: where the agent keeps its journal.
        broker_url: ``mqtt://host:port``.
        model_url: the simulator's model; None for the one that the environment names.

    Raises:
        AgentEndedError: the file cannot be read.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise AgentEndedError(
            f"{path}: cannot be read: {' '.join(str(error).split())[:160]}", EXIT_USAGE
        ) from None
    ai = config.setdefault("ai", {})
    if model_url is not None:
        ai["base_url"] = model_url
    else:
        ai["base_url"] = os.environ.get("OPENAI_BASE_URL") or ai.get("base_url")
        ai["model"] = os.environ.get("OPENAI_MODEL") or ai.get("model", "gpt-4o-mini")
    agent = config.setdefault("agent", {})
    agent["state_dir"] = str(state_dir)
    agent.setdefault("id", "demo")
    config.setdefault("mqtt", {})["url"] = broker_url
    web = config.setdefault("web", {})
    web["listen"] = _free_address(str(web.get("listen", "127.0.0.1:8000")))
    base_topic = str(config["mqtt"].get("base_topic", "edge-agent/{id}")).replace("{id}", agent["id"])
    window_s = float(config.get("review", {}).get("window", {}).get("max_age_s", 60.0))
    return Plan(config, base_topic, f"http://{web['listen']}", window_s, str(ai.get("model", "gpt-4o-mini")))


class AgentProcess:
    """``python -m agent run`` in a session of its own, its log in a file."""

    def __init__(
        self, *, plan: Plan, folder: Path, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._plan = plan
        self._environment = environment
        self._log = folder / "agent.log"
        self._config = folder / "agent.yaml"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Write the configuration and start."""
        self._config.write_text(yaml.safe_dump(dict(self._plan.config), sort_keys=False), encoding="utf-8")
        self._config.chmod(0o600)
        # Settings of the machine's own agent have no place in the demo.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("EDGE_AGENT_")
        } | dict(self._environment)
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
            )

    def ready(self) -> bool:
        """Return whether ``/readyz`` reports ready.

        Raises:
            AgentEndedError: it ended.
        """
        self.check()
        return scrape.get(f"{self._plan.web}/readyz", 1.0) is not None

    def check(self) -> None:
        """Raise when the process has ended.

        Raises:
            AgentEndedError: with its last line of output.
        """
        code = None if self._process is None else self._process.poll()
        if code is not None:
            known = code in {EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_FAULT}
            raise AgentEndedError(
                f"the agent ended with exit code {code}: {self.last_words()}", code if known else EXIT_FAULT
            )

    def last_words(self) -> str:
        """Return the last line of its log, cut to a readable length."""
        try:
            lines = self._log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it printed nothing"

    def stop(self) -> int | None:
        """End it with SIGTERM, by force after its promised limit; returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
        return process.wait(STOP_LIMIT_S)


def _free_address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    return listen if port.isdigit() and free(int(port)) else f"{host}:{free_port()}"
