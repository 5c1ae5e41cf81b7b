"""``edge-sim demo``: broker, devices, model and agent in one terminal."""

import argparse
from pathlib import Path

from simulator import scenario as scenarios
from simulator.commands.common import Commands, add_pace, say


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("demo", help="broker, devices, model and agent in one terminal")
    add_pace(parser)
    parser.add_argument("--scenario", default="demo", help="a name of `edge-sim list`, or a YAML file")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the agent's configuration (configs/demo.yaml)"
    )
    parser.add_argument(
        "--broker", choices=("mosquitto", "embedded"), help="default: Mosquitto where it is there"
    )
    parser.set_defaults(command=_demo)


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
            say=say,
        )
    )
