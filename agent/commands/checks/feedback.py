"""Series with many false alarms, by the feedback of people."""

from collections.abc import Iterator

from agent.commands.checks.line import Line, warn
from agent.commands.printing import many, printable
from agent.config import Config
from agent.journal import JournalError
from agent.journal.reader import Reader

MANY = 3
MAX_NAMED = 5


def look_at_feedback(config: Config) -> Iterator[Line]:
    """Name the series whose findings people called false alarms, and more often than confirmed."""
    try:
        with Reader.open(config.agent.state_dir) as reader:
            counts = reader.feedback_by_series()
    except JournalError:
        return  # the check of the machine reports it
    noisy = [
        (wrong, right, series) for series, (wrong, right) in counts.items() if wrong >= MANY and wrong > right
    ]
    for wrong, right, (device, metric) in sorted(noisy, reverse=True)[:MAX_NAMED]:
        name = printable(f"{device}/{metric}")
        yield warn(
            f"feedback {name}",
            f"{many(wrong, 'finding')} called false alarms, {right} confirmed",
            "close a usual event with edge-agent finding normal, or set tuning: sensitivity calm",
        )
