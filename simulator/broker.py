"""A broker on a free loopback port: Mosquitto if installed, else the embedded one.

``EDGE_SIM_BROKER=mosquitto|embedded`` chooses by hand.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
_SBIN = "/usr/sbin:/usr/local/sbin"  # where Debian puts it, and not on every user's PATH


class BrokerError(Exception):
    """No broker could be started; the text is one line with the remedy."""


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def free(port: int) -> bool:
    """Return whether a loopback port can be listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(wish: str | None = None) -> str:
    """Return ``mosquitto`` or ``embedded``: the wish, else the environment's, else what there is.

    Raises:
        BrokerError: an unknown wish, or what is wished for is not there.
    """
    wish = wish or os.environ.get("EDGE_SIM_BROKER") or "auto"
    if wish not in {"auto", "mosquitto", "embedded"}:
        raise BrokerError(f"no broker {wish!r}; EDGE_SIM_BROKER is mosquitto or embedded")
    if wish != "embedded" and mosquitto() is not None:
        return "mosquitto"
    if wish == "mosquitto":
        raise BrokerError("Mosquitto is neither on the PATH nor in /usr/sbin; apt-get install mosquitto")
    if importlib.util.find_spec("amqtt") is None:
        raise BrokerError("no broker: install Mosquitto, or the embedded one with the extra 'demo'")
    return "embedded"


def mosquitto() -> str | None:
    """Return where Mosquitto is, None if nowhere."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SBIN)


class Broker:
    """One broker process with a folder of its own. Usable as a context manager."""

    def __init__(
        self, *, kind: str | None = None, port: int | None = None, folder: Path | None = None
    ) -> None:
        self.kind = choose(kind)
        self.port = port or free_port()
        self._made = None if folder else tempfile.TemporaryDirectory(prefix="edge-sim-broker-")
        self.folder = folder or Path(self._made.name if self._made else ".")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for ``mqtt.url``."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def words(self) -> str:
        """The kind of broker, for a person."""
        return "Mosquitto" if self.kind == "mosquitto" else "embedded (amqtt, MQTT 3.1.1)"

    def start(self) -> Self:
        """Start the process and wait until it accepts connections.

        Raises:
            BrokerError: the port is taken, it ended or did not accept within 15 s.
        """
        if not free(self.port):
            raise BrokerError(f"port {self.port} is taken, so {self.words} cannot listen there")
        log = self.folder / "broker.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
            )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5):
                return self
            time.sleep(0.02)
        self.stop()
        tail = " ".join(log.read_text(errors="replace").split())[-200:]
        raise BrokerError(f"{self.words} did not start on port {self.port}: {tail or 'it printed nothing'}")

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process, by force after 5 s. The messages of persistent sessions stay in the folder."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_LIMIT_S)

    def close(self) -> None:
        """Stop and remove the folder, if it was made here."""
        self.stop()
        if self._made is not None:
            self._made.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        if self.kind == "embedded":
            return [sys.executable, "-m", "simulator.embedded", str(self.port)]
        config = self.folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 60",
            "max_inflight_messages 0",
            "max_queued_messages 100000",
            "set_tcp_nodelay true",
        ]
        if os.getuid() == 0:
            lines.append("user root")  # else it becomes a user who may not write the folder
        config.write_text("\n".join(lines) + "\n")
        return [mosquitto() or "mosquitto", "-c", str(config)]
