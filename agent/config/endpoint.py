"""Endpoints of model and telemetry, and the key or variable that sets each."""

import os
from collections.abc import Mapping

from agent.config.credentials import KEY_VARIABLE
from agent.config.sections import Config
from agent.observe.traces import sdk_disabled
from agent.sinks.settings import host_of

OPENAI_URL = "https://api.openai.com/v1"


def endpoint_of(config: Config, *, key: bool) -> str | None:
    """Return the address of the model, None without one; ``key``: there is an API key."""
    if config.review.mode == "none":
        return None
    return config.ai.base_url or (OPENAI_URL if key else None)


def has_key(config: Config, environ: Mapping[str, str]) -> bool:
    """Return whether a key is configured or in the environment, without reading the file."""
    return config.ai.api_key_file is not None or bool(environ.get(KEY_VARIABLE, "").strip())


def describe_model(config: Config, *, key: bool) -> str:
    """Return model and endpoint in words, with the key or variable that sets each."""
    endpoint = endpoint_of(config, key=key)
    if config.review.mode == "none":
        return "no model is asked (review.mode is none)"
    if endpoint is None:
        return "no model is asked (neither ai.base_url nor a key)"
    where = _origin(config, "ai.base_url") if config.ai.base_url else "the default, since there is a key"
    return f"{config.ai.model} ({_origin(config, 'ai.model')}) is asked at {endpoint} ({where})"


def describe_traces(config: Config) -> str:
    """Return the destination of spans in words, with the key or variable that sets it."""
    traces = config.traces
    if traces.endpoint is None and traces.protocol != "console":
        return "no spans are sent (traces.endpoint is null)"
    if sdk_disabled(os.environ):
        return "no spans are sent (from the variable OTEL_SDK_DISABLED)"
    if traces.protocol == "console":
        return "spans go to stderr (traces.protocol)"
    share = ""
    if traces.sample_ratio < 1:
        share = f", a share of {traces.sample_ratio:g} ({_origin(config, 'traces.sample_ratio')})"
    where = f"{traces.endpoint} by {traces.protocol} ({_origin(config, 'traces.endpoint')})"
    return f"spans go to {where}{share}"


def describe_push(config: Config) -> str:
    """Return the destination of pushed metrics and log lines in words, with the keys or variables."""
    otel = config.otel
    pushed = [
        f"{words} ({_origin(config, key)})"
        for words, key, wanted in (
            ("metrics", "otel.metrics", otel.metrics),
            ("log lines", "otel.logs", otel.logs),
        )
        if wanted
    ]
    if not pushed:
        return "no metrics or log lines are pushed (otel.metrics and otel.logs are false)"
    if sdk_disabled(os.environ):
        return "no metrics or log lines are pushed (from the variable OTEL_SDK_DISABLED)"
    where = f"{otel.endpoint} by {otel.protocol} ({_origin(config, 'otel.endpoint')})"
    return f"{' and '.join(pushed)} go to {where}"


def describe_notices(config: Config) -> str:
    """Return in words who is notified of findings; an address in a file is not shown."""
    sinks = config.notify.sinks
    if not sinks:
        return "nobody is notified of findings (notify.sinks is empty)"
    return ", ".join(
        f"{one.label} ({one.type} at {host_of(one.url) if one.url else 'the address in url_file'},"
        f" from {one.min_severity})"
        for one in sinks
    )


def _origin(config: Config, key: str) -> str:
    variable = config.origins.get(key)
    return key if variable is None else f"from the variable {variable}"
