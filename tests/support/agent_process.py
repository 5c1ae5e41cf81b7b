"""The agent as a real process with a generated configuration."""

import copy
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.support.broker import free_port
from tests.support.waiting import PATIENCE, wait_for

REPO = Path(__file__).resolve().parents[2]
START_LIMIT_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# A developer's own settings have no place in a test, and each start would compile everything again.
_KEPT_OUT = (
    "EDGE_AGENT_", "OPENAI_", "OTEL_", "NOTIFY_SOCKET", "WATCHDOG_", "CREDENTIALS_DIRECTORY",
    "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ChildError(Exception):
    """A process did not do what was waited for; the text holds the end of its log."""


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid over it, section by section."""
    out = copy.deepcopy(dict(base))
    for key, value in over.items():
        deeper = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], value) if deeper else value
    return out


class Child:
    """A Python process whose output goes to a file. It may be started again after its end."""

    def __init__(self, *, argv: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.argv = [sys.executable, *argv]
        self.environ = dict(environ or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start; what it writes is added to the log."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_KEPT_OUT)}
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environ | {"PYTHONUNBUFFERED": "1"} | self.environ,
                cwd=REPO,
            )
        return self

    @property
    def pid(self) -> int:
        """Process id; fails before the first start."""
        if self._process is None:
            raise ChildError("not started")
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code, None while it runs; minus the signal that ended it."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether it was started and lives."""
        return self._process is not None and self.code is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, limit_s: float) -> int:
        """Wait for its end and return the exit code; fail after ``PATIENCE`` times ``limit_s``."""
        if self._process is None:
            raise ChildError("not started")
        try:
            return self._process.wait(PATIENCE * limit_s)
        except subprocess.TimeoutExpired:
            raise ChildError(
                f"still runs after {PATIENCE * limit_s:g} s; its log ends:\n{self.tail()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running:
            self.send(signal.SIGKILL)
            self.wait(10)

    def stop(self, limit_s: float = 12.0) -> int:
        """SIGTERM; return the exit code. Fail after ``limit_s``."""
        if self.running:
            self.send(signal.SIGTERM)
        return self.wait(limit_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # ------------------------------------------------------------------------------ its output

    def text(self) -> str:
        """Return all that it wrote."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 20) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self.text().splitlines()[-lines:])

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return its JSON log lines, all or those of one event."""
        found = []
        for line in self.text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and name in (None, entry.get("event")):
                found.append(entry)
        return found

    # ------------------------------------------------------------------------------ what it uses

    def cpu_s(self) -> float:
        """User and system time of all its threads, s."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_mib(self) -> float:
        """Resident memory now, MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE / 2**20

    def peak_rss_mib(self) -> float:
        """Highest resident memory since its start (VmHWM), MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise ChildError(f"process {self.pid} is gone")

    def threads(self) -> int:
        """Number of its threads."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def descriptors(self) -> int:
        """Number of its open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def maps(self, *parts: str) -> bool:
        """Return whether a mapped file has one of ``parts`` in its path: a loaded extension module."""
        lines = Path(f"/proc/{self.pid}/maps").read_text().splitlines()
        paths = {line.split(maxsplit=5)[-1] for line in lines}
        return any(part in path for part in parts for path in paths)


class AgentProcess(Child):
    """``python -m agent run`` in a folder of its own; ``settings`` are laid over small test defaults."""

    def __init__(
        self,
        folder: Path,
        *,
        broker_url: str,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config_path = folder / "agent.yaml"
        self.port = free_port()
        self.settings = merge(self._defaults(broker_url), settings or {})
        super().__init__(
            argv=["-m", "agent", "run", "--config", str(self.config_path)],
            log=folder / "agent.log",
            environ=environ,
        )

    def _defaults(self, broker_url: str) -> dict[str, Any]:
        return {
            "agent": {"id": "gw", "state_dir": str(self.folder / "state")},
            "mqtt": {"url": broker_url},
            "sources": [{"topic": "load/{device}"}],
            "review": {
                "mode": "none",
                "window": {"max_age_s": 2, "max_readings": 20, "settle_s": 0.5},
                "batch": {"max_wait_s": 0.2},
            },
            "web": {"listen": f"127.0.0.1:{self.port}"},
        }

    @property
    def state_dir(self) -> Path:
        """Where its journal is."""
        return Path(self.settings["agent"]["state_dir"])

    @property
    def journal(self) -> Path:
        """Its journal's file."""
        return self.state_dir / "journal.sqlite"

    @property
    def base_topic(self) -> str:
        """Its own topic root."""
        template: str = self.settings["mqtt"].get("base_topic", "edge-agent/{id}")
        return template.replace("{id}", self.settings["agent"]["id"])

    def start(self) -> Self:
        """Write the configuration as it is now, and start."""
        self.config_path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        self.config_path.chmod(0o600)
        return super().start()

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, str]:
        """Return status and body of an address of its web port; status 0 when nobody answers."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except (urllib.error.URLError, OSError):
            return 0, ""

    def status(self) -> dict[str, Any]:
        """Return ``/status.json``; asked again while the agent is too busy to answer."""
        found: dict[str, Any] = {}

        def answered() -> bool:
            code, body = self.get("/status.json")
            if code not in (200, 503):
                raise ChildError(f"/status.json answered {code}: {body[:200]}")
            found.update(json.loads(body) if code == 200 else {})
            return code == 200

        wait_for(answered, what="/status.json is answered")
        return found

    def is_ready(self) -> bool:
        """Return whether ``/readyz`` answers 200; fail when the process has ended."""
        if not self.running:
            raise ChildError(f"the agent ended with exit code {self.code}; its log ends with:\n{self.tail()}")
        return self.get("/readyz")[0] == 200

    def wait_ready(self, limit_s: float = START_LIMIT_S) -> Self:
        """Wait until it is ready."""
        wait_for(self.is_ready, limit_s, "the agent is ready")
        return self

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.wait_ready()
        except BaseException:
            self.kill()
            raise
