"""CPU per decoded message (process time): ``python -m tests.decode.bench``."""

import time
import timeit

from agent.decode.metric_rules import MetricSettings
from agent.decode.registry import Registry, SourceSpec
from tests.decode.sparkplug_wire import payload

RULES = MetricSettings(exclude=("battery",), rename={"humidity": "h"}, ignore_values={"*": (85.0, -127.0)})
NOW = 1_782_475_200.0
CASES = {
    "bare number": ("sensors/th1/temperature", b"21.5"),
    "flat, 3 keys": ("flat/th1", b'{"temperature":21.53,"humidity":40.2,"battery":98}'),
    "flat, 3 keys, ts": ("flat/th1", b'{"ts":1782475200,"temperature":21.53,"humidity":40.2,"battery":98}'),
    "value, unit, ts": ("sensors/th1/t", b'{"value":21.53,"unit":"C","ts":1782475200123}'),
    "value, ISO time": ("sensors/th1/t", b'{"value":21.53,"time":"2026-06-26T12:00:00.123Z"}'),
    "nested, 3 values": ("flat/th1", b'{"bme":{"t":21.53,"h":40.2},"sys":{"rssi":-60}}'),
    "uplink of TTN": (
        "v3/a/devices/d/up",
        (
            b'{"end_device_ids":{"device_id":"d"},"uplink_message":{"f_cnt":1,"decoded_payload":{"temperature":21.5,'
            b'"humidity":40.2,"battery":98},"rx_metadata":[{"rssi":-35,"snr":5}],"settings":{"data_rate":{"lora":'
            b'{"bandwidth":125000}}},"received_at":"2026-06-26T12:00:00.123Z"}}'
        ),
    ),
    "Sparkplug, 10 metrics": (
        "spBv1.0/g/NDATA/n",
        payload(
            *[{"name": f"m{n}", "datatype": 9, "float_value": 21.3} for n in range(10)], at_ms=1782475200000
        ),
    ),
    "device in payload": ("by/x", b'{"model":"TFA","id":7,"temperature":21.53,"humidity":40.2}'),
    "metric rules": ("rules/th1", b'{"temperature":21.53,"humidity":40.2,"battery":98}'),
    "excluded": ("rules/x/set", b'{"temperature":21.53}'),
    "text only": ("flat/th1", b'{"action":"single"}'),
    "256 KiB of {}": ("flat/th1", b"[" + b",".join([b"{}"] * 87_000) + b"]"),
    "256 KiB of backlog": (
        "flat/th1",
        b"[" + b",".join([b'{"ts":1782475200,"temperature":21.5}'] * 4096) + b"]",
    ),
}


def main() -> None:
    registry = Registry(
        sources=[
            SourceSpec("sensors/{device}/{metric}"),
            SourceSpec("flat/{device}"),
            SourceSpec("v3/#"),
            SourceSpec("spBv1.0/#"),
            SourceSpec("by/{site}", device="{$.model}/{$.id}"),
            SourceSpec("rules/{name+}", exclude=("rules/{name+}/set",), metrics=RULES),
        ],
        base_topic="edge-agent/gw1",
    )
    for name, (topic, content) in CASES.items():

        def once(topic: str = topic, content: bytes = content) -> None:
            try:
                registry.decode(topic, content, NOW)
            except Exception as error:  # noqa: BLE001 - a refusal is a result here
                str(error)

        number = 2000 if len(content) < 1000 else 1
        best = min(timeit.repeat(once, number=number, repeat=12, timer=time.process_time)) / number
        print(f"{name:22} {best * 1e6:10.1f} us")


if __name__ == "__main__":
    main()
