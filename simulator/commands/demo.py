"""``edge-sim demo``: broker, devices, model and agent in one terminal."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import scenario as scenarios
from simulator.commands.common import Commands, add_pace, say

if TYPE_CHECKING:
    from simulator.output import Show


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
    parser.add_argument("--plain", action="store_true", help="lines instead of the live view")
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
            show=_show(plain=args.plain),
            say=say,
        )
    )


def _show(*, plain: bool) -> "Show":
    """Return the live view where the terminal and what is installed allow it."""
    from simulator.output import Plain  # noqa: PLC0415 - as above

    if not plain:
        try:
            from simulator import view  # noqa: PLC0415 - rich is an extra
        except ImportError:
            return Plain(say)
        if view.fits(sys.stdout):
            return view.View()
    return Plain(say)
