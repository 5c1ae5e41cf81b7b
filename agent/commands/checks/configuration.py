"""Checks of the configuration itself, without I/O and against the journal."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from agent.commands.checks.line import Line, ok, warn
from agent.commands.inspect import learn
from agent.commands.printing import printable
from agent.config import Config, settings
from agent.journal import JournalError, Reader
from agent.status.limits import LimitFault, judge_patterns, judge_uses


def look_at_settings(config: Config) -> Iterator[Line]:
    """Report which limits can match nothing, and that the model's address looks incomplete."""
    yield from map(_limit_line, judge_patterns(settings.of_limits(config)))
    url = config.ai.base_url
    if config.review.mode != "none" and url and not urlsplit(url).path.strip("/"):
        yield warn(
            "model.base_url",
            f"ai.base_url {url} has no path, but most servers answer below /v1 only",
            f"write {url.rstrip('/')}/v1 unless the server's documentation names another path",
        )


def look_at_limits(config: Config) -> Iterator[Line]:
    """Report which limits hold for none of the journaled series, or are in another unit than the readings."""
    if not config.limits:
        return
    try:
        with Reader.open(config.agent.state_dir) as reader:
            detector, _ = learn(reader, config)
    except JournalError:
        return  # reported by the check of the journal
    uses = detector.limit_use()
    faults = judge_uses(uses)
    yield from map(_limit_line, faults)
    if uses and not faults:
        yield ok("limits", f"{len(uses)} configured, each matches a received series")


def _limit_line(fault: LimitFault) -> Line:
    return warn(f"limits {printable(fault.pattern)}", printable(fault.what), printable(fault.remedy))
