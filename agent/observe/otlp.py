"""Live spans over OpenTelemetry's SDK. Imported only when tracing is on."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from agent.observe import semconv
from agent.observe.exporter import BoundedProcessor, PausingExporter
from agent.observe.redact import Secrets
from agent.observe.traces import OFF, Attributes, Span, Tracer, parse_traceparent

MAX_LINKS = 128
MAX_REMEMBERED = 256
MAX_ATTRIBUTE_CHARS = 1024
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "producer": SpanKind.PRODUCER}
_LONG = frozenset({semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES})


class LiveSpan(Span):
    """A recording span; every text on it is masked and bounded."""

    def __init__(self, *, span: OtelSpan, clean: Callable[[Attributes], dict[str, Any]]) -> None:
        self.otel = span
        self._clean = clean
        self._ended = False
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{int(context.trace_flags):02x}"

    def set(self, attributes: Attributes) -> None:
        self.otel.set_attributes(self._clean(attributes))

    def event(self, name: str, attributes: Attributes) -> None:
        self.otel.add_event(name, self._clean(attributes))

    def fail(self, error_type: str) -> None:
        self.otel.set_attribute(semconv.ERROR_TYPE, error_type)
        # The type only: an error's text may hold a key or a prompt.
        self.otel.set_status(Status(StatusCode.ERROR, error_type))

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self.otel.end()


class LiveTracer(Tracer):
    """Tracing that is on. It has a provider of its own and leaves OpenTelemetry's global one alone."""

    enabled = True

    def __init__(
        self,
        *,
        exporter: SpanExporter,
        service_version: str,
        gateway: str,
        content: bool,
        sample_ratio: float,
        secrets: Secrets,
        report: Callable[..., None],
        delay_s: float,
    ) -> None:
        self.content = content
        self._secrets = secrets
        self._exporter = PausingExporter(inner=exporter, report=report)
        self._processor = BoundedProcessor(exporter=self._exporter, delay_s=delay_s)
        resource = {
            "service.name": "edge-agent",
            "service.version": service_version,
            "service.instance.id": gateway,
            semconv.GATEWAY_ID: gateway,
        }
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({key: value for key, value in resource.items() if value}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("edge-agent", service_version or None)
        self._batches: OrderedDict[str, SpanContext] = OrderedDict()
        self._closed = False

    @property
    def dropped(self) -> int:
        # At the end, what waits and what is under way is lost as well.
        lost = self._processor.given - self._exporter.delivered if self._closed else self._exporter.lost
        return self._processor.overflowed + lost

    def start(
        self,
        name: str,
        *,
        kind: str = "internal",
        attributes: Attributes | None = None,
        parent: Span | None = None,
        links: Iterable[str] = (),
        remember: bool = False,
    ) -> Span:
        above = set_span_in_context(parent.otel, Context()) if isinstance(parent, LiveSpan) else Context()
        span = self._open(name, kind, attributes or {}, above, _links(links))
        if remember and span.trace_id is not None:
            self._batches[span.trace_id] = span.otel.get_span_context()
            while len(self._batches) > MAX_REMEMBERED:
                self._batches.popitem(last=False)
        return span

    def publish(self, *, trace_id: str | None, destination: str, protocol: str = "5") -> Span:
        batch = self._batches.get(trace_id) if trace_id else None
        if batch is None:
            return OFF
        attributes = {
            semconv.MESSAGING_SYSTEM: "mqtt",
            semconv.MESSAGING_OPERATION: "send",
            semconv.MESSAGING_DESTINATION: destination,
            semconv.PROTOCOL_NAME: "mqtt",
            semconv.PROTOCOL_VERSION: protocol,
        }
        above = set_span_in_context(NonRecordingSpan(batch), Context())
        return self._open(semconv.SPAN_PUBLISH, "producer", attributes, above, [])

    def _open(
        self, name: str, kind: str, attributes: Attributes, above: Context, links: list[Link]
    ) -> LiveSpan:
        span = self._tracer.start_span(
            name,
            context=above,
            kind=_KINDS[kind],
            attributes=self._clean(attributes),
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        )
        return LiveSpan(span=span, clean=self._clean)

    def _clean(self, attributes: Attributes) -> dict[str, Any]:
        cleaned: dict[str, Any] = {}
        for key, value in attributes.items():
            if isinstance(value, str):
                cleaned[key] = self._secrets.say(value, 16_384 if key in _LONG else MAX_ATTRIBUTE_CHARS)
            elif isinstance(value, (list, tuple)):
                cleaned[key] = [self._secrets.say(str(item), MAX_ATTRIBUTE_CHARS) for item in value]
            elif value is not None:
                cleaned[key] = value
        return cleaned

    def shutdown(self, timeout_s: float = 2.0) -> None:
        # The SDK would wait 30 s for a collector that is silent.
        worker = threading.Thread(target=self._provider.shutdown, name="trace-shutdown", daemon=True)
        worker.start()
        worker.join(timeout_s)
        self._closed = True


def _links(traceparents: Iterable[str]) -> list[Link]:
    links: list[Link] = []
    for text in dict.fromkeys(traceparents):
        parsed = parse_traceparent(text)
        if parsed is not None:
            trace_id, span_id, flags = parsed
            links.append(Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))))
        if len(links) == MAX_LINKS:
            break
    return links
