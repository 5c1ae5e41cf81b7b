"""Destinations of telemetry, as far as OpenTelemetry accepts its variables."""

from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.config.endpoint import describe_push, describe_traces
from agent.observe.traces import open_tracer


def look_at_traces(config: Config) -> str:
    """Return the destination of spans in words, or why there are none."""
    traces = config.traces
    return _accepted(
        lambda log: open_tracer(endpoint=traces.endpoint, protocol=traces.protocol, log=log).shutdown(),
        lambda: describe_traces(config),
        "no spans are sent",
    )


def look_at_push(config: Config) -> str:
    """Return the destination of metrics and log lines in words, or why they are not pushed."""
    if not (config.otel.metrics or config.otel.logs):
        return describe_push(config)
    from agent.observe.push import open_exporters  # noqa: PLC0415 - 10 MiB that off must not cost

    return _accepted(
        lambda log: open_exporters(config.otel, version="", gateway=config.name, headers={}, log=log),
        lambda: describe_push(config),
        "no metrics or log lines are pushed",
    )


def _accepted(opens: Callable[[Callable[..., None]], object], describe: Callable[[], str], none: str) -> str:
    """Return the description, unless the SDK refuses a variable when it is opened; nothing is sent."""
    refused: list[dict[str, Any]] = []
    opens(lambda _event, **fields: refused.append(fields))
    if not refused:
        return describe()
    names = refused[0]["variables"]
    one_of = "one of the variables " if len(names) > 1 else ""
    return f"{none}: OpenTelemetry refuses {one_of}{', '.join(names)}; correct or unset it"
