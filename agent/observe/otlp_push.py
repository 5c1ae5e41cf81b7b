"""The metrics of /metrics and the lines of the log in the form of OTLP.

Imported only when they are pushed. There is no second instrumentation: the families of the Prometheus
registry become OTLP metrics of the same names, and each JSON line a log record.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)
from prometheus_client.core import Metric as Family

from agent.observe.otlp import make_resource
from agent.observe.otlp_rejections import Rejections

_SEVERITY = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
Read = Callable[[bytes], None]
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_UNKNOWN: Any = None  # optional on the wire
_OWN_FIELDS = ("timestamp", "level", "event", "trace_id", "span_id")


class Exporters:
    """Sends to one collector.

    Args:
        endpoint: ``http://host:4318`` (http) or ``http://host:4317`` (grpc).
        protocol: ``http`` or ``grpc``.
        headers: Over those of ``OTEL_EXPORTER_OTLP_HEADERS``.
        version: Version of the agent.
        gateway: Id of the agent.
    """

    def __init__(
        self, *, endpoint: str, protocol: str, headers: Mapping[str, str], version: str, gateway: str
    ) -> None:
        self._resource = make_resource(version, gateway)
        self._scope = InstrumentationScope("edge-agent", version)
        self._began = time.time_ns()
        self.rejections = {"metrics": Rejections(), "logs": Rejections()}
        reads = (self.rejections["metrics"].read, self.rejections["logs"].read)
        self._metrics, self._logs = _build(endpoint, protocol, headers, reads)

    def send_metrics(self, families: Iterable[Family]) -> bool:
        """Send the state of all families; return whether the collector took it."""
        now = time.time_ns()
        metrics = [_metric(family, self._began, now) for family in families if family.samples]
        scope = ScopeMetrics(self._scope, metrics, "")
        data = MetricsData([ResourceMetrics(self._resource, [scope], "")])
        return self._metrics.export(data) is MetricExportResult.SUCCESS

    def send_lines(self, lines: Sequence[bytes]) -> bool:
        """Send JSON lines of the log; return whether the collector took them."""
        records = [ReadableLogRecord(_record(line), self._resource, self._scope) for line in lines]
        return self._logs.export(records) is LogRecordExportResult.SUCCESS


def _build(
    endpoint: str, protocol: str, headers: Mapping[str, str], reads: tuple[Read, Read]
) -> tuple[MetricExporter, LogRecordExporter]:
    """Return the SDK's exporters; their timeout is the standard variable's, 10 s without it."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (  # noqa: PLC0415 -- 9 MiB on top
            OTLPLogExporter as GrpcLogs,
        )
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # noqa: PLC0415 -- as above
            OTLPMetricExporter as GrpcMetrics,
        )

        from agent.observe.otlp_grpc import CHANNEL, read_replies  # noqa: PLC0415 -- as above

        plain = urlsplit(endpoint).scheme != "https"
        pairs = tuple((name.lower(), value) for name, value in headers.items()) or None
        metrics = GrpcMetrics(endpoint=endpoint, insecure=plain, headers=pairs, channel_options=CHANNEL)
        logs = GrpcLogs(endpoint=endpoint, insecure=plain, headers=pairs, channel_options=CHANNEL)
        read_replies(metrics, reads[0])
        read_replies(logs, reads[1])
        return metrics, logs
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415 -- not with grpc
        OTLPLogExporter as HttpLogs,
    )
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 -- as above
        OTLPMetricExporter as HttpMetrics,
    )

    from agent.observe.otlp_session import BoundedSession  # noqa: PLC0415 -- as above

    base = endpoint.rstrip("/")
    return (
        HttpMetrics(endpoint=f"{base}/v1/metrics", headers=dict(headers), session=BoundedSession(reads[0])),
        HttpLogs(endpoint=f"{base}/v1/logs", headers=dict(headers), session=BoundedSession(reads[1])),
    )


# ------------------------------------------------------------------------------------------- metrics


def _metric(family: Family, began: int, now: int) -> Metric:
    """Return a family of the registry under the name that /metrics has."""
    if family.type == "histogram":
        points = _histogram_points(family, began, now)
        return Metric(family.name, family.documentation, "", Histogram(points, _CUMULATIVE))
    numbers = [
        NumberDataPoint(sample.labels, began if family.type == "counter" else 0, now, float(sample.value))
        for sample in family.samples
    ]
    if family.type == "counter":
        data = Sum(numbers, _CUMULATIVE, is_monotonic=True)
        return Metric(f"{family.name}_total", family.documentation, "", data)
    return Metric(family.name, family.documentation, "", Gauge(numbers))


def _histogram_points(family: Family, began: int, now: int) -> list[HistogramDataPoint]:
    """Return a point for each set of labels: counts by bucket, where the registry adds them up."""
    bounds: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = tuple((name, text) for name, text in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            bounds.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, cumulative in bounds.items():
        cumulative.sort()
        before = [0.0, *(count for _, count in cumulative)]
        counts = [int(count - last) for (_, count), last in zip(cumulative, before, strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=began,
                time_unix_nano=now,
                count=int(cumulative[-1][1]),
                sum=sums.get(labels, 0.0),
                bucket_counts=counts,
                explicit_bounds=[bound for bound, _ in cumulative if math.isfinite(bound)],
                min=_UNKNOWN,
                max=_UNKNOWN,
            )
        )
    return points


# ---------------------------------------------------------------------------------------------- logs


def _record(line: bytes) -> LogRecord:
    """Return a JSON line of the log as a record: its event is name and body, the rest are attributes."""
    fields: dict[str, Any] = json.loads(line)
    level = str(fields.get("level", "info"))
    event = str(fields.get("event", ""))
    return LogRecord(
        timestamp=_nanoseconds(str(fields.get("timestamp", ""))),
        context=_context(fields.get("trace_id"), fields.get("span_id")),
        severity_text=level.upper(),
        severity_number=_SEVERITY.get(level, SeverityNumber.INFO),
        body=event,
        attributes={
            name: value for name, value in fields.items() if name not in _OWN_FIELDS and value is not None
        },
        event_name=event,
    )


def _nanoseconds(timestamp: str) -> int:
    at = datetime.fromisoformat(timestamp)
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000


def _context(trace_id: object, span_id: object) -> Context:
    """Return the context of a span's ids, an empty one without them."""
    try:
        span = SpanContext(int(str(trace_id), 16), int(str(span_id), 16), False, TraceFlags(1))  # noqa: FBT003 - local
    except ValueError:
        return Context()
    return set_span_in_context(NonRecordingSpan(span), Context())
