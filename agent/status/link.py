"""What a person is told of the link: what is wrong, and what is weaker than it could be."""

from agent.mqtt import LinkState, LinkStats
from agent.verdict.verdict import iso


def link_problems(link: LinkState, stats: LinkStats, *, url: str, now: float) -> list[str]:
    """Return what is wrong between the broker and us, in sentences; ``now`` is monotonic."""
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
    """Return what works, but less well than with another broker."""
    notes = []
    if link.protocol == "3.1.1":
        notes.append(
            "The broker speaks MQTT 3.1.1: a publish that it refuses cannot be told from one that it took."
        )
    if ids_reused:
        notes.append(
            "The broker reuses packet ids: what it sends again after a reconnect is journaled again."
        )
    return notes
