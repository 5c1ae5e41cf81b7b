"""The inputs of a run: files and the own journal, played into the path."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.commands.offline.recording import GAP_S, open_recording, span_s
from agent.commands.offline.stream import MAX_EXAMPLES, Link, Stream, Tabled, Unread, together
from agent.commands.offline.table import Names, open_table
from agent.commands.printing import UnknownError, printable
from agent.config import Config
from agent.config.series_rules import of_limits, of_tuning
from agent.decode.receive import Receiver
from agent.decode.registry import Decoded, Registry
from agent.detect import Detector
from agent.domain.records import Arrival, Handling, MessageRow, SettingsRow
from agent.journal import JournalStats
from agent.journal.offline import OfflineIntake
from agent.journal.reader import Reader
from agent.journal.source_tally import SEED
from agent.pipeline import snapshot
from agent.pipeline.offline import TICK_S, EventTime
from agent.pipeline.window import Windows, WindowSettings
from agent.verdict.review_policy import CalmRate

TABLES = frozenset({".csv", ".tsv"})
READ = frozenset({Handling.READ, Handling.AVAILABILITY, SEED})  # outcomes of messages that were of use
JOURNAL_TICK_S = 2.0  # the journal has timer rows of its own: another one only where they are missing


@dataclass(slots=True)
class Played:
    """The account of one run over the inputs; times are those of the arrivals, Unix seconds."""

    first: float | None = None
    last: float | None = None
    messages: int = 0
    readings: int = 0  # of rows that were decoded before
    cut: bool = False  # there is more, after the end


@dataclass(frozen=True, slots=True)
class Until:
    """The end of the time that passes: a moment, or so long after the last arrival."""

    at: float | None = None
    after_s: float = 0.0

    def of(self, last: float) -> float:
        """Return it, where the last arrival is known."""
        return last + self.after_s if self.at is None else self.at

    def cuts(self, clock: float) -> bool:
        """Return whether an arrival is beyond it."""
        return self.at is not None and clock > self.at


class Files:
    """Recordings and tables, merged in order of time."""

    since = float("-inf")
    tick_s = TICK_S

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self.unread = Unread()

    def prepare(self, detector: Detector, config: Config) -> None:
        """Begin without any knowledge."""

    def play(self, event_time: EventTime, until: Until, played: Played) -> None:
        """Play the streams; the silence clocks run while at least one of them does."""
        self.unread = Unread()
        with closing(together(self._streams, self.unread)) as items:
            for item in items:
                if until.cuts(item.mono):
                    played.cut = True
                    break
                if isinstance(item, Link):
                    event_time.link(item.mono, up=item.up)
                    continue
                if played.first is None:
                    played.first = item.mono
                played.last = item.mono
                played.messages += 1
                event_time.arrive(item)

    @property
    def names(self) -> str:
        """The names of the files."""
        return printable(", ".join(one.label for one in self._streams))

    def shown(self) -> list[dict[str, object]]:
        """Return name, kind and beginning of each file."""
        return [
            {"name": one.label, "kind": one.kind, "from": one.first, "timed": one.timed, "pace": one.pace}
            for one in self._streams
        ]


class OwnJournal:
    """The rows of a journal, as the agent decoded them; findings before ``since`` are not shown."""

    names = "the journal"
    tick_s = JOURNAL_TICK_S

    def __init__(self, reader: Reader, since_s: float) -> None:
        self._reader = reader
        self.unread = Unread()
        stored = reader.snapshot()
        #: Rows are deleted behind a snapshot, so what the detector knew then is in it.
        self._snapshot = None if reader.is_whole() else stored
        self._after = self._snapshot[0] if self._snapshot else 0
        self.since = reader.last_clock() - since_s

    def prepare(self, detector: Detector, config: Config) -> None:
        """Give the detector the state of the snapshot, if the rows before it are gone."""
        if self._snapshot is not None:
            snapshot.load(self._snapshot[1], detector, Windows(WindowSettings()), CalmRate(), {}, {})
            detector.reconfigure(of_limits(config), of_tuning(config))

    def play(self, event_time: EventTime, until: Until, played: Played) -> None:
        """Play the rows, of devices whose sources are those of now."""
        for device, source in self._reader.sources_of_devices().items():
            event_time.intake.places.take_readings(source, [device])
        for row in self._reader.rows_after(self._after):
            if isinstance(row, SettingsRow):
                continue  # those of the configuration are tried
            if until.cuts(row.clock):
                played.cut = True
                break
            if played.first is None:
                played.first = row.clock
            played.last = row.clock
            if isinstance(row, MessageRow):
                played.messages += 1
                played.readings += 0 if row.seed else len(row.readings)
            event_time.row(row)

    def shown(self) -> list[dict[str, object]]:
        """Return that it is the journal, and whether it begins with a learnt state."""
        return [{"name": "journal", "kind": "journal", "learnt_before": self._snapshot is not None}]


def open_files(
    paths: Sequence[Path], config: Config, *, names: Names | None = None, start: float | None = None
) -> list[Stream]:
    """Return the streams of files; recordings without times follow each other from ``start`` on.

    Raises:
        UnknownError: a file cannot be read, or holds nothing that can be.
    """
    streams, end = [], start
    for path in paths:
        try:
            if path.exists() and not path.is_file():
                raise UnknownError(f"{printable(str(path))}: is not a file, which is read twice; make it one")
            if _is_table(path):
                streams.append(open_table(path, names or Names()))
                continue
            chained = end
            stream = open_recording(path, registry_of(config), start=chained)
            if chained is not None:
                stream = replace(stream, timed=start is not None)
            if start is not None or not stream.timed:
                end = stream.first + span_s(path) + GAP_S
            streams.append(stream)
        except OSError as error:
            raise UnknownError(
                f"{printable(str(path))}: cannot be read: {error.strerror}; correct the path, or its mode"
            ) from None
    return streams


def _is_table(path: Path) -> bool:
    if path.suffix.casefold() in TABLES:
        return True
    with path.open("rb") as file:
        head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    return bool(head) and not head.startswith(b"{")


def registry_of(config: Config) -> Registry:
    """Return a registry of the configured sources."""
    return Registry(sources=config.sources, base_topic=config.base_topic)


def make_intake(config: Config, detector: Detector) -> OfflineIntake:
    """Return an intake that decodes by the configuration; the caller closes it."""
    registry = registry_of(config)
    receiver: Receiver[Decoded] = Receiver(
        registry=registry,
        own={},
        wall_at=lambda _mono, received: received,
        note=lambda _error, _topic: None,  # it is counted as quarantined
    )

    def decode(arrival: Arrival) -> Decoded:
        return arrival.decoded() if isinstance(arrival, Tabled) else receiver.decode(arrival)

    return OfflineIntake(
        decode=decode,
        read=lambda arrival: (arrival.topic, arrival.readings) if isinstance(arrival, Tabled) else None,
        families=registry,
        knows=detector.knows,
        new_devices_per_min={source.topic: source.new_devices_per_min for source in config.sources},
    )


def as_json(stats: JournalStats) -> dict[str, dict[str, object]]:
    """Return by source how many messages came to which end, and the values that were not read."""
    found: dict[str, dict[str, object]] = {}
    for label, tally in stats.sources.items():
        found[label or "no source"] = {
            "messages": {str(outcome): count for outcome, count in sorted(tally.messages.items())},
            "readings": tally.readings,
            "skipped": {str(why): count for why, count in sorted(tally.skipped.items())},
            "times_not_believed": tally.times,
            "examples": [f"{device} {name}: {why}" for (device, name), why in sorted(tally.samples.items())],
        }
    return found


def unread_lines(sources: Mapping[str, Any], unread: Mapping[str, Any]) -> list[str]:
    """Return in words what was not read, by source and in the files."""
    lines = []
    for label, one in sources.items():
        rest = {name: count for name, count in one["messages"].items() if name not in READ}
        parts = [f"messages not read: {listed(rest)}"] if rest else []
        parts += [f"values skipped: {listed(one['skipped'])}"] if one["skipped"] else []
        if one["times_not_believed"]:
            parts.append(f"times not believed: {one['times_not_believed']}")
        if parts:
            lines.append(f"{printable(label)}: {'; '.join(parts)}")
            lines += [f"  such as {printable(example)}" for example in one["examples"][:MAX_EXAMPLES]]
    return lines + [
        f"not read: {one['count']} x {printable(reason)}, such as {printable(one['examples'][0])}"
        for reason, one in unread.items()
    ]


def listed(counts: Mapping[str, int]) -> str:
    """Return counts with their names."""
    return ", ".join(f"{count} {printable(name)}" for name, count in counts.items())
