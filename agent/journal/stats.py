"""Plain counters of the journal: written by its thread, read by any."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from agent.domain.records import DecodeReason
from agent.journal.clocks import Faulty
from agent.journal.source_tally import EarlierCounts, SourceTally


@dataclass(slots=True)
class Tally:
    """Counts of one group of arrivals, added once it is committed."""

    received: int = 0
    journaled: int = 0
    readings: int = 0
    seeds: int = 0
    redelivered: int = 0  # recognised by the tail rule, acknowledged and not journaled again
    repeats_possible: int = 0  # with DUP=1 and taken as new: each may be a duplicate
    duplicates: int = 0  # recognised by the publisher's own id
    states: int = 0  # availability messages
    text_only: int = 0
    unmatched: int = 0  # no source, or under the agent's own base topic
    retained_ignored: int = 0
    quarantined: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DecodeReason, 0))
    sources: dict[str, SourceTally] = field(default_factory=dict)  # by label, "" for no source
    new_refused: dict[str, int] = field(default_factory=dict)  # with too many new devices, by source

    def of(self, source: str) -> SourceTally:
        """Return the counts of a source."""
        found = self.sources.get(source)
        if found is None:
            found = self.sources[source] = SourceTally()
        return found


_COUNTS = tuple(one.name for one in fields(Tally) if one.name != "sources")


@dataclass(slots=True)
class JournalStats(Tally):
    """Since the start of this process."""

    commits: int = 0
    commit_s: float = 0.0  # time spent in COMMIT, in all
    commit_failures: int = 0
    pruned_rows: int = 0  # of the sequence: messages and timer events
    pruned_early: int = 0  # verdicts, batches and quarantine rows, before keep_days, for lack of room
    bytes_used: int = 0  # used pages and WAL
    bytes_written: int = 0  # by this thread to the storage, as the kernel counts
    heartbeat: float = 0.0  # time.monotonic()
    new_refused_at: float | None = None  # time.monotonic() of the last of these
    clocks: tuple[Faulty, ...] = ()  # devices whose clock is wrong or shows local time
    ids_reused: bool = False  # the broker reuses packet ids: no repeat can be recognised
    earlier: Mapping[str, EarlierCounts] = field(default_factory=dict)  # by source, of earlier runs
    state: str = "ok"  # ok | degraded | full
    problem: str = ""  # why it is not ok, in words

    def add(self, tally: Tally, now: float) -> None:
        """Count a committed group; ``now`` is monotonic."""
        for source, group in tally.sources.items():
            self.sources.setdefault(source, SourceTally()).add(group, now)
        for name in _COUNTS:
            count = getattr(tally, name)
            if isinstance(count, int):
                setattr(self, name, getattr(self, name) + count)
                continue
            total = getattr(self, name)
            for key, number in count.items():
                total[key] = total.get(key, 0) + number
