"""Queued messages after the end of the broker: Debian's default, the shipped file.

For each case a fresh Mosquitto gets a persistent session that goes away, then N messages at QoS 1, all
acknowledged. The broker is ended, started again, and the session comes back to count what is left.

    python -m tests.benchmarks.broker_survival [--messages 3000] [--wait 63]
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.broker import Broker

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "mosquitto" / "edge-agent.conf"
#: As Debian 12 ships it: everything else is Mosquitto's own default.
DEBIAN = "persistence true\n"
EACH_CHANGE = "autosave_on_changes true\nautosave_interval 1\n"
OWN = ("allow_anonymous", "password_file", "acl_file")  # the bench's clients have no names
TOPIC = "survival/readings"
LIMIT_S = 60.0


@dataclass
class PlainBroker(Broker):
    """A Mosquitto with ``text`` as its configuration, in addition to listener and folder."""

    text: str = ""

    def configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "mosquitto.conf"
        path.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
            f"persistence_location {self.folder}/\n{self.text}"
        )
        return path

    def save(self) -> None:
        """Have it write its state now, as ``systemctl kill -s USR1 mosquitto`` does."""
        file = self.folder / "mosquitto.db"
        before = file.stat().st_mtime_ns if file.exists() else 0
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)
        until(lambda: file.exists() and file.stat().st_mtime_ns > before, "the broker has saved")


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    end: signal.Signals
    save_session: bool = False  # SIGUSR1 once after the session was made, as in the installation
    wait: bool = False  # for the next autosave


def shipped() -> str:
    """Return the shipped configuration without its users."""
    lines = SHIPPED.read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith(OWN)) + "\n"


def cases() -> list[Case]:
    """Return what is compared."""
    ours = shipped()
    return [
        Case("Debian's default, SIGTERM", DEBIAN, signal.SIGTERM),
        Case("Debian's default, kill -9", DEBIAN, signal.SIGKILL),
        Case("Debian's default, kill -9 a minute later", DEBIAN, signal.SIGKILL, wait=True),
        Case("shipped, SIGTERM", ours, signal.SIGTERM, save_session=True),
        Case("shipped, kill -9 at once", ours, signal.SIGKILL, save_session=True),
        Case("shipped with autosave_on_changes 1, kill -9", f"{ours}{EACH_CHANGE}", signal.SIGKILL),
        Case("shipped, kill -9 a minute later", ours, signal.SIGKILL, save_session=True, wait=True),
    ]


def until(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.02)


def client(broker: Broker, name: str, *, expiry_s: int = 0) -> Client:
    """Return a connected client with its own thread; its session outlives it by ``expiry_s``."""
    made = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTv5)
    made.max_inflight_messages_set(100)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
    properties.SessionExpiryInterval = expiry_s
    made.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
    made.loop_start()
    until(made.is_connected, f"{name} is connected")
    return made


def leave(one: Client) -> None:
    """Disconnect and end the thread."""
    one.disconnect()
    one.loop_stop()


def run(case: Case, messages: int, wait_s: float, folder: Path) -> tuple[bool, int, float]:
    """Return whether the session was there again, how many messages came, and s that publishing took."""
    broker = PlainBroker(folder, text=case.text)
    broker.start()
    try:
        subscribed = []
        absent = client(broker, "absent", expiry_s=86_400)
        absent.on_subscribe = lambda *_: subscribed.append(True)
        absent.subscribe(TOPIC, qos=1)
        until(lambda: subscribed, "SUBACK")
        leave(absent)
        if case.save_session:
            broker.save()
        took_s = publish(broker, messages)
        if case.wait:
            time.sleep(wait_s)
        broker.stop(case.end)
        broker.start()
        return (*collect(broker, messages), took_s)
    finally:
        broker.stop()


def publish(broker: Broker, messages: int) -> float:
    """Publish at QoS 1 until all are acknowledged; return the seconds."""
    sender = client(broker, "sender")
    started = time.monotonic()
    sent = [sender.publish(TOPIC, str(number), qos=1) for number in range(messages)]
    for one in sent:
        one.wait_for_publish(LIMIT_S)
    took_s = time.monotonic() - started
    leave(sender)
    return took_s


def collect(broker: Broker, messages: int) -> tuple[bool, int]:
    """Come back and count what the session holds, until nothing more has come for a second."""
    present: list[bool] = []
    got: set[bytes] = set()
    last = time.monotonic()

    def take(_client: Client, _data: object, message: object) -> None:
        nonlocal last
        got.add(bytes(message.payload))  # type: ignore[attr-defined]  # paho's message
        last = time.monotonic()

    back = Client(CallbackAPIVersion.VERSION2, client_id="absent", protocol=MQTTv5)
    back.on_connect = lambda _c, _d, flags, _r, _p: present.append(bool(flags.session_present))
    back.on_message = take
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
    properties.SessionExpiryInterval = 0
    properties.ReceiveMaximum = 500
    back.connect("127.0.0.1", broker.port, clean_start=False, properties=properties)
    back.loop_start()
    until(lambda: len(got) == messages or time.monotonic() - last > 1.0, "all or nothing more")
    leave(back)
    return bool(present and present[0]), len(got)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description="What survives the end of the broker.")
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--wait", type=float, default=63.0, help="s until the kill, where a case waits")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    args = parser.parse_args(argv)
    print(f"{args.messages} messages at QoS 1, all acknowledged, queued for an absent persistent session")
    print(f"{'':<46}{'session':>9}{'delivered':>11}{'lost':>7}{'publishing':>12}")
    for case in (case for case in cases() if args.only in case.name):
        with tempfile.TemporaryDirectory() as folder:
            present, delivered, took_s = run(case, args.messages, args.wait, Path(folder) / "broker")
        kept = "kept" if present else "gone"
        lost = args.messages - delivered
        print(f"{case.name:<46}{kept:>9}{delivered:>11}{lost:>7}{took_s:>10.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
