"""A Mosquitto with the shipped configuration and ACL, its files in a folder."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.broker import Broker
from tests.support.waiting import wait_for

FILES = Path(__file__).resolve().parents[2] / "configs" / "mosquitto"
USERS = ("agent-gw1", "dashboard", "th1", "th2")


@dataclass
class ShippedBroker(Broker):
    """Included by a configuration like Debian's. Users have their own name as password."""

    users: Sequence[str] = USERS
    acl: str = field(default_factory=(FILES / "edge-agent.acl").read_text)

    def configure(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        passwords = self.folder / "edge-agent.passwords"
        passwords.write_text("".join(f"{user}:{user}\n" for user in self.users))
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, timeout=60)
        (self.folder / "edge-agent.acl").write_text(self.acl)
        shipped = (FILES / "edge-agent.conf").read_text().replace("/etc/mosquitto", str(self.folder))
        (self.folder / "conf.d").mkdir(exist_ok=True)
        (self.folder / "conf.d" / "edge-agent.conf").write_text(shipped)
        path = self.folder / "mosquitto.conf"
        # As Debian's own file: it sets `persistence` too, and includes the files of a folder.
        path.write_text(
            f"listener {self.port} 127.0.0.1\nsys_interval 1\npersistence true\n"
            f"persistence_location {self.folder}/\nlog_dest file {self.folder}/own.log\n"
            f"include_dir {self.folder}/conf.d\n"
        )
        return path


class User:
    """A connected MQTT 5 client; ``got`` holds the topics of the received messages."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.got: list[str] = []
        self._codes: dict[int, int] = {}
        self._granted: dict[int, int] = {}
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"user-{name}", protocol=MQTTv5)
        client.username_pw_set(name, name)
        client.on_message = lambda _client, _data, message: self.got.append(message.topic)
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        self._client = client
        wait_for(client.is_connected, 5, f"{name} is connected", 0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str) -> int:
        """Publish at QoS 1 and return the reason code."""
        mid = self._client.publish(topic, "1", qos=1).mid
        return self._answer(self._codes, mid, f"PUBACK for {topic}")

    def retain(self, topic: str) -> None:
        """Publish retained, at QoS 1."""
        self._client.publish(topic, "1", qos=1, retain=True).wait_for_publish(60)

    def subscribe(self, topic: str) -> int:
        """Subscribe at QoS 1 and return the reason code."""
        mid = self._client.subscribe(topic, qos=1)[1]
        assert mid is not None
        return self._answer(self._granted, mid, f"SUBACK for {topic}")

    def _answer(self, answers: dict[int, int], mid: int, what: str) -> int:
        wait_for(lambda: mid in answers, 5, what, 0.005)
        return answers[mid]

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._codes[mid] = reason.value

    def _on_subscribe(self, _client: Client, _data: Any, mid: int, codes: Any, _properties: Any) -> None:
        self._granted[mid] = codes[0].value
