"""Checks of the configuration itself, without I/O."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from agent.commands.checks.line import Line, warn
from agent.commands.printing import printable
from agent.config import Config
from agent.config.series_rules import of_limits, of_tuning
from agent.status.limits import LimitFault, judge_patterns, judge_tuning


def look_at_settings(config: Config) -> Iterator[Line]:
    """Report which limits can match nothing, and that the model's address looks incomplete."""
    yield from map(limit_line, judge_patterns(of_limits(config)))
    yield from map(tuning_line, judge_tuning(of_tuning(config)))
    url = config.ai.base_url
    if config.review.mode != "none" and url and not urlsplit(url).path.strip("/"):
        yield warn(
            "model.base_url",
            f"ai.base_url {url} has no path, but most servers answer below /v1 only",
            f"write {url.rstrip('/')}/v1 unless the server's documentation names another path",
        )


def tuning_line(fault: LimitFault) -> Line:
    """Return a tuning rule without effect as a line."""
    return warn(f"tuning {printable(fault.pattern)}", printable(fault.what), printable(fault.remedy))


def limit_line(fault: LimitFault) -> Line:
    """Return a limit without effect as a line."""
    return warn(f"limits {printable(fault.pattern)}", printable(fault.what), printable(fault.remedy))
