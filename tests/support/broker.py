"""A real Mosquitto on a free loopback port, for tests."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from simulator.broker import free
from tests.support.waiting import wait_for

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

WORKERS = 6  # of `make test`
PORTS = 2600  # of each
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw5").removeprefix("gw")) % WORKERS
FIRST_PORT = 16_000 + PORTS * _WORKER
_places = itertools.count(os.getpid())


def free_port() -> int:
    """Return a TCP port that is free, from this worker's own range below the ephemeral ports.

    The simulator's own asks the kernel for one. This way neither the other worker nor an outgoing connection
    takes it before it is used.
    """
    for _ in range(PORTS):
        port = FIRST_PORT + next(_places) % PORTS
        if free(port):
            return port
    raise RuntimeError(f"no port is free from {FIRST_PORT} on")


@dataclass
class Broker:
    """One Mosquitto process; ``extra`` lines go to the end of its configuration."""

    folder: Path
    extra: str = ""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "mosquitto.conf"
        path.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_interval 1\nautosave_on_changes true\n"
            "max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\nsys_interval 1\n"
            f"{self.extra}\n"
        )
        return path

    def start(self) -> "Broker":
        """Start and wait until it accepts connections."""
        if MOSQUITTO is None:
            raise RuntimeError("mosquitto is not installed: `make test` installs it")
        config = self.configure()
        log = (self.folder / "mosquitto.log").open("ab")
        # As root, Mosquitto would change to its own user, who may not write our folder.
        argv = [MOSQUITTO, "-c", str(config)]
        if os.getuid() == 0:
            with config.open("a") as file:
                file.write("user root\n")
        self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        log.close()
        wait_for(self._accepts, 10, "mosquitto accepts connections", 0.02)
        return self

    def _accepts(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError((self.folder / "mosquitto.log").read_text())
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for it."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(sig)
            self.process.wait(60)
            self.process = None
