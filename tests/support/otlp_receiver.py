"""An OTLP receiver for tests, over HTTP and gRPC, with the published types."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.waiting import wait_for

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class ReceivedEvent:
    """An event on a span."""

    name: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    events: list[ReceivedEvent]
    links: list[tuple[str, str]]  # trace id, span id
    failed: bool
    status_message: str
    resource: dict[str, Any]
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class ReceivedPoint:
    """A point of a metric as it came over the wire."""

    name: str
    kind: str  # gauge | sum | histogram
    cumulative: bool
    attributes: dict[str, Any]
    value: float  # of a histogram its sum
    count: int
    buckets: list[tuple[float, int]]  # upper bound, own count; without the last
    start_ns: int
    at_ns: int
    resource: dict[str, Any]


@dataclass(frozen=True)
class ReceivedRecord:
    """A log record as it came over the wire."""

    event: str
    body: str
    severity: str
    number: int
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    at_ns: int
    resource: dict[str, Any]


@dataclass
class OtlpReceiver:
    """Holds what was exported. ``answer`` is the HTTP status, ``hang`` keeps every request waiting."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    points: list[ReceivedPoint] = field(default_factory=list)  # of the last push
    records: list[ReceivedRecord] = field(default_factory=list)
    pushes: int = 0  # of metrics
    headers: dict[str, str] = field(default_factory=dict)  # of the last request
    requests: int = 0
    raw: list[bytes] = field(default_factory=list)
    answer: int = 200
    partial: tuple[int, str] = (0, "")  # refused, and why
    hang: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def take(self, body: bytes) -> None:
        """Decode one export request."""
        self.requests += 1
        self.raw.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_span(span, about) for span in scope.spans]

    def take_metrics(self, body: bytes) -> None:
        """Decode one push of metrics."""
        self.requests += 1
        request = ExportMetricsServiceRequest.FromString(body)
        self.points = [
            point
            for of in request.resource_metrics
            for scope in of.scope_metrics
            for metric in scope.metrics
            for point in _points(metric, _attributes(of.resource.attributes))
        ]
        self.pushes += 1

    def take_logs(self, body: bytes) -> None:
        """Decode one push of log records."""
        self.requests += 1
        request = ExportLogsServiceRequest.FromString(body)
        self.records += [
            _record(one, _attributes(of.resource.attributes))
            for of in request.resource_logs
            for scope in of.scope_logs
            for one in scope.log_records
        ]

    def reply(self, message: Any) -> Any:
        """Put what is refused into a reply; the first field of each has the count."""
        count, why = self.partial
        if count or why:
            partial = message.partial_success
            setattr(partial, partial.DESCRIPTOR.fields[0].name, count)
            partial.error_message = why
        return message

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans called ``name``."""
        return [span for span in self.spans if span.name == name]

    def wait(self, count: int, within_s: float = 10.0) -> None:
        """Poll until ``count`` spans have come."""
        wait_for(lambda: len(self.spans) >= count, within_s, f"{count} spans have come", 0.01)


@contextlib.contextmanager
def http_receiver() -> Iterator[OtlpReceiver]:
    """Receive OTLP over HTTP on a free loopback port."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.hang.is_set():
                time.sleep(30)
            receiver.headers = {name.lower(): text for name, text in self.headers.items()}
            take = {
                "/v1/traces": receiver.take,
                "/v1/metrics": receiver.take_metrics,
                "/v1/logs": receiver.take_logs,
            }.get(self.path)
            if receiver.answer == 200 and take is not None:
                take(body)
            else:
                receiver.requests += 1
            answer = receiver.reply(ExportTraceServiceResponse()).SerializeToString()
            self.send_response(404 if take is None else receiver.answer)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            del request, client_address

    server = Server(("127.0.0.1", 0), Handler)
    receiver.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


@contextlib.contextmanager
def grpc_receiver() -> Iterator[OtlpReceiver]:
    """Receive OTLP over gRPC on a free loopback port."""
    # grpc costs a second that only the one test should pay
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: PLC0415

    receiver = OtlpReceiver()

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's name
            if receiver.answer != 200:
                receiver.requests += 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "down")
            receiver.take(request.SerializeToString())
            return receiver.reply(ExportTraceServiceResponse())

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's name
            receiver.headers = dict(context.invocation_metadata())
            receiver.take_metrics(request.SerializeToString())
            return receiver.reply(ExportMetricsServiceResponse())

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's name
            receiver.headers = dict(context.invocation_metadata())
            receiver.take_logs(request.SerializeToString())
            return receiver.reply(ExportLogsServiceResponse())

    server = grpc.server(ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)  # type: ignore[no-untyped-call]
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    receiver.endpoint = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait(5)


def _span(span: Any, resource: dict[str, Any]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        kind=KINDS.get(span.kind, str(span.kind)),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        events=[ReceivedEvent(event.name, _attributes(event.attributes)) for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        failed=span.status.code == 2,
        status_message=span.status.message,
        resource=resource,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
    )


def _points(metric: Any, resource: dict[str, Any]) -> Iterator[ReceivedPoint]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    for point in data.data_points:
        histogram = kind == "histogram"
        bounds = zip(point.explicit_bounds, point.bucket_counts, strict=False) if histogram else ()
        yield ReceivedPoint(
            name=metric.name,
            kind=kind,
            cumulative=kind != "gauge" and data.aggregation_temporality == 2,
            attributes=_attributes(point.attributes),
            value=point.sum if histogram else getattr(point, point.WhichOneof("value")),
            count=point.count if histogram else 1,
            buckets=list(bounds),
            start_ns=point.start_time_unix_nano,
            at_ns=point.time_unix_nano,
            resource=resource,
        )


def _record(one: Any, resource: dict[str, Any]) -> ReceivedRecord:
    return ReceivedRecord(
        event=one.event_name,
        body=one.body.string_value,
        severity=one.severity_text,
        number=one.severity_number,
        attributes=_attributes(one.attributes),
        trace_id=one.trace_id.hex(),
        span_id=one.span_id.hex(),
        at_ns=one.time_unix_nano,
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
