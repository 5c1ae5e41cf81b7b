"""Bare paho with ``json.loads``: a count and the last value of each topic."""

import argparse
import json
import signal
import sys
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


def main() -> None:
    """Count until SIGTERM; print the count at SIGUSR1. ``--lose N`` drops each Nth message, as a control."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--filter", required=True)
    parser.add_argument("--lose", type=int, default=0)
    args = parser.parse_args()
    count = 0
    values: dict[str, float] = {}

    def take(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        nonlocal count
        count += 1
        values[message.topic] = json.loads(message.payload)["value"]

    def take_most(client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        if message.mid % args.lose:
            take(client, data, message)

    def connected(client: paho.Client, *_: Any) -> None:
        client.subscribe(args.filter, qos=1)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGUSR1, lambda *_: print(f"count {count}", flush=True))
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = connected
    client.on_message = take_most if args.lose else take
    client.connect("127.0.0.1", args.port)
    client.loop_forever()


if __name__ == "__main__":
    main()
