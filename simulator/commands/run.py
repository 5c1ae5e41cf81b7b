"""``edge-sim run``: only the devices of a scenario, on a broker of the user's."""

import argparse
import contextlib
import json
import time
from pathlib import Path

from simulator import scenario as scenarios
from simulator.commands.common import (
    BROKER_LIMIT_S,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    Commands,
    add_broker,
    add_pace,
    complain,
    moment,
    say,
    stop_on_signal,
)
from simulator.faults import label
from simulator.pace import live_start
from simulator.scenario import ScenarioError


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="only the devices of a scenario, on a broker of yours")
    parser.add_argument("name", help="a name of `edge-sim list`, or a YAML file")
    add_pace(parser)
    add_broker(parser)
    parser.add_argument(
        "--start",
        type=moment,
        metavar="TIME",
        help="event time of the first live reading; left out: so that the run ends in the present",
    )
    parser.add_argument("--history", action="store_true", help="replay the scenario's history first")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="write the true labels there, one JSON a line"
    )
    parser.set_defaults(command=_run)


def _run(args: argparse.Namespace) -> int:
    from simulator.fleet import Fleet  # noqa: PLC0415 - `list` stays quick
    from simulator.wire import history, live  # noqa: PLC0415

    scenario = scenarios.load(args.name)
    host, port = args.broker
    stop = stop_on_signal()
    start = args.start or live_start(now=time.time(), speed=args.speed, for_s=args.for_s)
    if args.labels is not None:
        until = start + (args.for_s or 86_400.0) * args.speed
        _write_labels(
            args.labels, [one.as_dict() for one in label(scenario.faults, start=start, until=until)]
        )
    until = float("inf") if args.for_s is None else start + args.for_s * args.speed
    fleet = Fleet(host=host, port=port, scenario=scenario)
    with contextlib.closing(fleet.open(BROKER_LIMIT_S)):
        say(f"{scenario.name}: {len(scenario.devices)} devices on {host}:{port}, MQTT {fleet.protocol}")
        if args.history:
            count = fleet.replay(history(scenario, seed=args.seed, start=start), stop=stop)
            say(f"history: {count} messages")
        messages = live(scenario, seed=args.seed, start=start, until=until)
        count = fleet.run(messages, stop=stop, start=start, speed=args.speed)
        for link in fleet.links:
            link.flush(5.0)
        stats = fleet.stats
        say(f"live: {count} messages; {stats.acked} of {stats.published} acknowledged")
        if stats.unacked:
            return complain(f"{stats.unacked} messages were not acknowledged", EXIT_UNAVAILABLE)
    return EXIT_OK


def _write_labels(path: Path, labels: list[dict[str, object]]) -> None:
    try:
        path.write_text("".join(json.dumps(one) + "\n" for one in labels), encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be written: {error.strerror}") from None
