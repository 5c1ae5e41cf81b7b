"""gRPC channels of the OTLP exporters: short replies, a monotonic clock."""

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc import exporter

MAX_REPLY = 65_536  # bytes; a collector's is a few, and gRPC would keep up to 4 MiB

#: Attempts are ours: gRPC's own, to a collector that ends each connection at once, took 950 MiB.
CHANNEL: Any = (("grpc.max_receive_message_length", MAX_REPLY), ("grpc.enable_retries", 0))

# The SDK takes the end of an export from the wall clock: set back by an hour, an export would take an hour.
exporter.time = time.monotonic  # type: ignore[attr-defined]


def read_replies(exporter: Any, read: Callable[[bytes], None]) -> None:
    """Let ``read`` have each reply of a collector: the SDK ignores its refusals."""
    make = exporter._stub  # noqa: SLF001 -- the only way to the reply; a new channel makes another stub

    def make_reading(channel: Any) -> Any:
        stub = make(channel)
        send = stub.Export

        def export(*args: Any, **options: Any) -> Any:
            reply = send(*args, **options)
            read(reply.SerializeToString())
            return reply

        stub.Export = export
        return stub

    exporter._stub = make_reading  # noqa: SLF001 -- as above
    exporter._client = make_reading(exporter._channel)  # noqa: SLF001 -- as above
