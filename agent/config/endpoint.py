"""Which model is asked at which address, and where that was said."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agent.config.credentials import KEY_VARIABLE

if TYPE_CHECKING:
    from agent.config import Config

OPENAI_URL = "https://api.openai.com/v1"


def endpoint_of(config: "Config", *, key: bool) -> str | None:
    """Return the address that is asked, None without one; ``key``: there is one to show there."""
    if config.review.mode == "none":
        return None
    return config.ai.base_url or (OPENAI_URL if key else None)


def has_key(config: "Config", environ: Mapping[str, str]) -> bool:
    """Say whether a key is configured or in the environment, without reading the file."""
    return config.ai.api_key_file is not None or bool(environ.get(KEY_VARIABLE, "").strip())


def describe_model(config: "Config", *, key: bool) -> str:
    """Return in words which model is asked where, and which key or variable says so."""
    endpoint = endpoint_of(config, key=key)
    if config.review.mode == "none":
        return "no model is asked (review.mode is none)"
    if endpoint is None:
        return "no model is asked (neither ai.base_url nor a key)"
    where = _origin(config, "ai.base_url") if config.ai.base_url else "the default, since there is a key"
    return f"{config.ai.model} ({_origin(config, 'ai.model')}) is asked at {endpoint} ({where})"


def describe_traces(config: "Config") -> str:
    """Return in words where spans go, and which key or variable says so."""
    traces = config.traces
    if traces.protocol == "console":
        return "spans go to stderr (traces.protocol)"
    if traces.endpoint is None:
        return "no spans are sent (traces.endpoint is null)"
    return f"spans go to {traces.endpoint} by {traces.protocol} ({_origin(config, 'traces.endpoint')})"


def _origin(config: "Config", key: str) -> str:
    variable = config.origins.get(key)
    return key if variable is None else f"from the variable {variable}"
