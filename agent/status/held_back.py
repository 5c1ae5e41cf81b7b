"""What a person is told of work that is kept back: what it is, since when, and what helps."""

from collections.abc import Sequence

from agent.verdict.encode import iso
from agent.verdict.verdict import clean

MAX_TOPIC = 120
MAX_CHANGES = 3


def journal_words(problem: str, since: float) -> str:
    """Return what is wrong with the journal; the rest of the sentence is its own."""
    return f"Journal, since {iso(since)}: {problem}."


def refused_words(topics: Sequence[str], *, code: int, since: float, base_topic: str) -> str:
    """Return what waits because the broker refuses it."""
    more = f" and of {len(topics) - 1} more topics" if len(topics) > 1 else ""
    return (
        f"The broker has refused the messages of {clean(topics[0])[:MAX_TOPIC]}{more} since {iso(since)}"
        f" (reason code 0x{code:02x}): they wait on disk, are tried again within the hour and given up after"
        f" 24 h. Allow the agent to write below {base_topic}/, or raise the broker's packet limit."
    )


def given_up_words(count: int, *, topic: str, since: float, keep_days: float) -> str:
    """Return what was refused for a day and is not tried again."""
    return (
        f"{count} message{'s' * (count != 1)} could not be delivered for 24 h and "
        f"{'are' if count != 1 else 'is'} not tried again, the oldest for {clean(topic)[:MAX_TOPIC]}, refused"
        f" since {iso(since)}: see the broker's ACL, and edge-agent show VERDICT_ID for the code."
        f" They are kept for {keep_days:g} days."
    )


def intake_words(since: float) -> str:
    """Return why nothing is taken from the broker for now."""
    return (
        f"Intake is full since {iso(since)}: what arrives is left with the broker until there is room. If it"
        " lasts, look at the journal's disk and at the load of this machine, or raise mqtt.max_intake_mib."
    )


def backlog_words(count: int, since: float) -> str:
    """Return how much waits for the broker's acknowledgement, and what may keep it."""
    return (
        f"{count} messages wait for the broker since {iso(since)}, and are on disk. If it is connected, it"
        " acknowledges too slowly: look at its load and its persistence settings (autosave_on_changes)."
    )


def quarantine_words(count: int, *, topic: str, reason: str, at: float) -> str:
    """Return how much could not be read since the start, and how to find out why."""
    return (
        f"{count} message{'s' * (count != 1)} could not be read since the start, the last at {iso(at)} on"
        f" {clean(topic)[:MAX_TOPIC]} ({reason}): edge-agent explain TOPIC PAYLOAD says why."
    )


def telemetry_words(lines: int, spans: int, since: float) -> str:
    """Return what was lost of logs and traces."""
    return (
        f"{lines} log lines and {spans} spans were lost since {iso(since)}: standard output or"
        " traces.endpoint takes them too slowly."
    )


def evicted_words(count: int, most: int) -> str:
    """Return why series may learn for ever."""
    return (
        f"{count} series were forgotten since the start, because more than {most} came: they learn from the"
        " beginning when they come again. Name fewer devices or metrics in sources."
    )


def learning_words(learning: int, series: int) -> str:
    """Return how many series cannot be judged yet."""
    return f"{learning} of {series} series are still learning: of these only configured limits alarm."


def many_metrics_words(device: str, metrics: int, shown: int) -> str:
    """Return that a device has more metrics than the status shows."""
    return (
        f"{device[:64]} has {metrics} metrics, of which at most {shown} are shown."
        " If it invents their names, leave its topic out of sources."
    )


def unit_change_words(changes: Sequence[object]) -> str:
    """Return which series learn again because their unit changed, each a sentence."""
    shown = [str(change) for change in changes[:MAX_CHANGES]]
    more = f" (and {len(changes) - MAX_CHANGES} more series)" if len(changes) > MAX_CHANGES else ""
    return f"{'; '.join(shown)}{more}: what was learnt before does not hold, only limits alarm meanwhile."
