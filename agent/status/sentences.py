"""Sentences for a person: the problem or weakness, since when, and the remedy."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.journal.clocks import Fault, Faulty
from agent.mqtt import LinkState, LinkStats
from agent.verdict.encode import iso
from agent.verdict.verdict import clean

MAX_TOPIC = 120
MAX_CHANGES = 3
MAX_DEVICE = 64
_DAYS_FROM = 2 * 1440  # minutes


def link_problems(link: LinkState, stats: LinkStats, *, url: str, now: float) -> list[str]:
    """Return the problems between broker and agent; ``now`` is monotonic."""
    found = []
    if link.silent_until is not None:
        found.append(f"Silent until {iso(link.silent_until)}: {link.last_error or 'the client id is taken'}.")
    elif not link.connected:
        found.append(link.last_error or f"Not connected to the broker at {url}.")
    elif not link.subscribed:
        found.append(link.last_error or "Connected, but no filter is subscribed yet.")
    found += [f"The broker refused the filter {text!r}: allow the agent to read it." for text in link.refused]
    found += [
        f"The broker grants {text!r} at a lower QoS than asked for: messages may be lost."
        for text in link.downgraded
    ]
    if dropped := stats.broker_drops.recent(now):
        found.append(
            f"The broker dropped {dropped} messages of its clients in the last 10 minutes: "
            "raise its max_queued_messages."
        )
    return found


def link_notes(link: LinkState, *, ids_reused: bool) -> list[str]:
    """Return the limits of this broker."""
    notes = []
    if link.protocol == "3.1.1":
        notes.append("The broker speaks MQTT 3.1.1: a publish that it refuses looks like one that it took.")
    if ids_reused:
        notes.append(
            "The broker reuses packet ids: what it sends again after a reconnect is journaled again."
        )
    return notes


def journal_words(problem: str, since: float) -> str:
    """Return the problem of the journal; the rest of the sentence is its own."""
    return f"Journal, since {iso(since)}: {problem}."


def refused_words(title: str, keys: Sequence[str], *, reason: str, remedy: str, since: float) -> str:
    """Return which messages wait because a sink refuses them; ``title`` names its receiver."""
    more = f" and of {len(keys) - 1} more topics" if len(keys) > 1 else ""
    return (
        f"{title[:1].upper()}{title[1:]} has refused the messages of {clean(keys[0])[:MAX_TOPIC]}{more} since"
        f" {iso(since)} ({reason}): they wait on disk, are tried again within the hour and given up after"
        f" 24 h. {remedy[:1].upper()}{remedy[1:]}."
    )


def given_up_words(count: int, *, topic: str, since: float, keep_days: float) -> str:
    """Return which messages were refused for a day and are not tried again."""
    return (
        f"{count} message{'s' * (count != 1)} could not be delivered for 24 h and "
        f"{'are' if count != 1 else 'is'} not tried again, the oldest for {clean(topic)[:MAX_TOPIC]}, refused"
        f" since {iso(since)}: see the broker's ACL, and edge-agent show VERDICT_ID for the code."
        f" They are kept for {keep_days:g} days."
    )


def notices_words(title: str, waiting: int, *, reason: str, since: float, remedy: str | None) -> str:
    """Return that a sink takes no notices, why, and what helps."""
    helps = remedy or "if it lasts, edge-agent notify test prints what it answers"
    return (
        f"{title[:1].upper()}{title[1:]} has failed since {iso(since)} ({reason}):"
        f" {_waits(waiting)} given up after 24 h. {helps[:1].upper()}{helps[1:]}."
    )


def _waits(notices: int) -> str:
    return f"{notices} notices wait, and are" if notices != 1 else "1 notice waits, and is"


def notices_lost_words(title: str, count: int) -> str:
    """Return how many notices did not reach their people."""
    return (
        f"{count} notice{'s' * (count != 1)} of {title} could not be delivered for 24 h, and"
        f" {'are' if count != 1 else 'is'} given up: look at the findings on the page."
    )


def intake_words(since: float) -> str:
    """Return why the agent takes no messages from the broker now."""
    return (
        f"Intake is full since {iso(since)}: what arrives is left with the broker until there is room. If it"
        " lasts, look at the journal's disk and at the load of this machine, or raise mqtt.max_intake_mib."
    )


def backlog_words(count: int, since: float) -> str:
    """Return how many messages wait for the broker's acknowledgement, and possible causes."""
    return (
        f"{count} messages wait for the broker since {iso(since)}, and are on disk. If it is connected, it"
        " acknowledges too slowly: look at its load and its persistence settings (autosave_on_changes)."
    )


def quarantine_words(count: int, *, topic: str, reason: str, at: float) -> str:
    """Return how many messages could not be read since the start, and how to find the cause."""
    return (
        f"{count} message{'s' * (count != 1)} could not be read since the start, the last at {iso(at)} on"
        f" {clean(topic)[:MAX_TOPIC]} ({reason}): edge-agent explain TOPIC PAYLOAD prints the reason."
    )


def telemetry_words(dropped: Mapping[str, int], since: float) -> str:
    """Return how many log lines, spans and pushes of metrics were lost."""
    return (
        f"{dropped['logs']} log lines, {dropped['traces']} spans and {dropped['metrics']} pushes of metrics"
        f" were lost since {iso(since)}: standard output, traces.endpoint or otel.endpoint takes them too"
        " slowly."
    )


def aside_words(path: Path) -> str:
    """Return what a damaged journal cost."""
    return (
        f"The journal was damaged and begun again: what was learnt, and the findings before, are in {path}"
        " only. Delete that file once it is no longer needed."
    )


def evicted_words(count: int, most: int) -> str:
    """Return why series may never be learnt."""
    return (
        f"{count} series were forgotten since the start, because more than {most} came: they learn from the"
        " beginning when they come again. Name fewer devices or metrics in sources."
    )


def learning_words(learning: int, series: int) -> str:
    """Return how many series cannot be judged yet."""
    return f"{learning} of {series} series are still learning: of these only configured limits alarm."


def clock_words(devices: Sequence[Faulty], fault: Fault) -> str:
    """Return which devices have a fault of their clock; the end of the sentence is the remedy."""
    first = ", ".join(
        f"{clean(one.device)[:MAX_DEVICE]} ({offset_words(one.off_s)})" for one in devices[:MAX_CHANGES]
    )
    more = f" and {len(devices) - MAX_CHANGES} more" if len(devices) > MAX_CHANGES else ""
    what = "Wrong clock" if fault is Fault.WRONG else "Local time that is sent as UTC, as it seems"
    return f"{what}: {first}{more}"


def offset_words(off_s: float) -> str:
    """Return how far a device's time is from receipt."""
    minutes = round(abs(off_s) / 60.0)
    far = f"{minutes // 60}:{minutes % 60:02d} h" if minutes < _DAYS_FROM else f"{minutes / 1440.0:.0f} days"
    return f"{far} {'ahead' if off_s > 0 else 'behind'}"


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
