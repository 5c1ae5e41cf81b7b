"""Spans of the agent, masked and bounded; OpenTelemetry is imported only if on."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from agent.domain.fault import fault_words
from agent.observe.redact import Secrets
from agent.observe.telemetry_settings import TracesSettings

if TYPE_CHECKING:
    from opentelemetry.trace import Span as SdkSpan, SpanContext

    from agent.observe.otlp import SpanSource

Attributes = Mapping[str, Any]
T = TypeVar("T")

_DEFAULT = TracesSettings()

MAX_REMEMBERED = 256
MAX_NAMED = 16  # variables of one line of the log
MAX_ATTRIBUTE_CHARS = 1024
MAX_CONTENT_CHARS = 16_384  # of a prompt or a reply, before it is encoded
MAX_LINKED = 32  # trace ids of linked messages as an attribute: few tools show links
#: Whether prompts and replies may be put on spans: NO_CONTENT | SPAN_ONLY | EVENT_ONLY | SPAN_AND_EVENT.
CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Span:
    """A span of the SDK, or none: then it has no ids and does nothing.

    Its length is measured by a monotonic clock, because a gateway's wall clock may step.
    """

    trace_id: str | None = None
    span_id: str | None = None
    #: Sent with a message as the user property ``traceparent``.
    traceparent: str | None = None

    def __init__(
        self,
        inner: "SdkSpan | None" = None,
        *,
        start_ns: int = 0,
        began: int = 0,
        secrets: Secrets | None = None,
    ) -> None:
        self._inner = inner
        self._start_ns = start_ns
        self._began = began  # by the monotonic clock
        self._secrets = secrets or Secrets()
        self.context = None if inner is None else inner.get_span_context()
        if self.context is not None:
            self.trace_id = f"{self.context.trace_id:032x}"
            self.span_id = f"{self.context.span_id:016x}"
            self.traceparent = f"00-{self.trace_id}-{self.span_id}-{self.context.trace_flags:02x}"

    @property
    def sampled(self) -> bool:
        """Whether it is exported."""
        return self.context is not None and self.context.trace_flags.sampled

    def set(self, attributes: Attributes) -> None:
        """Add attributes; those that are None are left out."""
        if self._inner is not None:
            self._inner.set_attributes(self._cleaned(attributes))

    def linked_traces(self) -> list[str] | None:
        """Return the ids of the traces that it is linked to, at most 32; None without any."""
        links = getattr(self._inner, "links", ())  # a span that is not sampled has none
        ids = dict.fromkeys(f"{link.context.trace_id:032x}" for link in links)
        return list(ids)[:MAX_LINKED] or None

    def set_content(self, attributes: Attributes) -> None:
        """Add texts that `content_text` returned, encoded or not: cutting them again would break JSON."""
        if self._inner is not None:
            self._inner.set_attributes(attributes)

    def content_text(self, text: str) -> str:
        """Return a prompt or a reply as it may be exported: masked, and cut after 16,384 characters."""
        return self._secrets.exact(text, MAX_CONTENT_CHARS)

    def event(self, name: str, attributes: Attributes) -> None:
        """Add an event at this moment."""
        if self._inner is not None:
            self._inner.add_event(name, self._cleaned(attributes), self._now())

    def fail(self, error_type: str) -> None:
        """Mark the span as failed."""
        if self._inner is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415 -- loaded, if there is a span

            self.set({"error.type": error_type})
            # The type only: an error's text may hold a key or a prompt.
            self._inner.set_status(StatusCode.ERROR, error_type)

    def end(self) -> None:
        """End it; a second end does nothing."""
        if self._inner is not None and self._inner.is_recording():
            self._inner.end(self._now())

    def _now(self) -> int:
        return self._start_ns + time.monotonic_ns() - self._began

    def _cleaned(self, attributes: Attributes) -> dict[str, Any]:
        """Return ``attributes`` masked and bounded, without those that are None."""
        one_line = self._secrets.one_line
        cleaned: dict[str, Any] = {}
        for key, value in attributes.items():
            if isinstance(value, str):
                cleaned[key] = one_line(value, MAX_ATTRIBUTE_CHARS)
            elif isinstance(value, (list, tuple)):
                cleaned[key] = [one_line(str(item), MAX_ATTRIBUTE_CHARS) for item in value]
            elif value is not None:
                cleaned[key] = value
        return cleaned


OFF = Span()


class GuardedSpan(Span):
    """The end of a span whose faults stay inside ``guard``."""

    def __init__(self, span: Span, guard: AbstractContextManager[None]) -> None:
        self._span = span
        self._guard = guard
        self.trace_id, self.span_id, self.traceparent = span.trace_id, span.span_id, span.traceparent

    def end(self) -> None:
        """End it; a second end does nothing."""
        with self._guard:
            self._span.end()


class Tracer:
    """Starts the spans of one agent, or none without a ``source``."""

    def __init__(
        self,
        source: "SpanSource | None" = None,
        *,
        content: bool = False,
        secrets: Secrets | None = None,
        gateway: str = "",
    ) -> None:
        self.source = source
        self.gateway = gateway  # id of the agent
        self.content = content  # whether prompts and replies may be put on spans
        self._secrets = secrets
        self._batches: OrderedDict[str | None, SpanContext | None] = OrderedDict()  # trace id -> batch span

    @property
    def enabled(self) -> bool:
        """Whether tracing is on."""
        return self.source is not None

    @property
    def dropped(self) -> int:
        """Spans that never reached the collector."""
        return 0 if self.source is None else self.source.dropped

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
        """Start a span.

        Args:
            name: Name of the span.
            kind: ``internal``, ``client`` or ``producer``.
            attributes: The attributes that are known now.
            parent: Span above it; without one it is a root.
            links: ``traceparent`` strings of the messages it comes from; at most 128 count.
            remember: Let `publish` find it again by its trace id.
        """
        span = self._open(name, kind, None if parent is None else parent.context, links)
        span.set({**(attributes or {}), "edge.linked_traces": span.linked_traces()})
        if remember:
            self._batches[span.trace_id] = span.context
            while len(self._batches) > MAX_REMEMBERED:
                self._batches.popitem(last=False)
        return span

    def publish(
        self, *, trace_id: str | None, destination: str, device: str | None = None, protocol: str = "5"
    ) -> Span:
        """Start ``edge.publish`` below the batch span of ``trace_id``; end it when the broker acknowledged.

        Without a trace id (a local verdict) there is no span.
        """
        batch = self._batches.get(trace_id)
        if batch is None:
            return OFF
        span = self._open("edge.publish", "producer", batch)
        span.set(
            {
                "messaging.system": "mqtt",
                "messaging.operation.type": "send",
                "messaging.destination.name": destination,
                "edge.device.id": device,
                "network.protocol.name": "mqtt",
                "network.protocol.version": protocol,
            }
        )
        return span

    def shutdown(self, timeout_s: float = 2.0) -> None:
        """Send the waiting spans, for at most ``timeout_s``."""
        if self.source is not None:
            self.source.shutdown(timeout_s)

    def _open(self, name: str, kind: str, above: "SpanContext | None", links: Iterable[str] = ()) -> Span:
        if self.source is None:
            return OFF
        start_ns, began = time.time_ns(), time.monotonic_ns()
        inner = self.source.start(name, kind=kind, parent=above, links=links, start_ns=start_ns)
        return Span(inner, start_ns=start_ns, began=began, secrets=self._secrets)


def content_asked(environ: Mapping[str, str]) -> bool:
    """Return whether the standard variable asks for prompts and replies on spans."""
    return environ.get(CONTENT_VARIABLE, "NO_CONTENT").upper() in {"SPAN_ONLY", "SPAN_AND_EVENT"}


def sdk_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether the SDK's own switch turns telemetry over OTLP off, whatever the configuration."""
    return environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def opened(make: Callable[[], T], event: str, log: Callable[..., None]) -> T | None:
    """Return what ``make`` builds of the SDK, None with a line in the log where the SDK refuses.

    The SDK reads some forty variables, some of them at its import, and raises at a value that it does not
    understand; the agent watches on. Their values may be secrets and stay out of the log.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 -- whatever the SDK raises: it is reported
        given = sorted(name for name in os.environ if name.startswith("OTEL_"))
        named = [name for name in given if name in str(error)] or given
        log(
            event,
            level="error",
            error=fault_words(error),
            variables=named[:MAX_NAMED],
            remedy="correct or unset the variable, and start again; until then nothing of it is sent",
        )
        return None


def open_tracer(
    *,
    endpoint: str | None,
    protocol: str = _DEFAULT.protocol,
    service_version: str = "",
    gateway: str = "",
    content: bool | None = _DEFAULT.content,
    sample_ratio: float = _DEFAULT.sample_ratio,
    secrets: Secrets | None = None,
    log: Callable[..., None] = lambda *_args, **_fields: None,
    delay_s: float = 5.0,
) -> Tracer:
    """Return the tracer of the configuration: off without an endpoint, unless the protocol is ``console``.

    The SDK's own switch, ``OTEL_SDK_DISABLED``, turns it off as well.

    Args:
        endpoint: ``http://host:4318`` (http) or ``http://host:4317`` (grpc).
        protocol: ``http``, ``grpc`` or ``console`` (one JSON object a line on stderr).
        service_version: Version of the agent.
        gateway: Id of the agent.
        content: Whether prompts and replies go on spans; None asks the environment.
        sample_ratio: Share of traces to keep.
        secrets: Values to mask in every attribute.
        log: Called once per change of the collector's state.
        delay_s: How long spans may wait for company.
    """
    if sdk_disabled(os.environ) or (endpoint is None and protocol != "console"):
        return Tracer()

    def open_source() -> "SpanSource":
        from agent.observe.otlp import SpanSource  # noqa: PLC0415 -- 8 to 34 MiB that off must not cost

        return SpanSource(
            endpoint=endpoint,
            protocol=protocol,
            gateway=gateway,
            version=service_version,
            sample_ratio=sample_ratio,
            log=log,
            delay_s=delay_s,
        )

    source = opened(open_source, "traces_not_started", log)
    if source is None:
        return Tracer()
    asked = content_asked(os.environ) if content is None else content
    return Tracer(source, content=asked, secrets=secrets, gateway=gateway)
