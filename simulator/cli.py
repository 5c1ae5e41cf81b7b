"""The commands of ``edge-sim``. Exit codes: 0 done, 2 wrong usage, 69 a service is missing, 70 our fault."""

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from simulator import scenario as scenarios
from simulator.agent_process import AgentEndedError
from simulator.broker import BrokerError
from simulator.faults import label
from simulator.fleet import Fleet
from simulator.link import LinkError
from simulator.scenario import ScenarioError

BROKER_LIMIT_S = 2.0
EXIT_OK, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_FAULT = 0, 2, 69, 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors are one line on stderr."""
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except ScenarioError as error:
        return _complain(str(error), EXIT_USAGE)
    except (BrokerError, LinkError) as error:
        return _complain(str(error), EXIT_UNAVAILABLE)
    except AgentEndedError as error:
        return _complain(str(error), error.code)
    except BrokenPipeError:
        return EXIT_OK
    except KeyboardInterrupt:
        return _complain("ended at once", EXIT_FAULT)


def _complain(line: str, code: int) -> int:
    print(f"edge-sim: {line}", file=sys.stderr)
    return code


def _demo(args: argparse.Namespace) -> int:
    from simulator.demo import DemoSettings, run  # noqa: PLC0415 - `list` stays quick

    return run(
        DemoSettings(
            scenario=scenarios.load(args.scenario),
            for_s=args.for_s,
            speed=args.speed,
            seed=args.seed,
            config=args.config,
            broker=args.broker,
            say=_say,
        )
    )


def _list(args: argparse.Namespace) -> int:
    del args
    for name in scenarios.names():
        scenario = scenarios.load(name)
        what = f"{len(scenario.devices)} devices, {len(scenario.faults)} faults"
        print(f"{name:<14} {scenario.title} ({what})")
    return EXIT_OK


def _run(args: argparse.Namespace) -> int:
    from simulator.wire import history, live  # noqa: PLC0415 - `list` stays quick

    scenario = scenarios.load(args.name)
    host, port = args.broker
    stop = _stop_on_signal()
    start = float(int(time.time()))
    if args.labels is not None:
        until = start + (args.for_s or 86_400.0) * args.speed
        _write_labels(
            args.labels, [one.as_dict() for one in label(scenario.faults, start=start, until=until)]
        )
    until = float("inf") if args.for_s is None else start + args.for_s * args.speed
    fleet = Fleet(host=host, port=port, scenario=scenario)
    with contextlib.closing(fleet.open(BROKER_LIMIT_S)):
        _say(f"{scenario.name}: {len(scenario.devices)} devices on {host}:{port}, MQTT {fleet.protocol}")
        if args.history:
            _say(
                f"history: {fleet.replay(history(scenario, seed=args.seed, start=start), stop=stop)} messages"
            )
        messages = live(scenario, seed=args.seed, start=start, until=until)
        count = fleet.run(messages, stop=stop, start=start, speed=args.speed)
        for link in fleet.links:
            link.flush(5.0)
        stats = fleet.stats
        _say(f"live: {count} messages; {stats.acked} of {stats.published} acknowledged")
        if stats.unacked:
            return _complain(f"{stats.unacked} messages were not acknowledged", EXIT_UNAVAILABLE)
    return EXIT_OK


def _model(args: argparse.Namespace) -> int:
    from simulator.model import ControlError, Director, ModelEndpoint  # noqa: PLC0415 - `list` stays quick

    director = Director(seed=args.seed)
    try:
        director.behave(args.behaviour)
    except ControlError as error:
        return _complain(str(error), EXIT_USAGE)
    stop = _stop_on_signal()
    try:
        with ModelEndpoint(port=args.port, director=director) as endpoint:
            _say(f"model {endpoint.url}")
            _say(f"""control: curl -d '{{"behaviour":"slow"}}' {endpoint.control_url}""")
            stop.wait()
    except OSError as error:
        return _complain(f"port {args.port}: {error.strerror}", EXIT_UNAVAILABLE)
    _say(json.dumps(director.state()["counts"]))
    return EXIT_OK


def _write_labels(path: Path, labels: list[dict[str, object]]) -> None:
    try:
        path.write_text("".join(json.dumps(one) + "\n" for one in labels), encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be written: {error.strerror}") from None


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say(text: str) -> None:
    print(text, flush=True)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e7:  # noqa: PLR2004 - 115 days
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _seconds(text: str) -> float | None:
    return None if text == "0" else _positive(text)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.removeprefix("mqtt://").rstrip("/").partition(":")
    if not host or not (port or "1883").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; write mqtt://host:1883")
    return host, int(port or "1883")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-sim", description="Devices, faults and models to try an agent with."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="broker, devices, model and agent in one terminal")
    _add_common(demo)
    demo.add_argument("--scenario", default="demo", help="a name of `edge-sim list`, or a YAML file")
    demo.add_argument(
        "--config", type=Path, metavar="FILE", help="the agent's configuration (configs/demo.yaml)"
    )
    demo.add_argument(
        "--broker", choices=("mosquitto", "embedded"), help="default: Mosquitto where it is there"
    )
    demo.set_defaults(command=_demo)
    commands.add_parser("list", help="the scenarios").set_defaults(command=_list)
    run = commands.add_parser("run", help="only the devices of a scenario, on a broker of yours")
    run.add_argument("name", help="a name of `edge-sim list`, or a YAML file")
    _add_common(run)
    run.add_argument("--broker", type=_address, default=("127.0.0.1", 1883), metavar="mqtt://HOST:PORT")
    run.add_argument("--history", action="store_true", help="replay the scenario's history first")
    run.add_argument(
        "--labels", type=Path, metavar="FILE", help="write the true labels there, one JSON a line"
    )
    run.set_defaults(command=_run)
    model = commands.add_parser("model", help="only the model endpoint")
    model.add_argument("--port", type=int, default=8081)
    model.add_argument("--behaviour", default="fine", help="what it does until told otherwise")
    model.add_argument("--seed", type=int, default=1)
    model.set_defaults(command=_model)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="for_s", type=_seconds, metavar="SECONDS", help="0 or left out: until Ctrl-C"
    )
    parser.add_argument("--speed", type=_positive, default=1.0, metavar="N", help="event seconds per second")
    parser.add_argument("--seed", type=int, default=1)
