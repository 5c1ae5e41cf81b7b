"""The reference: paho with automatic acknowledgements and a counting callback."""

import argparse
import signal
import sys
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.benchmarks.backlog import FILTER, connect_properties

CLIENT_ID = "bare"


def main() -> None:
    """Count until SIGTERM; report when subscribed and when all messages are there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    count = 0

    def arrived(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            print("first", flush=True)
        if count == args.count:
            print("done", flush=True)

    def connected(client: paho.Client, *_: Any) -> None:
        client.subscribe(FILTER, qos=1)

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=MQTTProtocolVersion.MQTTv5
    )
    client.on_connect = connected
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    client.on_message = arrived
    client.connect("127.0.0.1", args.port, clean_start=False, properties=connect_properties())
    client.loop_forever()


if __name__ == "__main__":
    main()
