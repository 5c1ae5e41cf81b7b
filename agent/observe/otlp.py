"""Spans of OpenTelemetry's SDK on their way to a collector.

Imported only when tracing is on.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from agent.observe.otlp_rejections import Rejections
from agent.observe.pausing import Pausing

MAX_QUEUE = 256
MAX_LINKS = 128
MAX_EVENTS = 64
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def parse_traceparent(text: str) -> SpanContext | None:
    """Return the span that a W3C ``traceparent`` names, or None when it is not one."""
    match = _TRACEPARENT.fullmatch(text) if len(text) == 55 else None  # noqa: PLR2004 -- W3C version 00
    if match is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in match.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def links_to(traceparents: Iterable[str]) -> list[Link]:
    """Return a link for each different ``traceparent``, at most 128; other texts are left out."""
    links: list[Link] = []
    for text in dict.fromkeys(traceparents):
        context = parse_traceparent(text)
        if context is not None:
            links.append(Link(context))
        if len(links) == MAX_LINKS:
            break
    return links


class _Ids(RandomIdGenerator):
    """Random ids without the flag of W3C level 2, so that a ``traceparent`` ends in 00 or 01."""

    def is_trace_id_random(self) -> bool:
        return False


class SpanSource:
    """Starts spans with a tracer of its own; OpenTelemetry's global provider is left alone.

    Args:
        endpoint: ``http://host:4318`` (http) or ``http://host:4317`` (grpc); None with ``console``.
        protocol: ``http``, ``grpc`` or ``console``.
        gateway: Id of the agent.
        version: Version of the agent.
        sample_ratio: Share of traces to keep.
        log: Called once per change of the collector's state.
        delay_s: How long spans may wait for company.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        protocol: str,
        gateway: str,
        version: str,
        sample_ratio: float,
        log: Callable[..., None],
        delay_s: float,
    ) -> None:
        # Its timeout is the standard variable's, 10 s without it.
        rejections = Rejections()
        self._pausing = Pausing(event="trace_export", log=log, refused=rejections.take)
        exporter = PausingExporter(build_exporter(endpoint, protocol, rejections.read), self._pausing)
        self._processor = BoundedProcessor(exporter=exporter, delay_s=delay_s)
        self._closed = False
        provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(sample_ratio),
            resource=make_resource(version, gateway),
            shutdown_on_exit=False,
            id_generator=_Ids(),
            span_limits=SpanLimits(max_links=MAX_LINKS, max_events=MAX_EVENTS),
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("edge-agent", version)

    def start(
        self, name: str, *, kind: str, parent: SpanContext | None, links: Iterable[str], start_ns: int
    ) -> Span:
        """Start a span below ``parent``, else a root; ``links`` are texts of the form ``traceparent``."""
        above = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        return self._tracer.start_span(
            name, above, SpanKind[kind.upper()], links=links_to(links), start_time=start_ns
        )

    @property
    def dropped(self) -> int:
        """Spans that never reached the collector."""
        # At the end, waiting spans and those of a running export are lost as well.
        lost = self._processor.given - self._pausing.delivered if self._closed else self._pausing.lost
        return self._processor.overflowed + lost

    def flush(self) -> None:
        """Send the waiting spans now, on this thread."""
        self._processor.force_flush()

    def shutdown(self, timeout_s: float) -> None:
        """Send the waiting spans, for at most ``timeout_s``: the SDK would wait 30 s."""
        worker = threading.Thread(target=self._processor.shutdown, name="trace-shutdown", daemon=True)
        self._pausing.hurry()
        worker.start()
        worker.join(timeout_s)
        self._closed = True


def make_resource(version: str, gateway: str) -> Resource:
    """Return the attributes of this process, over those of ``OTEL_RESOURCE_ATTRIBUTES``."""
    own = {"service.version": version, "service.instance.id": gateway, "edge.gateway.id": gateway}
    resource = Resource.create({key: value for key, value in own.items() if value})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # neither variable names it
        return resource.merge(Resource({"service.name": "edge-agent"}))
    return resource


def build_exporter(
    endpoint: str | None, protocol: str, read: Callable[[bytes], None] = lambda _reply: None
) -> SpanExporter:
    """Return the SDK's exporter for ``protocol``; headers come from ``OTEL_EXPORTER_OTLP_HEADERS``.

    ``read`` gets each reply that is a success.
    """
    if protocol == "console":
        # stdout belongs to the logs.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 -- 16 MiB on top
            OTLPSpanExporter as GrpcExporter,
        )

        from agent.observe.otlp_grpc import CHANNEL, read_replies  # noqa: PLC0415 -- as above

        plain = urlsplit(endpoint or "").scheme != "https"
        exporter = GrpcExporter(endpoint=endpoint, insecure=plain, channel_options=CHANNEL)
        read_replies(exporter, read)
        return exporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 -- not with console or grpc
        OTLPSpanExporter as HttpExporter,
    )

    from agent.observe.otlp_session import BoundedSession  # noqa: PLC0415 -- as above

    url = endpoint or ""
    if urlsplit(url).path in {"", "/"}:
        url = f"{url.rstrip('/')}/v1/traces"
    return HttpExporter(endpoint=url, session=BoundedSession(read))


class PausingExporter(SpanExporter):
    """Hands spans to ``inner`` with the patience of `Pausing`."""

    def __init__(self, inner: SpanExporter, pausing: Pausing) -> None:
        self._inner = inner
        self.pausing = pausing

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``; raises nothing."""
        good = self.pausing.run(lambda: self._inner.export(spans) is SpanExportResult.SUCCESS, len(spans))
        return SpanExportResult.SUCCESS if good else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self._inner.shutdown()


class BoundedProcessor(BatchSpanProcessor):
    """Lets at most 256 ended spans wait, those of a running export included, and counts what is dropped."""

    def __init__(self, *, exporter: PausingExporter, delay_s: float) -> None:
        super().__init__(
            exporter,
            max_queue_size=MAX_QUEUE,
            schedule_delay_millis=delay_s * 1000.0,
            max_export_batch_size=MAX_QUEUE // 2,
        )
        self._pausing = exporter.pausing
        self._lock = threading.Lock()
        self.given = 0
        self.overflowed = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue ``span``, or drop and count it."""
        with self._lock:
            if self.given - self._pausing.delivered - self._pausing.lost >= MAX_QUEUE:
                self.overflowed += 1
                return
            self.given += 1
        super().on_end(span)
