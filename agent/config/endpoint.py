"""Endpoint of the model and of the traces, and the key or variable that sets it."""

from collections.abc import Mapping

from agent.config.credentials import KEY_VARIABLE
from agent.config.sections import Config
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
    if traces.protocol == "console":
        return "spans go to stderr (traces.protocol)"
    if traces.endpoint is None:
        return "no spans are sent (traces.endpoint is null)"
    return f"spans go to {traces.endpoint} by {traces.protocol} ({_origin(config, 'traces.endpoint')})"


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
