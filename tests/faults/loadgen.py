"""The load generator: QoS 1, numbered per device, with logs of intents and acks.

The logs are lines of ``device number time`` and ``device number reason_code time``; the checker reads nothing
else of it.
"""

import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.faults.lines import Lines
from tests.faults.workload import Key, devices_of, payload_of, topic_of

MAX_UNACKED = 4000
STEP_S = 0.01


class LoadGenerator:
    """Publishes ``rate`` messages/s over ``devices`` in turn, in a thread of its own.

    Args:
        port: of the broker.
        folder: for the two logs.
        rate: messages/s.
        devices: their number.
        payloads: their kind (:data:`tests.faults.workload.PAYLOADS`).
        client_id: of its durable session.
    """

    def __init__(
        self,
        *,
        port: int,
        folder: Path,
        rate: float,
        devices: int,
        payloads: str = "unique",
        client_id: str = "loadgen",
    ) -> None:
        self._port = port
        self._rate = rate
        self._devices = devices_of(payloads, devices)
        self._intents = Lines(folder / "intents.log")
        self._acks = Lines(folder / "acks.log")
        self._answers: deque[tuple[int, int, float]] = deque()  # packet id, reason code, time
        self._waiting: dict[int, Key] = {}  # packet id -> message
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loadgen", daemon=True)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._client.on_publish = self._published
        self._error: BaseException | None = None
        self.sent = 0
        self.acked = 0

    def start(self) -> Self:
        """Connect and begin."""
        self._intents.open()
        self._acks.open()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()
        self._thread.start()
        return self

    def pause(self) -> None:
        """Send nothing until :meth:`resume`."""
        self._pause.set()

    def resume(self) -> None:
        """Send again; what was missed is not made up for."""
        self._pause.clear()

    def finish(self, limit_s: float) -> int:
        """Send no more, wait for the acks that the broker still owes, and return how many acks never came."""
        self._stop.set()
        self._thread.join(limit_s)
        deadline = time.monotonic() + limit_s
        self._note_acks()
        while self._waiting and time.monotonic() < deadline:
            time.sleep(0.02)
            self._note_acks()
        self._client.disconnect()
        self._client.loop_stop()
        self._intents.close()
        self._acks.close()
        if self._error is not None:
            raise self._error
        return len(self._waiting)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._intents.is_open:
            self.finish(0.0 if kind is not None else 10.0)

    def _run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # noqa: BLE001 - passed to the caller by finish()
            self._error = error

    def _send_all(self) -> None:
        begun, due, lost_link = time.monotonic(), 0, False
        while not self._stop.is_set():
            time.sleep(STEP_S)
            self._note_acks()
            # After a reconnect what was in flight is sent again: what is new must not overtake it.
            lost_link = not self._connected.is_set() or (lost_link and bool(self._waiting))
            if self._pause.is_set() or lost_link or len(self._waiting) >= MAX_UNACKED:
                begun, due = time.monotonic(), 0
                continue
            wanted = int((time.monotonic() - begun) * self._rate)
            for _ in range(wanted - due):
                turn, place = divmod(self.sent, len(self._devices))
                self._send(Key(self._devices[place], turn + 1))
            due = wanted

    def _send(self, key: Key) -> None:
        self._intents.write(f"{key.device} {key.number} {time.time():.6f}")
        info = self._client.publish(topic_of(key.device), payload_of(key), qos=1)
        self._waiting[info.mid] = key
        self.sent += 1

    def _published(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        # May run before publish() has returned the packet id, so it is only noted here.
        self._answers.append((mid, int(reason.value), time.time()))

    def _note_acks(self) -> None:
        for _ in range(len(self._answers)):
            mid, code, at = self._answers.popleft()
            key = self._waiting.pop(mid, None)
            if key is None:  # publish() has not returned yet
                self._answers.append((mid, code, at))
                continue
            self._acks.write(f"{key.device} {key.number} {code} {at:.6f}")
            self.acked += 1
