"""``edge-sim list`` and ``edge-sim validate``: shipped and own scenarios."""

import argparse
import json

from simulator import scenario as scenarios
from simulator.commands.common import EXIT_OK, EXIT_USAGE, Commands, complain, say
from simulator.scenario import Scenario, ScenarioError


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the commands."""
    parser = commands.add_parser("list", help="the scenarios that are shipped")
    parser.add_argument("--json", action="store_true", help="one JSON array, with devices and faults")
    parser.set_defaults(command=_list)
    parser = commands.add_parser("validate", help="check scenario files without running them")
    parser.add_argument("names", nargs="*", metavar="FILE", help="YAML files, or names of `edge-sim list`")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of a scenario file")
    parser.set_defaults(command=_validate)


def _list(args: argparse.Namespace) -> int:
    found = [scenarios.load(name) for name in scenarios.names()]
    if args.json:
        say(json.dumps([_as_dict(scenario) for scenario in found], indent=2))
        return EXIT_OK
    width = max(len(scenario.name) for scenario in found)
    for scenario in found:
        say(f"{scenario.name:<{width}}  {scenario.title} ({_contents(scenario)})")
    return EXIT_OK


def _validate(args: argparse.Namespace) -> int:
    if args.schema:
        say(json.dumps(scenarios.schema(), indent=2))
        return EXIT_OK
    if not args.names:
        return complain("validate: no file given; name YAML files, or use --schema", EXIT_USAGE)
    code = EXIT_OK
    for name in args.names:
        try:
            scenario = scenarios.load(name)
        except ScenarioError as error:
            code = complain(str(error), EXIT_USAGE)
        else:
            say(f"{name}: good ({_contents(scenario)})")
    return code


def _contents(scenario: Scenario) -> str:
    normal = len(scenario.hard_negatives)
    counts = (
        (len(scenario.devices), "device"),
        (len(scenario.faults) - normal, "fault"),
        (normal, "hard negative"),
    )
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)


def _as_dict(scenario: Scenario) -> dict[str, object]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "interval_s": scenario.interval_s,
        "history_s": scenario.history.span_s,
        "devices": [
            {"id": one.id, "signal": one.signal, "metrics": list(one.metrics)} for one in scenario.devices
        ],
        "faults": [
            {
                "device": one.device,
                "metric": one.metric,
                "kind": str(one.kind),
                "from_s": one.from_s,
                "for_s": one.for_s,
                "every_s": one.every_s,
                "normal": one.normal,
            }
            for one in scenario.faults
        ],
    }
