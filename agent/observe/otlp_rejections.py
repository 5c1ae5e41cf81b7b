"""Things that a collector refuses in a reply that is otherwise a success."""

MAX_REASON = 200


class Rejections:
    """Keeps what the last reply of one signal refused, until it is taken."""

    def __init__(self) -> None:
        self._last = (0, "")

    def read(self, body: bytes) -> None:
        """Note the partial success of a reply in bytes; another text has none."""
        self._last = _partial(body) if body else (0, "")

    def take(self) -> tuple[int, str]:
        """Return how many spans, points or records were refused, and why, and forget it."""
        last, self._last = self._last, (0, "")
        return last


def _partial(body: bytes) -> tuple[int, str]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 -- most replies are empty
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 -- as above
        ExportTraceServiceResponse,
    )

    try:  # the replies for spans, metrics and logs are the same on the wire
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return 0, ""
    reason = "".join(char if char.isprintable() else " " for char in partial.error_message[:MAX_REASON])
    return max(0, partial.rejected_spans), reason
