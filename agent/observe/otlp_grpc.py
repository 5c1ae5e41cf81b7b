"""gRPC channels of the OTLP exporters: short replies, a monotonic clock."""

import time
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc import exporter

MAX_REPLY = 65_536  # bytes; a collector's is a few, and gRPC would keep up to 4 MiB

CHANNEL: Any = (("grpc.max_receive_message_length", MAX_REPLY),)

# The SDK takes the end of an export from the wall clock: set back by an hour, an export would take an hour.
exporter.time = time.monotonic  # type: ignore[attr-defined]
