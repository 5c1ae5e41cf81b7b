"""``edge-agent backtest``: what would have been found in readings of the past.

Recordings, tables or the own journal go through decoding, detector, windows, silence and findings in the time
of the readings: without broker, model and state, and with the same result each time.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.commands.offline.backtest_lines import lines_of
from agent.commands.offline.collected import Collected, by_kind, compare
from agent.commands.offline.inputs import (
    Files,
    OwnJournal,
    Played,
    Until,
    as_json,
    make_intake,
    open_files,
)
from agent.commands.offline.moments import read_moment, read_span
from agent.commands.offline.table import Names
from agent.commands.printing import UnknownError, instant, print_result, printable
from agent.config import Config, ConfigError, load_apart, settings
from agent.domain.records import Reading, Score
from agent.journal.reader import Reader
from agent.pipeline.causes import surroundings
from agent.pipeline.core import Judge
from agent.pipeline.offline import EventTime, OfflinePath

SCORES = ("time", "device", "metric", "value", "score", "kind")
SLACK_S = 60.0  # between the times of one finding under two configurations, in addition to a window's age


def run(args: argparse.Namespace) -> int:
    """Play the inputs, print the findings; with ``--against`` also what another configuration changes.

    Raises:
        ConfigError: one of the configurations is wrong.
        UnknownError: a file or an option is wrong.
        JournalError: there is no journal to read.
    """
    config = load_apart(args.config)
    other = None if args.against is None else _load_other(args)
    until = _until(args.until)
    with ExitStack() as stack:
        found = _open(args, config, stack)
        began = time.perf_counter()
        with _scores(args.scores, args.files) as tap:
            result = backtest(config, found, until, tap=tap)
        if not args.json:
            _note_pace(result, time.perf_counter() - began)
        if other is not None:
            second = backtest(other, found, until, tap=None)
            slack_s = SLACK_S + max(one.review.window.max_age_s for one in (config, other))
            result["against"] = {"config": str(args.against), **compare(result, second, slack_s)}
    print_result(result, lambda told: lines_of(told, utc=args.utc), as_json=args.json)
    return 0


def _load_other(args: argparse.Namespace) -> Config:
    try:
        return load_apart(args.against)
    except ConfigError:
        args.config = args.against  # of which the command line speaks
        raise


def _until(text: str | None) -> Until:
    if text is None:
        return Until()
    if text.startswith("+"):
        return Until(after_s=read_span(text[1:], "--until"))
    return Until(at=read_moment(text, "--until"))


def _open(args: argparse.Namespace, config: Config, stack: ExitStack) -> Files | OwnJournal:
    if args.since is not None:
        if args.files:
            raise UnknownError("--since reads the own journal; leave it out, or the files")
        reader = stack.enter_context(Reader.open(config.agent.state_dir))
        return OwnJournal(reader, read_span(args.since, "--since"))
    if not args.files:
        raise UnknownError("name a recording or a table, or read the own journal with --since 7d")
    start = None if args.start is None else read_moment(args.start, "--start")
    names = Names(device=args.device, metric=args.metric, unit=args.unit)
    return Files(open_files(args.files, config, names=names, start=start))


def _note_pace(result: dict[str, Any], seconds: float) -> None:
    """Report how fast it went, apart from the result, which is the same each time."""
    count = result["input"]["readings"]
    pace = count / seconds if seconds > 0.0 else 0.0
    print(f"{count} readings in {seconds:.1f} s, {pace:.0f}/s", file=sys.stderr)


# ----------------------------------------------------------------------------------------- scores

Tap = Callable[[Reading, Score], None]


@contextmanager
def _scores(path: Path | None, inputs: list[Path]) -> Iterator[Tap | None]:
    """Yield a function that writes the score of a reading, or None without a file."""
    if path is None:
        yield None
        return
    if any(path.exists() and one.exists() and path.samefile(one) for one in inputs):
        raise UnknownError(f"--scores {printable(str(path))}: is one of the inputs; name another file")
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SCORES)

        def tap(reading: Reading, score: Score) -> None:
            writer.writerow(
                (
                    instant(reading.at),
                    reading.device,
                    reading.metric,
                    repr(reading.value),
                    f"{score.value:.6g}",
                    score.kind.value,
                )
            )

        yield tap


def _tapped(judge: Judge, tap: Tap) -> Judge:
    def judged(reading: Reading, clock: float) -> tuple[Reading, Score]:
        scored = judge(reading, clock)
        tap(*scored)
        return scored

    return judged


# ----------------------------------------------------------------------------------------- the run


def backtest(config: Config, found: Files | OwnJournal, until: Until, *, tap: Tap | None) -> dict[str, Any]:
    """Play the input once, from nothing, and return the result as JSON values."""
    detector, played = settings.make_detector(config), Played()
    collected = Collected(config, since=found.since)
    found.prepare(detector, config)
    intake = make_intake(config, detector)
    path = OfflinePath(
        detector=detector,
        window=config.review.window,
        review=config.review,
        concluded=collected.take,
        passed=collected.count,
        judge=None if tap is None else _tapped(detector.judge, tap),
        around=lambda window: surroundings(window, intake.places, detector),
    )
    event_time = EventTime(
        intake=intake,
        take=path.take,
        next_due=path.core.next_due,
        tick_s=found.tick_s,
    )
    found.play(event_time, until, played)
    if played.last is None:
        raise UnknownError(f"{found.names}: holds no message{found.unread.first()}")
    ends = until.of(played.last)
    event_time.pass_time(ends)
    event_time.link(ends, up=False)  # whether a device is silent is not known from here on
    event_time.pass_time(ends + config.review.window.max_age_s + found.tick_s)
    intake.close()
    collected.end_batch()
    findings = sorted(collected.findings.values(), key=lambda one: (one["clock"][0], one["id"]))
    return {
        "input": {
            "sources": found.shown(),
            "from": instant(played.first),
            "to": instant(played.last),
            "until": instant(ends),
            "findings_since": instant(found.since) if found.since > 0.0 else None,
            "messages": played.messages,
            "readings": played.readings or intake.stats.readings,
            "devices": detector.device_count,
            "series": detector.stats.series,
            "forgotten": detector.stats.evicted,
            "still_learning": detector.learning_count(),
        },
        "findings": findings,
        "counts": {
            "findings": len(findings),
            "incidents": len({one["incident"] for one in findings}),
            "open": sum(one["cleared"] is None for one in findings),
            **by_kind(findings),
            "windows": dict(sorted(collected.windows.items())),
            "anomalies": collected.anomalies,
        },
        "reviews": collected.reviews(),
        "sources": as_json(intake.stats),
        "unread": found.unread.as_json(),
    }
