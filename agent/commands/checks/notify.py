"""Check of the sinks of notices: reachable, and failures in the journal."""

from collections.abc import Iterator

from agent.commands.checks.line import Line, fail, ok, warn
from agent.commands.notify import make_receiver
from agent.commands.printing import many, printable
from agent.config import Config
from agent.config.endpoint import describe_notices
from agent.journal import JournalError
from agent.journal.reader import NoticesRecord, Reader
from agent.sinks.worker import ReceiverError
from agent.verdict.encode import iso


def look_at_notify(config: Config) -> Iterator[Line]:
    """Reach each sink, log in where it has a login, and report failures that the journal knows of."""
    sinks = config.notify.sinks
    yield ok("notify", printable(describe_notices(config)))
    if not sinks:
        return
    try:
        with Reader.open(config.agent.state_dir) as reader:
            journaled = reader.notices([one.label for one in sinks])
    except JournalError:
        journaled = {}  # reported by the check of the journal
    for one in sinks:
        check = f"notify.{one.label}"
        try:
            yield ok(check, printable(make_receiver(one, {}).probe()))
        except ReceiverError as error:
            yield fail(check, printable(str(error)), printable(error.remedy))
        if one.label in journaled:
            yield from _journaled(check, journaled[one.label])


def _journaled(check: str, found: NoticesRecord) -> Iterator[Line]:
    if found.failing_since is not None:
        yield warn(
            f"{check}.journaled",
            f"fails since {iso(found.failing_since)} ({printable(found.reason or '')}):"
            f" {many(found.waiting, 'notice')} to be delivered, given up after 24 h",
            "edge-agent notify test sends one now",
        )
    if found.given_up:
        yield warn(
            f"{check}.journaled",
            f"{many(found.given_up, 'notice')} could not be delivered and will not be tried again",
            "look at the findings on the page",
        )
