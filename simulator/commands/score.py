"""``edge-sim score``: true labels against verdicts, from files or a live broker."""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from simulator.commands.common import (
    BROKER_LIMIT_S,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Commands,
    address,
    complain,
    moment,
    positive,
    say,
    seconds,
    stop_on_signal,
)
from simulator.faults import Label
from simulator.score import AgentVerdicts, Figures, ScoreFileError, figures, read_labels, read_runs


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("score", help="compare agents' verdicts with the true labels")
    parser.add_argument(
        "--labels", type=Path, required=True, metavar="FILE", help="as `edge-sim run --labels` wrote them"
    )
    parser.add_argument(
        "--verdicts",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="recordings (`edge-sim record`) or JSON lines of verdicts, one file per run; "
        "left out: live from --broker until Ctrl-C or --for",
    )
    parser.add_argument("--broker", type=address, default=("127.0.0.1", 1883), metavar="mqtt://HOST:PORT")
    parser.add_argument(
        "--topic",
        action="append",
        metavar="BASE",
        help="base topic of an agent, wildcards allowed (live; default edge-agent/+)",
    )
    parser.add_argument("--for", dest="for_s", type=seconds, metavar="SECONDS", help="how long to listen")
    parser.add_argument(
        "--window", type=positive, default=60.0, metavar="SECONDS", help="the agents' window (60)"
    )
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="leave out what ended before (event time)"
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help="leave out what ended later")
    parser.add_argument("--devices", type=int, metavar="N", help="how many there were, if some sent nothing")
    parser.add_argument("--json", action="store_true", help="the same figures as JSON")
    parser.set_defaults(command=_score)


def _score(args: argparse.Namespace) -> int:
    from simulator.score import table  # noqa: PLC0415 - `list` stays quick

    since = float("-inf") if args.since is None else args.since
    until = float("inf") if args.until is None else args.until
    try:
        labels = read_labels(args.labels)
        runs = _from_files(args.verdicts, since, until) if args.verdicts else _from_broker(args, since, until)
    except ScoreFileError as error:
        return complain(str(error), EXIT_USAGE)
    if not runs:
        return complain("no verdict was received; name the agent's base topic with --topic", EXIT_UNAVAILABLE)
    scores = _figures(labels, runs, window_s=args.window, devices=args.devices)
    if args.json:
        say(json.dumps({name: one.as_dict() for name, one in scores.items()}, indent=1))
    else:
        say(table.text(table.rows(scores)))
    return EXIT_OK


def _figures(
    labels: Sequence[Label], runs: Mapping[str, AgentVerdicts], *, window_s: float, devices: int | None
) -> dict[str, Figures]:
    """Score every run over the same devices and the same time."""
    known = {device for run in runs.values() for device in run.devices} | {one.device for one in labels}
    first = min(run.first for run in runs.values())
    last = max(run.last for run in runs.values())
    return {
        name: figures(
            labels,
            run,
            window_s=window_s,
            devices=len(known) if devices is None else devices,
            span_s=max(0.0, last - first),
        )
        for name, run in runs.items()
    }


def _from_files(paths: Sequence[Path], since: float, until: float) -> dict[str, AgentVerdicts]:
    runs: dict[str, AgentVerdicts] = {}
    for path in paths:
        found = read_runs(path, since=since, until=until)
        for base, run in found.items():
            name = path.stem if len(found) == 1 else f"{path.stem}: {base}"
            runs[name if name not in runs else f"{path}: {base}"] = run
    return runs


def _from_broker(args: argparse.Namespace, since: float, until: float) -> dict[str, AgentVerdicts]:
    from simulator.score.live import Listener  # noqa: PLC0415

    stop = stop_on_signal()
    host, port = args.broker
    bases = args.topic or ["edge-agent/+"]
    filters = tuple(f"{base}/{kind}/+" for base in bases for kind in ("verdicts", "events"))
    ends = float("inf") if args.for_s is None else time.monotonic() + args.for_s
    listener = Listener(host=host, port=port, filters=filters, since=since, until=until)
    with closing(listener):
        listener.open(BROKER_LIMIT_S)
        listener.wait(stop, until=lambda: time.monotonic() >= ends)
    return {base: run for base, run in sorted(listener.verdicts.items()) if run.verdicts}
