"""Checks of limits and tuning rules against the journaled series."""

from collections.abc import Iterator

from agent.commands.checks.configuration import limit_line, tuning_line
from agent.commands.checks.line import Level, Line, ok
from agent.commands.inspect import learn
from agent.commands.printing import many
from agent.config import Config
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.status.limits import judge_tuning_use, judge_uses


def look_at_rules(config: Config) -> Iterator[Line]:
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
    yield from map(limit_line, faults)
    if uses and not faults:
        yield ok("limits", f"{len(uses)} configured, each matches a received series")
    rules = detector.tuning_use()
    unmatched = judge_tuning_use(rules)
    yield from map(tuning_line, unmatched)
    if rules and not unmatched:
        yield ok("tuning", f"{many(len(rules), 'rule')}, each matches a received series")


def look_at_unmatched_tuning(config: Config) -> Iterator[Line]:
    """Report the tuning rules that match none of the journaled series; nothing without a journal."""
    lines = look_at_rules(config)
    yield from (line for line in lines if line.check.startswith("tuning ") and line.level is Level.WARN)
