"""Counts by source: outcomes of messages, skipped values, times not believed.

Source ``""`` holds the messages that belong to none: of no source's topic, the agent's own, repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from agent.decode.family import Skip
from agent.domain.records import Handling

REFUSED: Final = "refused"  # to the quarantine
SEED: Final = "seed"  # retained: the last value only
HISTORY: Final = "history"  # all readings at old times: kept, not judged
IGNORED: Final = "ignored"  # retained, and the source ignores these
DUPLICATE: Final = "duplicate"  # known by the publisher's own id
REDELIVERED: Final = "redelivered"
FEEDBACK: Final = "feedback"
COMMAND: Final = "command"

#: Outcomes of a message; the counts of all add up to the messages received.
OUTCOMES: Final[tuple[str, ...]] = (
    Handling.READ,
    Handling.TEXT,
    Handling.NO_VALUE,
    REFUSED,
    Handling.AVAILABILITY,
    Handling.EXCLUDED,
    Handling.OVERLAP,
    Handling.UNMATCHED,
    Handling.OWN,
    SEED,
    HISTORY,
    IGNORED,
    DUPLICATE,
    REDELIVERED,
    FEEDBACK,
    COMMAND,
)
MAIN_OUTCOMES: Final = 4  # the first ones: of the sources' own messages
#: Outcomes of messages that should have held a reading.
FRUITLESS: Final = frozenset({Handling.TEXT, Handling.NO_VALUE, REFUSED})

#: Skipped by intent: nothing that a person has to look at.
INTENDED: Final = frozenset({Skip.NOT_A_VALUE, Skip.OTHER_UNIT, Skip.EXCLUDED, Skip.EMPTY, Skip.REPEATED})

_MAX_SAMPLES = 8
_MAX_SHOWN = 128  # characters of a name
_MIN_FRUITLESS = 3  # messages; a single one may be a button
_YIELD_S = 300.0  # for a source that never had a reading
_YIELD_AGAIN_S = 3600.0  # and for one that had, at least: a slow sensor may send its state more often
_YIELD_FACTOR = 3.0  # times the longest time between its readings


@dataclass(slots=True)
class SourceTally:
    """Counts of one source."""

    messages: dict[str, int] = field(default_factory=dict)  # by outcome
    readings: int = 0
    skipped: dict[str, int] = field(default_factory=dict)  # values by reason, at most 16 of a message
    history: int = 0  # readings at old times: kept, not judged
    times: int = 0  # messages with a time that was not believed
    last: float | None = None  # receipt of the last message, Unix seconds
    samples: dict[tuple[str, str], str] = field(default_factory=dict)  # device, name -> reason; newest last
    fruitless: int = 0  # messages since the last reading, without those that the broker retained
    fruitless_since: float | None = None  # time.monotonic() of the first of these
    fruitless_at: float | None = None  # receipt of the first of these, Unix seconds
    read_at: float | None = None  # time.monotonic() of the last reading
    longest_s: float = 0.0  # longest time between two readings
    rhythm: list[Any] | None = None  # how often it sends, as its judge keeps it over restarts

    def sample(self, device: str, name: str, why: str) -> None:
        """Keep a skipped value as an example; the oldest give way."""
        device, name = device[:_MAX_SHOWN], name[:_MAX_SHOWN]
        self.samples.pop((device, name), None)
        while len(self.samples) >= _MAX_SAMPLES:
            del self.samples[next(iter(self.samples))]
        self.samples[device, name] = why

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Self:
        """Return the counts that :meth:`as_json` gave; their monotonic times are gone.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(
            messages={str(outcome): int(count) for outcome, count in found["messages"].items()},
            readings=int(found["readings"]),
            skipped={str(why): int(count) for why, count in found["skipped"].items()},
            history=int(found.get("history", 0)),  # counts of an older version have none
            times=int(found["times"]),
            last=None if found["last"] is None else float(found["last"]),
            samples={(str(device), str(name)): str(why) for device, name, why in found["samples"]},
            fruitless=int(found["fruitless"]),
            fruitless_at=None if found["fruitless_at"] is None else float(found["fruitless_at"]),
            rhythm=found.get("rhythm"),  # counts of an older version have none
        )

    def add(self, group: "SourceTally", now: float) -> None:
        """Add the counts of a committed group; ``now`` is monotonic."""
        for own, more in ((self.messages, group.messages), (self.skipped, group.skipped)):
            for key, count in more.items():
                own[key] = own.get(key, 0) + count
        self.readings += group.readings
        self.history += group.history
        self.times += group.times
        self.last = self.last if group.last is None else group.last
        for (device, name), why in group.samples.items():
            self.sample(device, name, why)
        if group.readings:
            if self.read_at is not None:
                self.longest_s = max(self.longest_s, now - self.read_at)
            self.read_at = now
            self.fruitless, self.fruitless_since, self.fruitless_at = 0, None, None
        elif group.fruitless:
            if not self.fruitless:
                self.fruitless_since, self.fruitless_at = now, group.last
            self.fruitless += group.fruitless

    def yields_nothing(self, now: float) -> bool:
        """Whether messages have come for too long without a reading; ``now`` is monotonic."""
        if self.fruitless_since is None or self.fruitless < _MIN_FRUITLESS:
            return False
        patience_s = _YIELD_S
        if self.read_at is not None:
            patience_s = max(_YIELD_AGAIN_S, _YIELD_FACTOR * self.longest_s)
        return now - self.fruitless_since >= patience_s

    def as_json(self, now: float) -> dict[str, Any]:
        """Return the counts for the journal's file; ``now`` is monotonic."""
        return {
            "yields_nothing": self.yields_nothing(now),
            "messages": dict(self.messages),
            "readings": self.readings,
            "skipped": dict(self.skipped),
            "history": self.history,
            "times": self.times,
            "last": self.last,
            "fruitless": self.fruitless,
            "fruitless_at": self.fruitless_at,
            "samples": [[device, name, why] for (device, name), why in list(self.samples.items())],
            "rhythm": self.rhythm,
        }


class EarlierCounts(NamedTuple):
    """Counts of a source in the last run that received messages of it, as :meth:`SourceTally.as_json`."""

    since: float  # Unix seconds, start of that run
    at: float  # Unix seconds, its last save
    counts: Mapping[str, Any]


def total(messages: Mapping[str, int]) -> int:
    """Return the number of messages over all outcomes."""
    return sum(messages.values())
