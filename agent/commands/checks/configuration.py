"""Checks of the configuration itself, without I/O and against the journal."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from agent.commands.checks.line import Level, Line, ok, warn
from agent.commands.inspect import learn
from agent.commands.printing import many, printable
from agent.config import Config, settings
from agent.journal import JournalError, Reader
from agent.status.limits import LimitFault, judge_patterns, judge_tuning, judge_tuning_use, judge_uses


def look_at_settings(config: Config) -> Iterator[Line]:
    """Report which limits can match nothing, and that the model's address looks incomplete."""
    yield from map(_limit_line, judge_patterns(settings.of_limits(config)))
    yield from map(_tuning_line, judge_tuning(settings.of_tuning(config)))
    url = config.ai.base_url
    if config.review.mode != "none" and url and not urlsplit(url).path.strip("/"):
        yield warn(
            "model.base_url",
            f"ai.base_url {url} has no path, but most servers answer below /v1 only",
            f"write {url.rstrip('/')}/v1 unless the server's documentation names another path",
        )


def look_at_limits(config: Config) -> Iterator[Line]:
    """Report which limits and tuning rules hold for none of the journaled series, or in another unit."""
    if not config.limits and not config.tuning:
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
    rules = detector.tuning_use()
    unmatched = judge_tuning_use(rules)
    yield from map(_tuning_line, unmatched)
    if rules and not unmatched:
        yield ok("tuning", f"{many(len(rules), 'rule')}, each matches a received series")


def look_at_unmatched_rules(config: Config) -> Iterator[Line]:
    """Report the tuning rules that match none of the journaled series; nothing without a journal."""
    if config.tuning:
        lines = look_at_limits(config)
        yield from (line for line in lines if line.check.startswith("tuning ") and line.level is Level.WARN)


def _tuning_line(fault: LimitFault) -> Line:
    return warn(f"tuning {printable(fault.pattern)}", printable(fault.what), printable(fault.remedy))


def _limit_line(fault: LimitFault) -> Line:
    return warn(f"limits {printable(fault.pattern)}", printable(fault.what), printable(fault.remedy))
