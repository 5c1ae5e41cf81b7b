"""The surroundings of the agent in the booted machine: devices, model, observers."""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.deployment.container import CHECKOUT, Container
from tests.support.waiting import wait_for

HERE = Path(__file__).resolve().parent
PLANT = """\
listener 1884 127.0.0.1
allow_anonymous true
connection plant
address 127.0.0.1:1883
remote_clientid plant
remote_username room-1
remote_password a-password
notifications false
bridge_protocol_version mqttv50
topic sensors/# out 1
"""
MODEL = "http://127.0.0.1:8099/v1"


class Devices:
    """The simulator's devices on a broker of their own, which passes them on under the login ``room-1``."""

    def __init__(
        self, machine: Container, folder: Path, *, speed: float = 1.0, interval_s: float = 1.0
    ) -> None:
        self._machine, self._folder, self._speed = machine, folder, speed
        self._interval_s = interval_s
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        scenario = (
            (HERE / "site.yaml").read_text().replace("interval_s: 1", f"interval_s: {self._interval_s}")
        )
        (self._machine.root / "root/site.yaml").write_text(scenario)
        (self._machine.root / "root/plant.conf").write_text(PLANT)
        run = f"exec edge-sim run /root/site.yaml --broker mqtt://127.0.0.1:1884 --speed {self._speed}"
        self._running = [
            self._machine.start("exec mosquitto -c /root/plant.conf", self._folder / "plant.log"),
            self._machine.start(run, self._folder / "devices.log"),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._running)


class Model:
    """The simulator's model endpoint."""

    def __init__(self, machine: Container, folder: Path) -> None:
        self._machine, self._folder = machine, folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        log = self._folder / "model.log"
        self._running = [self._machine.start("exec edge-sim model --port 8099", log)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._running)


def stop(running: list["subprocess.Popen[bytes]"]) -> None:
    """End what :meth:`Container.start` began, the newest first. nsenter became the command by exec."""
    for process in reversed(running):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


class Look:
    """Asks the machine about its agent."""

    def __init__(self, machine: Container) -> None:
        self._machine = machine

    def main_pid(self) -> int:
        """Return the service's main process, as the machine counts them; 0 when there is none."""
        return int(self._machine.run("systemctl show -P MainPID edge-agent").strip() or 0)

    def active(self) -> bool:
        """Return whether systemd calls the service active."""
        return self._machine.run("systemctl is-active edge-agent", check=False).strip() == "active"

    def status(self) -> dict[str, Any]:
        """Return ``/status.json``; empty while nobody answers."""
        text = self._machine.run("curl -s -m 5 http://127.0.0.1:8000/status.json", check=False)
        try:
            value: dict[str, Any] = json.loads(text)
        except ValueError:
            return {}
        return value

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples in one scrape."""
        text = self._machine.run("curl -s -m 5 http://127.0.0.1:8000/metrics", check=False)
        lines = [line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def doctor(self) -> dict[str, Any]:
        """Return the output of ``edge-agent doctor --ai --json``."""
        value: dict[str, Any] = json.loads(self._machine.run("edge-agent doctor --ai --json", check=False))
        return value

    def rows(self, table: str) -> int:
        """Count the rows of a journal's table, read-only, with the machine's Python."""
        code = (
            "import sqlite3; "
            "c = sqlite3.connect('file:/var/lib/edge-agent/journal.sqlite?mode=ro', uri=True); "
            f"print(c.execute('SELECT count(*) FROM {table}').fetchone()[0])"
        )
        return int(self._machine.run(f'python3 -c "{code}"'))

    def wait_active(self, limit_s: float = 60) -> None:
        """Wait until the service is active and answers."""
        wait_for(
            lambda: self.active() and self.metric("edge_build_info") == 1, limit_s, "the service answers", 0.5
        )

    def wait_metric(self, name: str, least: float, limit_s: float) -> None:
        """Wait until a metric has reached ``least``."""
        wait_for(lambda: self.metric(name) >= least, limit_s, f"{name} >= {least:g}", 1.0)


def configure(machine: Container, **changes: str) -> None:
    """Replace lines of the configuration: ``key="whole line"``, the first line with this key."""
    path = machine.root / "etc/edge-agent/agent.yaml"
    lines = path.read_text().splitlines()
    for key, line in changes.items():
        places = [number for number, old in enumerate(lines) if old.strip().startswith(f"{key}:")]
        lines[places[0]] = line
    path.write_text("\n".join(lines) + "\n")


def commit_version(machine: Container, version: str, *, broken: bool = False) -> None:
    """Commit another version where the checkout was cloned from."""
    source = "/root/source"
    old = machine.run(f"sed -n 's/^__version__ = .\\(.*\\).$/\\1/p' {source}/agent/__init__.py").strip()
    machine.run(f'sed -i \'s/"{old}"/"{version}"/\' {source}/agent/__init__.py')
    if broken:
        machine.run(f"echo 'raise SystemExit(1)' >> {source}/agent/app/app.py")
    git = f"git -C {source} -c user.name=x -c user.email=x@localhost"
    machine.run(f"{git} commit -q -a -m 'Version {version}'")


def clone(machine: Container, repo: Path) -> None:
    """Clone the repository into the machine, with a source that ``git pull`` asks."""
    source = machine.root / "root/source"
    subprocess.run(["git", "clone", "-q", "--no-local", str(repo), str(source)], check=True)
    machine.run(f"chown -R root:root /root/source && git clone -q /root/source {CHECKOUT}")
