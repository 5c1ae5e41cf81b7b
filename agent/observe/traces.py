"""Spans behind a facade: with tracing off nothing of OpenTelemetry is imported and every call is a no-op."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from typing import Any

from agent.observe.redact import Secrets
from agent.observe.semconv import CONTENT_VARIABLE
from agent.observe.telemetry_settings import TracesSettings

Attributes = Mapping[str, Any]
ContextToken = Token[tuple[str, str] | None]
RequestToken = Token[str | None]

_DEFAULT = TracesSettings()

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_CURRENT: ContextVar[tuple[str, str] | None] = ContextVar("edge_trace_ids", default=None)

#: Put the ids of the span that runs in this context into the log lines (see `current_ids`).
set_current = _CURRENT.set
reset_current = _CURRENT.reset
current_ids = _CURRENT.get

_REQUEST: ContextVar[str | None] = ContextVar("edge_request_id", default=None)
#: The same for the id of the AI call that runs in this context; it exists with tracing off as well.
set_request = _REQUEST.set
reset_request = _REQUEST.reset
current_request = _REQUEST.get


def parse_traceparent(text: str) -> tuple[int, int, int] | None:
    """Return trace id, span id and flags of a W3C ``traceparent``, or None when it is not one."""
    match = _TRACEPARENT.fullmatch(text) if len(text) == 55 else None  # noqa: PLR2004 -- W3C version 00
    return None if match is None else (int(match[1], 16), int(match[2], 16), int(match[3], 16))


class Span:
    """A span that is off. Its live sibling is in `otlp`."""

    trace_id: str | None = None
    span_id: str | None = None
    #: What goes out with a message as the user property ``traceparent``.
    traceparent: str | None = None

    def set(self, attributes: Attributes) -> None:
        """Add attributes; those that are None are left out."""

    def event(self, name: str, attributes: Attributes) -> None:
        """Add an event at this moment."""

    def fail(self, error_type: str) -> None:
        """Mark the span as failed."""

    def end(self) -> None:
        """End it; a second end does nothing."""


OFF = Span()


class Tracer:
    """Tracing that is off. ``start`` and ``publish`` give spans without ids."""

    enabled = False
    content = False  # whether prompts and replies may be put on spans

    @property
    def dropped(self) -> int:
        """Spans that never reached the collector."""
        return 0

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
            name: A name of `semconv`.
            kind: ``internal``, ``client`` or ``producer``.
            attributes: What is known now; sampling sees these.
            parent: Span above it; without one it is a root.
            links: ``traceparent`` strings of the messages it comes from; at most 128 count.
            remember: Let `publish` find it again by its trace id.
        """
        del name, kind, attributes, parent, links, remember
        return OFF

    def publish(
        self, *, trace_id: str | None, destination: str, device: str | None = None, protocol: str = "5"
    ) -> Span:
        """Start ``edge.publish`` below the batch span of ``trace_id``; end it when the broker acknowledged.

        Without a trace id (a local verdict) there is no span.
        """
        del trace_id, destination, device, protocol
        return OFF

    def shutdown(self, timeout_s: float = 2.0) -> None:
        """Send what is left, for at most ``timeout_s``."""
        del timeout_s


def content_asked(environ: Mapping[str, str]) -> bool:
    """Say whether the standard variable asks for prompts and replies on spans."""
    return environ.get(CONTENT_VARIABLE, "NO_CONTENT").upper() in {"SPAN_ONLY", "SPAN_AND_EVENT"}


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

    Args:
        endpoint: ``http://host:4318`` (http) or ``http://host:4317`` (grpc).
        protocol: ``http``, ``grpc`` or ``console`` (one JSON object a line on stderr).
        service_version: Version of the agent.
        gateway: Id of the agent.
        content: Whether prompts and replies go on spans; None asks the environment.
        sample_ratio: Share of traces to keep.
        secrets: Values to mask in every attribute.
        log: Told once per change of the collector's state.
        delay_s: How long spans may wait for company.
    """
    if endpoint is None and protocol != "console":
        return Tracer()
    # 8 to 34 MiB that off must not cost
    from agent.observe.exporter import build_exporter  # noqa: PLC0415
    from agent.observe.otlp import LiveTracer  # noqa: PLC0415

    if content is None:
        content = content_asked(os.environ)
    return LiveTracer(
        exporter=build_exporter(endpoint, protocol),
        service_version=service_version,
        gateway=gateway,
        content=content,
        sample_ratio=sample_ratio,
        secrets=secrets or Secrets(),
        log=log,
        delay_s=delay_s,
    )
