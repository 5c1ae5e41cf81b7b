"""``edge-sim list``: the scenarios that are shipped."""

import argparse

from simulator import scenario as scenarios
from simulator.commands.common import EXIT_OK, Commands, say


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    commands.add_parser("list", help="the scenarios").set_defaults(command=_list)


def _list(args: argparse.Namespace) -> int:
    del args
    for name in scenarios.names():
        scenario = scenarios.load(name)
        what = f"{len(scenario.devices)} devices, {len(scenario.faults)} faults"
        say(f"{name:<14} {scenario.title} ({what})")
    return EXIT_OK
