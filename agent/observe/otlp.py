"""Live spans in the form that OpenTelemetry's exporters take. Imported only when tracing is on.

The SDK's own tracer is left out: it costs about four times as much per span, and it takes both ends of a span
from the wall clock, which steps on a gateway without a clock of its own.
"""

import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from agent.observe import semconv
from agent.observe.exporter import BoundedProcessor, PausingExporter
from agent.observe.redact import Secrets
from agent.observe.traces import OFF, Attributes, Span, Tracer, parse_traceparent

MAX_LINKS = 128
MAX_EVENTS = 64
MAX_REMEMBERED = 256
MAX_ATTRIBUTE_CHARS = 1024
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "producer": SpanKind.PRODUCER}
_LONG = frozenset({semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES})
_KEPT, _LEFT_OUT = TraceFlags(1), TraceFlags(0)


class LiveSpan(ReadableSpan, Span):
    """A recording span: its texts are masked and bounded, its length comes from a monotonic clock."""

    def __init__(
        self,
        *,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        links: Iterable[str],
        tracer: "LiveTracer",
    ) -> None:
        super().__init__(
            name=name,
            context=context,
            parent=parent,
            resource=tracer.resource,
            kind=kind,
            start_time=time.time_ns(),
            instrumentation_scope=tracer.scope,
        )
        self.given: dict[str, Any] = {}
        self.happened: list[Event] = []
        self._attributes, self._events = self.given, self.happened
        self._linked = tuple(links)
        self._began = time.monotonic_ns()
        self._tracer = tracer
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{context.trace_flags:02x}"

    @property
    def links(self) -> list[Link]:
        """The messages that it comes from; read by the exporter, so only what is sent is parsed."""
        return _links(self._linked)

    def set(self, attributes: Attributes) -> None:
        self._tracer.clean(attributes, self.given)

    def event(self, name: str, attributes: Attributes) -> None:
        if len(self.happened) < MAX_EVENTS:
            self.happened.append(Event(name, self._tracer.clean(attributes, {}), self._now()))

    def fail(self, error_type: str) -> None:
        self.given[semconv.ERROR_TYPE] = error_type
        # The type only: an error's text may hold a key or a prompt.
        self._status = Status(StatusCode.ERROR, error_type)

    def end(self) -> None:
        if self._end_time is None:
            self._end_time = self._now()
            self._tracer.ended(self)

    def _now(self) -> int:
        return (self._start_time or 0) + time.monotonic_ns() - self._began


class LiveTracer(Tracer):
    """Tracing that is on. It leaves OpenTelemetry's global provider alone."""

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
        log: Callable[..., None],
        delay_s: float,
    ) -> None:
        about = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME", "").strip() or "edge-agent",
            "service.version": service_version,
            "service.instance.id": gateway,
            semconv.GATEWAY_ID: gateway,
        }
        self.content = content
        self.resource = Resource.create({key: value for key, value in about.items() if value})
        self.scope = InstrumentationScope("edge-agent", service_version or None)
        self._secrets = secrets
        self._keep_below = round(sample_ratio * (1 << 64))
        self._random = random.Random()  # noqa: S311 -- ids, not secrets
        self._exporter = PausingExporter(inner=exporter, log=log)
        self._processor = BoundedProcessor(exporter=self._exporter, delay_s=delay_s)
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
        above = parent.context if isinstance(parent, LiveSpan) else None
        span = self._open(name, kind, above, links)
        if attributes:
            span.set(attributes)
        if remember and span.context is not None:
            self._batches[span.trace_id or ""] = span.context
            while len(self._batches) > MAX_REMEMBERED:
                self._batches.popitem(last=False)
        return span

    def publish(
        self, *, trace_id: str | None, destination: str, device: str | None = None, protocol: str = "5"
    ) -> Span:
        batch = self._batches.get(trace_id) if trace_id else None
        if batch is None:
            return OFF
        span = self._open(semconv.SPAN_PUBLISH, "producer", batch)
        span.set(
            {
                semconv.MESSAGING_SYSTEM: "mqtt",
                semconv.MESSAGING_OPERATION: "send",
                semconv.MESSAGING_DESTINATION: destination,
                semconv.DEVICE_ID: device,
                semconv.PROTOCOL_NAME: "mqtt",
                semconv.PROTOCOL_VERSION: protocol,
            }
        )
        return span

    def shutdown(self, timeout_s: float = 2.0) -> None:
        # The SDK would wait 30 s for a collector that is silent.
        worker = threading.Thread(target=self._processor.shutdown, name="trace-shutdown", daemon=True)
        worker.start()
        worker.join(timeout_s)
        self._closed = True

    def ended(self, span: LiveSpan) -> None:
        """Take a span that has ended; one that was not sampled is forgotten."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._processor.on_end(span)

    def clean(self, attributes: Attributes, into: dict[str, Any]) -> dict[str, Any]:
        """Add ``attributes`` to ``into``, masked and bounded, without those that are None."""
        say = self._secrets.say
        for key, value in attributes.items():
            if isinstance(value, str):
                into[key] = say(value, 16_384 if key in _LONG else MAX_ATTRIBUTE_CHARS)
            elif isinstance(value, (list, tuple)):
                into[key] = [say(str(item), MAX_ATTRIBUTE_CHARS) for item in value]
            elif value is not None:
                into[key] = value
        return into

    def _open(self, name: str, kind: str, above: SpanContext | None, links: Iterable[str] = ()) -> LiveSpan:
        if above is None:
            trace_id = self._random.getrandbits(128) or 1
            # The share is taken by the low half of the id, as every OpenTelemetry SDK does.
            flags = _KEPT if trace_id & 0xFFFF_FFFF_FFFF_FFFF < self._keep_below else _LEFT_OUT
        else:
            trace_id, flags = above.trace_id, above.trace_flags
        span_id = self._random.getrandbits(64) or 1
        context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags)
        return LiveSpan(name=name, kind=_KINDS[kind], context=context, parent=above, links=links, tracer=self)


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
