"""``edge-sim model``: only the model endpoint."""

import argparse
import json

from simulator.commands.common import (
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Commands,
    complain,
    port,
    say,
    stop_on_signal,
)


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("model", help="only the model endpoint")
    parser.add_argument("--port", type=port, default=8081)
    parser.add_argument(
        "--behaviour", default="fine", help="its behaviour until the control address changes it"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(command=_model)


def _model(args: argparse.Namespace) -> int:
    from simulator.model import ControlError, Director, ModelEndpoint  # noqa: PLC0415 - `list` stays quick

    director = Director(seed=args.seed)
    try:
        director.behave(args.behaviour)
    except ControlError as error:
        return complain(str(error), EXIT_USAGE)
    stop = stop_on_signal()
    try:
        with ModelEndpoint(port=args.port, director=director) as endpoint:
            say(f"model {endpoint.url}")
            say(f"""control: curl -d '{{"behaviour":"slow"}}' {endpoint.control_url}""")
            stop.wait()
    except OSError as error:
        return complain(f"port {args.port}: {error.strerror}", EXIT_UNAVAILABLE)
    say(json.dumps(director.state()["counts"]))
    return EXIT_OK
