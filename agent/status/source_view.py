"""Sources as the status shows them, and the devices that send but are not read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from agent.decode.family import Skip
from agent.detect import Detector
from agent.domain.records import Handling
from agent.journal.source_tally import FRUITLESS, EarlierCounts, SourceTally, total
from agent.journal.stats import JournalStats
from agent.journal.unread import Missing, Unread
from agent.status.schema import MAX_SOURCES, SourceView
from agent.verdict.encode import iso
from agent.verdict.verdict import clean

_MAX_SHOWN = 80
_MAX_REASONS = 4
_NO_SOURCE = SourceTally()


def view_sources(labels: Sequence[str], stats: JournalStats, now: float) -> list[SourceView]:
    """Return the counts of each configured source, in their order; ``now`` is monotonic."""
    tallies = dict(stats.sources)
    return [_view(label, tallies.get(label), stats.earlier.get(label), now) for label in labels[:MAX_SOURCES]]


def _view(label: str, tally: SourceTally | None, earlier: EarlierCounts | None, now: float) -> SourceView:
    yields_nothing, until = False, None
    if tally is None and earlier is not None:
        tally, until = SourceTally.of_json(earlier.counts), iso(earlier.at)
        yields_nothing = earlier.counts["yields_nothing"]
    tally = tally or _NO_SOURCE
    messages = dict(tally.messages)
    return {
        "source": label,
        "messages": total(messages),
        "outcomes": messages,
        "readings": tally.readings,
        "text": messages.get(Handling.TEXT, 0),
        "skipped": {str(why): count for why, count in list(tally.skipped.items())},
        "history": tally.history,
        "times_not_believed": tally.times,
        "last_message": None if tally.last is None else iso(tally.last),
        "yields_nothing": yields_nothing or tally.yields_nothing(now),
        "counted_until": until,
        "unread": [
            {"device": device, "name": name, "why": why}
            for (device, name), why in reversed(list(tally.samples.items()))
        ],
    }


def unmatched(stats: JournalStats) -> int:
    """Return how many messages came whose topic no source has."""
    tally = stats.sources.get("", _NO_SOURCE)
    return tally.messages.get(Handling.UNMATCHED, 0)


def barren(stats: JournalStats, now: float) -> dict[str, SourceTally]:
    """Return the sources whose messages hold no reading; ``now`` is monotonic."""
    return {label: one for label, one in list(stats.sources.items()) if label and one.yields_nothing(now)}


def barren_words(source: str, counts: Mapping[str, Any]) -> str:
    """Return what a source sends in place of readings; ``counts`` as :meth:`SourceTally.as_json` gives."""
    since, samples = counts["fruitless_at"], counts["samples"]
    kinds = [f"{word} {count}" for word, count in counts["messages"].items() if word in FRUITLESS]
    reasons = sorted(counts["skipped"].items(), key=itemgetter(1), reverse=True)[:_MAX_REASONS]
    parts = kinds + [f"{count} values {why}" for why, count in reasons]
    if samples:
        device, name, why = samples[-1]
        parts.append(f"the last {clean(f'{device} {name}')[: 2 * _MAX_SHOWN].strip()}: {why}")
    after = "" if since is None else f" since {iso(since)}"
    return (
        f"Source {clean(source)[:_MAX_SHOWN]} has sent {counts['fruitless']} messages without a reading"
        f"{after} ({', '.join(parts)})"
    )


#: The remedy for births before the agent listened.
REBIRTH = (
    "its names come with the next birth of each node: restart the nodes, or set request_rebirth: true on the"
    " source"
)


def barren_remedy(skipped: Mapping[str, int]) -> str:
    """Return what a person can do about it, by the values skipped."""
    words = skipped.get(Skip.UNMAPPED, 0) + skipped.get(Skip.TEXT, 0)
    mostly_words = words and 2 * words >= sum(skipped.values())
    first = "give its words a number under metrics.values, or set its format; " if mostly_words else ""
    if skipped.get(Skip.UNKNOWN_ALIAS):
        first = f"{REBIRTH}; "
    return (
        f"{first}edge-agent explain TOPIC PAYLOAD shows each step, edge-agent discover proposes sources that"
        " can be read"
    )


@dataclass(slots=True, kw_only=True)
class Heard:
    """Devices that speak without a value that can be read."""

    lost: Mapping[str, list[Missing]] = field(default_factory=dict)  # had readings before
    never: Mapping[str, list[Missing]] = field(default_factory=dict)  # of these no reading ever came
    missing: Mapping[str, list[Missing]] = field(default_factory=dict)  # of all devices

    def __contains__(self, device: str) -> bool:
        return device in self.lost or device in self.never

    def __len__(self) -> int:
        return len(self.lost) + len(self.never)


def find_heard(detector: Detector, unread: Unread, now: float) -> Heard:
    """Return the devices that send but are not read, from any thread; ``now`` is Unix time in seconds."""
    missing = unread.missing(now)
    lost = {device: missing.get(device, []) for device in detector.unreadable()}
    never = {device: names for device, names in missing.items() if not detector.knows(device)}
    return Heard(lost=lost, never=never, missing=missing)


def heard_words(devices: Mapping[str, list[Missing]]) -> str:
    """Return which devices send but are not read."""
    first, names = next(iter(devices.items()))
    why = (
        f" ({', '.join(f'{clean(one.name)[:_MAX_SHOWN]}: {one.why}' for one in names[:3])})" if names else ""
    )
    more = f" and {len(devices) - 1} more" if len(devices) > 1 else ""
    verb = "send" if len(devices) > 1 else "sends"
    return (
        f"{clean(first)[:_MAX_SHOWN]}{why}{more} {verb} messages in which nothing can be read:"
        " edge-agent explain TOPIC PAYLOAD shows each step."
    )
