"""CPU per QoS 1 message, link and bare paho: `python -m tests.mqtt.bench_link`."""

import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.domain.records import Arrival, LinkDown, LinkUp
from agent.mqtt import LinkSettings, Subscription
from agent.mqtt.link import Link
from tests.mqtt.link_harness import peer
from tests.support.broker import Broker

GROUP = 256


def expiry() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = 500
    return properties


def bare(port: int, client_id: str, expected: int) -> float:
    """Drain with stock paho, acknowledged by paho itself; CPU seconds of the process."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    seen = 0

    def on_message(_client: paho.Client, _data: object, _message: paho.MQTTMessage) -> None:
        nonlocal seen
        seen += 1
        if seen == expected:
            client.disconnect()

    client.on_message = on_message
    if not expected:  # only make the session

        def on_connect(*_: object) -> None:
            client.subscribe("bench/#", qos=1)

        def on_subscribe(*_: object) -> None:
            client.disconnect()

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.connect("127.0.0.1", port, clean_start=False, properties=expiry())
    before = time.process_time()
    client.loop_forever()
    return time.process_time() - before


def ours(port: int, client_id: str, expected: int) -> float:
    """Drain with the link, acknowledged in groups from another thread; CPU seconds of the process."""
    waiting: list[tuple[int, int]] = []
    seen = 0

    def offer(items: Sequence[Arrival | LinkUp | LinkDown]) -> int:
        nonlocal seen, waiting
        for item in items:
            if isinstance(item, Arrival):
                waiting.append((item.generation, item.mid))
                seen += 1
        if len(waiting) >= GROUP or seen == expected:
            link.ack(waiting)
            waiting = []
        return len(items)

    link = Link(
        settings=LinkSettings(host="127.0.0.1", port=port, client_id=client_id, base_topic="bench-agent"),
        subscriptions=[Subscription("bench/#")],
        first_generation=1,
        store_connection=lambda generation: link.connection_stored(generation),  # noqa: PLW0108 - made below
        offer=offer,
        on_published=lambda *_: None,
        on_event=lambda _state: None,
        log=lambda *_args, **_values: None,
    )
    thread = threading.Thread(target=link.run)
    before = time.process_time()
    thread.start()
    while seen < expected:
        time.sleep(0.05)
    spent = time.process_time() - before
    link.stop(5)
    thread.join()
    return spent


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), "autosave_on_changes false").start()
        try:
            for client_id in ("bare", "ours"):
                bare(broker.port, client_id, 0)
            with peer(broker.port) as sender:
                for n in range(count):
                    info = sender.publish(
                        f"bench/device{n % 30}/temperature", f'{{"value": {n % 90}.5}}', qos=1
                    )
                info.wait_for_publish(60)
            for name, drain in (("bare", bare), ("ours", ours)):
                spent = drain(broker.port, name, count)
                print(f"{name}: {spent / count * 1e6:.1f} us of CPU for each of {count} messages")
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
