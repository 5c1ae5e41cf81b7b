"""The prompt of a call.

Pure: nothing here reads a clock, logs, counts or draws random numbers. The form of a reply (``parse``) and
the checks of its claims (``ground``) are imported with the caller alone.
"""

from agent.prompt.render import (
    NAME,
    SCHEMA,
    SITE_SYSTEM,
    SYSTEM,
    VERSION,
    Prompt,
    base_tokens,
    estimate_tokens,
    hash_of,
    least_tokens,
    output_tokens,
    render,
    site_room,
    site_tokens,
    version_of,
    window_tokens,
)
from agent.prompt.section import MAX_SERIES, render_section
from agent.prompt.site import ALONE, NOTHING, Shared, Site
from agent.prompt.words import reveal

__all__ = [
    "ALONE",
    "MAX_SERIES",
    "NAME",
    "NOTHING",
    "SCHEMA",
    "SITE_SYSTEM",
    "SYSTEM",
    "VERSION",
    "Prompt",
    "Shared",
    "Site",
    "base_tokens",
    "estimate_tokens",
    "hash_of",
    "least_tokens",
    "output_tokens",
    "render",
    "render_section",
    "reveal",
    "site_room",
    "site_tokens",
    "version_of",
    "window_tokens",
]
