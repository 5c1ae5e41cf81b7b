"""``edge-agent learn``: teach a stopped agent from readings of the past.

Recordings, tables or a range query of Prometheus go to the detector in the time of the readings, and its
state becomes the snapshot of the journal, with which the agent starts. The state directory is locked
meanwhile.
"""

import argparse
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agent.commands.offline.inputs import (
    Files,
    Played,
    Until,
    as_json,
    make_intake,
    open_files,
    unread_lines,
)
from agent.commands.offline.moments import read_moment, read_span
from agent.commands.offline.prometheus import Login, Mapped, Range, open_prometheus
from agent.commands.offline.stream import Stream
from agent.commands.offline.table import Names
from agent.commands.ownership import give_to_owner
from agent.commands.printing import UnknownError, instant, many, print_result, printable, span
from agent.config import Config, load_apart, one_line, settings
from agent.config.credentials import read_secret
from agent.config.series_rules import of_limits, of_tuning
from agent.detect import Detector
from agent.domain.records import MessageRow, Row, SeriesView, TimerRow
from agent.journal import JournalError
from agent.journal.journal import Journal
from agent.journal.writer import Wiring
from agent.pipeline import snapshot
from agent.pipeline.core import teach
from agent.pipeline.offline import EventTime
from agent.pipeline.snapshot import Dump
from agent.pipeline.window import Windows
from agent.verdict.review_policy import CalmRate

URLS = ("http://", "https://")
FUTURE_S = 300.0  # readings after now: the agent's clock could not follow them
CLOSING_S = 60.0
MAX_LINES = 40
DEVICES = ("{device}", "{instance}")  # labels of a device, the first one that a series has


def run(args: argparse.Namespace) -> int:
    """Teach, write the snapshot, and print what was learnt.

    Raises:
        ConfigError: the configuration or a secret's file is wrong.
        UnknownError: a file, an option or the query is wrong, or nothing could be learnt.
        JournalError: an agent runs in the state directory, or a server does not answer.
    """
    config = load_apart(args.config)
    now = time.time()
    streams = _streams(args, config, now=now)
    with stopped(config) as journal:
        state = State.load(config, journal, forget=args.forget)
        lesson = Lesson(state.detector)
        told = _teach(config, Files(streams), lesson, until=min(now + FUTURE_S, state.first_row))
        if not lesson.taught:
            raise UnknownError(f"nothing was learnt: {_why(told)}")
        state.write(journal)
    told["state_dir"], told["problem"] = str(config.agent.state_dir), state.problem
    print_result(told, _lines, as_json=args.json)
    return 0


# ---------------------------------------------------------------------------------------- the source


def _streams(args: argparse.Namespace, config: Config, *, now: float) -> list[Stream]:
    urls = [text for text in args.files if text.startswith(URLS)]
    if not urls:
        if args.query is not None:
            raise UnknownError("--query belongs to an address; write --from http://host:9090")
        start = None if args.start is None else read_moment(args.start, "--start", now=now)
        names = Names(device=args.device, metric=args.metric, unit=args.unit)
        return open_files([Path(text) for text in args.files], config, names=names, start=start)
    if len(args.files) > 1:
        raise UnknownError("--from takes one address, or files; learn from one after the other")
    if args.query is None:
        raise UnknownError("an address needs --query; write for example --query '{job=\"plant\"}'")
    login = _login(args)
    end = now if args.end is None else read_moment(args.end, "--end", now=now)
    start = read_moment(args.start or "14d", "--start", now=now)
    wanted = Range(query=args.query, start=start, end=end, step=read_span(args.step, "--step"))
    devices = DEVICES if args.device_label is None else (f"{{{args.device_label}}}",)
    mapped = Mapped(
        devices=devices if args.device is None else (args.device,),
        metric=args.metric or f"{{{args.metric_label or '__name__'}}}",
        unit=args.unit,
    )
    return [open_prometheus(urls[0], wanted, mapped, login)]


def _login(args: argparse.Namespace) -> Login:
    if (args.username is None) != (args.password_file is None):
        raise UnknownError("--username and --password-file belong together; give both or neither")
    if args.bearer_file is not None and args.username is not None:
        raise UnknownError("--bearer-file and --username are two logins; give one")
    return Login(
        bearer=None if args.bearer_file is None else read_secret(args.bearer_file, "--bearer-file"),
        username=args.username,
        password=None if args.password_file is None else read_secret(args.password_file, "--password-file"),
        ca_file=None if args.ca_file is None else str(args.ca_file),
    )


# ----------------------------------------------------------------------------------------- the state


@contextmanager
def stopped(config: Config) -> Iterator[Journal]:
    """Yield the journal of an agent that does not run; it cannot be started meanwhile.

    Raises:
        JournalError: an agent runs there, or the directory cannot be used.
    """
    journal = Journal.open(
        config.agent.state_dir,
        agent_id=config.name,
        wiring=Wiring(decode=_no_arrivals, on_rows=lambda _rows: None, log=lambda *_args, **_names: None),
        settings=settings.of_journal(config),
        wall=time.time,
        mono=time.monotonic,
    )
    try:
        yield journal
    finally:
        journal.stop(CLOSING_S)
        give_to_owner(*config.agent.state_dir.glob("journal.*"))


def _no_arrivals(_arrival: object) -> Any:
    raise JournalError("journal: nothing arrives at a stopped agent")


@dataclass(kw_only=True)
class State:
    """The analyst's state at the last snapshot; the rows after it are replayed when the agent starts."""

    detector: Detector
    windows: Windows
    calm: CalmRate
    last_seq: dict[str, int]
    seq: int
    first_row: float  # clock of the first journaled reading after it
    problem: str | None

    @classmethod
    def load(cls, config: Config, journal: Journal, *, forget: bool) -> "State":
        """Return the state of the journal; with ``forget`` the detector knows nothing."""
        old = journal.recovered
        detector, windows, calm = settings.make_detector(config), Windows(config.review.window), CalmRate()
        last_seq: dict[str, int] = {}
        problem = None
        if old.snapshot is not None:
            problem = snapshot.load(old.snapshot, detector, windows, calm, last_seq, old.sealed_to)
        detector.reconfigure(of_limits(config), of_tuning(config))
        rows = (row for row in journal.rows_after(old.snapshot_seq) if isinstance(row, MessageRow))
        first = next((row.clock for row in rows if not row.seed), float("inf"))
        return cls(
            detector=settings.make_detector(config) if forget else detector,
            windows=windows,
            calm=calm,
            last_seq=last_seq,
            seq=old.snapshot_seq,
            first_row=first,
            problem=problem,
        )

    def write(self, journal: Journal) -> None:
        """Replace the snapshot by this state, at the same row."""
        dump = Dump(self.detector, self.windows, self.calm, self.last_seq)
        while (blob := dump.slice()) is None:
            pass
        lowest = self.windows.lowest_seq()
        floor = self.seq + 1 if lowest is None else lowest
        written = journal.write(lambda store: store.snapshot(self.seq, blob, floor), urgent=True)
        writer = threading.Thread(target=journal.run)
        writer.start()
        try:
            written.result()
        finally:
            journal.stop(CLOSING_S)
            writer.join()


# ---------------------------------------------------------------------------------------- the lesson


@dataclass
class Lesson:
    """Gives rows to the detector; of a device that it knows, only those after its last reading.

    A detector takes readings in their order: older ones would be taken for the newest.
    """

    detector: Detector
    taught: dict[tuple[str, str], None] = field(default_factory=dict)
    readings: int = 0
    older: dict[str, int] = field(default_factory=dict)  # readings left out, by device

    def __post_init__(self) -> None:
        """Note what is known so far."""
        self._known = self.detector.last_seen()

    def take(self, row: Row) -> None:
        """Take the next row."""
        if isinstance(row, TimerRow):
            if row.device is None or self._is_new(row.device, row.clock):
                teach(self.detector, row)
        elif isinstance(row, MessageRow) and not row.seed:
            new = tuple(one for one in row.readings if self._is_new(one.device, row.clock))
            if len(new) < len(row.readings):
                for one in row.readings:
                    if not self._is_new(one.device, row.clock):
                        self.older[one.device] = self.older.get(one.device, 0) + 1
                row = replace(row, readings=new)
            self.readings += len(new)
            self.taught.update(((one.device, one.metric), None) for one in new)
            teach(self.detector, row)

    def _is_new(self, device: str, clock: float) -> bool:
        return clock > self._known.get(device, float("-inf"))


def _teach(config: Config, files: Files, lesson: Lesson, *, until: float) -> dict[str, Any]:
    """Play the files to the detector; return what it has learnt as JSON values."""
    detector, played = lesson.detector, Played()
    intake = make_intake(config, detector)
    event_time = EventTime(intake=intake, take=lesson.take, next_due=detector.next_due)
    files.play(event_time, Until(at=until), played)
    if played.last is not None:
        event_time.link(played.last, up=False)
    intake.close()
    devices = dict.fromkeys(device for device, _ in lesson.taught)
    views = [view for device in devices for view in detector.views(device)]
    views = [view for view in views if (view.device, view.metric) in lesson.taught]
    times = detector.device_times(detector.device_count)
    judged = [view for view in views if not view.diagnostic]
    return {
        "sources": files.shown(),
        "from": instant(played.first),
        "to": instant(played.last),
        "messages": played.messages,
        "readings": lesson.readings,
        "left_out": {
            "older_than_known": sum(lesson.older.values()),
            "known_devices": len(lesson.older),
            "after": instant(until) if played.cut else None,
        },
        "devices": [
            {
                "device": device,
                "interval_s": times.get(device, (0.0, None))[1],
                "series": [_series(view) for view in judged if view.device == device],
            }
            for device in sorted(devices)
        ],
        "series": len(views),
        "ready": sum(view.progress is None for view in judged),
        "diagnostic": len(views) - len(judged),
        "decoded": as_json(intake.stats),
        "unread": files.unread.as_json(),
    }


def _series(view: SeriesView) -> dict[str, Any]:
    progress = view.progress
    return {
        "metric": view.metric,
        "unit": view.unit,
        "readings": view.n,
        "usual": view.usual,
        "learning": None if progress is None else {"seen": progress.seen, "needed": progress.needed},
    }


# ------------------------------------------------------------------------------------------ in words


def _why(told: Mapping[str, Any]) -> str:
    """Return why nothing was learnt."""
    left = told["left_out"]
    if left["older_than_known"]:
        return (
            f"all {left['older_than_known']} readings are older than the last ones that the agent knows of"
            " these devices; --forget begins again with them"
        )
    if left["after"] is not None:
        return f"all readings are after {left['after']}: in the future, or journaled already"
    lines = unread_lines(told["decoded"], told["unread"])
    return "; ".join(lines) if lines else "the source holds no reading"


def _lines(told: Mapping[str, Any]) -> list[str]:
    devices = told["devices"]
    words = (
        f"Learnt from {many(told['readings'], 'reading')} of {many(len(devices), 'device')},"
        f" {told['from']} to {told['to']}, in {printable(told['state_dir'])}:"
    )
    learning = [(one, series) for one in devices for series in one["series"] if series["learning"]]
    lines = [
        words,
        (
            f"  {many(told['series'], 'series', 'series')}: {told['ready']} ready to be judged,"
            f" {len(learning)} not yet, {told['diagnostic']} diagnostic"
        ),
    ]
    lines += [_device(one) for one in devices[:MAX_LINES]]
    if len(devices) > MAX_LINES:
        lines.append(f"  and {len(devices) - MAX_LINES} more devices; --json lists all")
    if learning:
        lines.append("Known too little, so that only limits alarm at first:")
    lines += [
        f"  {printable(one['device'])} / {printable(series['metric'])}:"
        f" {series['learning']['seen']} of {series['learning']['needed']}"
        for one, series in learning[:MAX_LINES]
    ]
    if len(learning) > MAX_LINES:
        lines.append(f"  and {len(learning) - MAX_LINES} more")
    return lines + _notes(told)


def _device(one: Mapping[str, Any]) -> str:
    ready = sum(series["learning"] is None for series in one["series"])
    every = one["interval_s"]
    rhythm = "its interval is not known yet" if every is None else f"one message every {span(every)}"
    return f"  {printable(one['device'])}: {ready} of {len(one['series'])} ready; {rhythm}"


def _notes(told: Mapping[str, Any]) -> list[str]:
    left, lines = told["left_out"], []
    if left["older_than_known"]:
        lines.append(
            f"Left out: {many(left['older_than_known'], 'reading')} of"
            f" {many(left['known_devices'], 'device')}, older than the last ones that the agent knows;"
            " --forget begins again with them"
        )
    if left["after"] is not None:
        lines.append(f"Left out: readings after {left['after']}, in the future or journaled by the agent")
    lines += unread_lines(told["decoded"], told["unread"])
    if told["problem"]:
        lines.append(one_line(f"The state before could not be used: {told['problem']}"))
    return lines
