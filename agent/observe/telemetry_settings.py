"""Sections ``logs``, ``traces`` and ``otel`` of the configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from agent.domain.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsSettings:
    """Section ``logs`` of the configuration."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Key("events below this level are not logged")
    ] = "info"
    format: Annotated[Literal["json", "console"], Key("one JSON object a line, or lines for people")] = "json"
    content: Annotated[Literal["none", "hash", "redacted", "full"], Key("prompts and replies in the log")] = (
        "none"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TracesSettings:
    """Section ``traces`` of the configuration."""

    endpoint: Annotated[
        str | None, Key("collector that spans are sent to, such as `http://127.0.0.1:4318`")
    ] = None
    protocol: Annotated[Literal["http", "grpc", "console"], Key("OTLP, or `console` for stderr")] = "http"
    sample_ratio: Annotated[float, Key("share of the traces that are sent", ge=0, le=1)] = 1.0
    content: Annotated[
        bool | None,
        Key(
            "prompts and replies on spans; `null` asks the variable"
            " `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` (off without it)"
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSettings:
    """Section ``otel`` of the configuration."""

    metrics: Annotated[bool, Key("`true`: the metrics of /metrics are pushed too")] = False
    logs: Annotated[bool, Key("`true`: the lines of the log are pushed too")] = False
    endpoint: Annotated[
        str | None, Key("collector of metrics and log lines, such as `http://127.0.0.1:4318`")
    ] = None
    protocol: Annotated[Literal["http", "grpc"], Key("OTLP over HTTP or gRPC")] = "http"
    headers_file: Annotated[
        Path | None, Key("file with headers for the collector, `name: value` a line", file="secret")
    ] = None
    interval_s: Annotated[int, Key("seconds between two pushes of the metrics", ge=5, le=3600)] = 60
