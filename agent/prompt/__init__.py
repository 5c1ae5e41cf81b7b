"""The prompt, the accepted form of a reply, and the checks of its claims.

Pure: nothing here reads a clock, logs, counts or draws random numbers.
"""

from agent.prompt.ground import ground
from agent.prompt.parse import Parsed, Problem, parse
from agent.prompt.render import (
    NAME,
    SCHEMA,
    SYSTEM,
    VERSION,
    Prompt,
    base_tokens,
    estimate_tokens,
    least_tokens,
    output_tokens,
    render,
    window_tokens,
)
from agent.prompt.section import MAX_SERIES, render_section
from agent.prompt.words import reveal

__all__ = [
    "MAX_SERIES",
    "NAME",
    "SCHEMA",
    "SYSTEM",
    "VERSION",
    "Parsed",
    "Problem",
    "Prompt",
    "base_tokens",
    "estimate_tokens",
    "ground",
    "least_tokens",
    "output_tokens",
    "parse",
    "render",
    "render_section",
    "reveal",
    "window_tokens",
]
