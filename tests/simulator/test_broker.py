"""Brokers start on a free port and stop; the embedded one keeps its sessions."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from simulator import broker as brokers
from simulator.broker import Broker, BrokerError, choose
from simulator.link import Link
from tests.support.waiting import wait_for

pytestmark = pytest.mark.broker


class Subscriber:
    """A client with a persistent session that acknowledges as ``ack`` decides."""

    def __init__(self, port: int, ack: Callable[[int], bool]) -> None:
        self.got: list[tuple[int, bool, bool]] = []
        self._ack = ack
        self._up = threading.Event()
        self.session_present = False
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="sub",
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=False,
            manual_ack=True,
        )
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self._up.set()
        self.client.on_message = self._arrived
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._up.wait(60)

    def _connected(self, client: paho.Client, _data: object, flags: paho.ConnectFlags, *_: object) -> None:
        self.session_present = flags.session_present
        client.subscribe("s/#", 1)

    def _arrived(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.got.append((int(message.payload), message.dup, message.retain))
        if self._ack(len(self.got)):
            client.ack(message.mid, message.qos)

    def vanish(self) -> None:
        """End without a DISCONNECT."""
        sock = self.client.socket()
        self.client.loop_stop()
        assert sock is not None
        sock.close()
        self.client._reset_sockets()

    def wait_for(self, count: int) -> None:
        wait_for(lambda: len(self.got) >= count, 10, f"{count} messages", 0.01)
        assert len(self.got) == count


@pytest.mark.process
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_persistent_session_gets_what_it_is_owed(kind: str) -> None:
    """Unacknowledged messages come again and queued ones come at all, in order, none as a retained replay."""
    with Broker(kind=kind) as broker:
        first = Subscriber(broker.port, lambda count: count <= 20)
        sender = Link(host="127.0.0.1", port=broker.port, client_id="pub")
        sender.open(5)
        send(sender, range(50))
        first.wait_for(50)
        first.vanish()
        send(sender, range(50, 100))
        second = Subscriber(broker.port, lambda _: True)
        second.wait_for(80)
        assert second.session_present
        assert [number for number, _, _ in second.got] == list(range(20, 100))
        assert [dup for _, dup, _ in second.got] == [True] * 30 + [False] * 50
        assert not any(retain for _, _, retain in second.got)
        second.client.disconnect()
        second.client.loop_stop()
        sender.close()


def send(link: Link, numbers: range) -> None:
    for number in numbers:
        link.publish("s/a", str(number).encode())
    assert link.flush(5)


@pytest.mark.process
@pytest.mark.parametrize(("kind", "protocol"), [("mosquitto", "5"), ("embedded", "3.1.1")])
def test_link_speaks_the_newest_version_that_the_broker_knows(kind: str, protocol: str) -> None:
    """MQTT 5 where it is known, 3.1.1 where it is refused."""
    with Broker(kind=kind) as broker:
        for will in (None, "a/will"):
            link = Link(host="127.0.0.1", port=broker.port, client_id="x", will_topic=will, filters=["b/+"])
            link.open(5)
            assert link.protocol == protocol
            link.close()


@pytest.mark.process
@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_stop_ends_the_process_and_its_folder_goes(kind: str) -> None:
    """After the block no process and no file is left."""
    with Broker(kind=kind) as broker:
        assert broker.running
        folder = broker.folder
    assert not folder.exists()
    assert not broker.running


def test_mosquitto_keeps_its_sessions_in_the_folder(tmp_path: Path) -> None:
    """A folder given from outside survives a stop, with the broker's store in it."""
    broker = Broker(kind="mosquitto", folder=tmp_path).start()
    broker.stop(signal.SIGTERM)
    assert (tmp_path / "mosquitto.db").exists()
    broker.close()
    assert tmp_path.exists()


def test_environment_chooses_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGE_SIM_BROKER decides; without it Mosquitto is taken where there is one."""
    monkeypatch.setenv("EDGE_SIM_BROKER", "embedded")
    assert choose() == "embedded"
    monkeypatch.setenv("EDGE_SIM_BROKER", "hivemq")
    with pytest.raises(BrokerError, match="EDGE_SIM_BROKER is mosquitto or embedded"):
        choose()
    monkeypatch.delenv("EDGE_SIM_BROKER")
    assert choose() == "mosquitto"


def test_without_mosquitto_the_embedded_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Mosquitto gets the embedded broker, and a wish for Mosquitto names the remedy."""
    monkeypatch.delenv("EDGE_SIM_BROKER", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(brokers, "_SBIN", "")
    assert choose() == "embedded"
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        choose("mosquitto")


def test_port_in_use_is_one_line() -> None:
    """A broker that cannot listen reports the port."""
    with Broker(kind="mosquitto") as taken:
        other = Broker(kind="embedded", port=taken.port)
        with pytest.raises(BrokerError, match=f"port {taken.port} is taken"):
            other.start()
        other.close()
