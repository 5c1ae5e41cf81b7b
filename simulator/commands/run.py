"""``edge-sim run``: only the devices of a scenario, on a broker of the user's."""

import argparse
import contextlib
import itertools
import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import families, scenario as scenarios
from simulator.commands.common import (
    BROKER_LIMIT_S,
    EXIT_FAULT,
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Commands,
    add_broker,
    add_pace,
    address,
    complain,
    moment,
    say,
    stop_on_signal,
)
from simulator.faults import label
from simulator.pace import live_start
from simulator.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.events import Message
    from simulator.fleet import Fleet
    from simulator.manifest import Manifest, Wire

_PER_LINK_S = 0.02  # added to the time that connecting may take
_FLUSH_LIMIT_S = 5.0
_LOOK_S = 0.5
_MAX_DEVICES = 1000  # of a family
_OF_SCENARIOS = ("history", "labels", "connections", "qos", "flap", "metrics", "manifest", "again")
_LABELS_S = 86_400.0  # of a run without an end
#: Options that decide the bytes, and so cannot be combined with a manifest.
_DECIDED = ("seed", "start", "speed", "for_s", "history", "connections", "qos", "flap")


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("run", help="only the devices of a scenario, on a broker of yours")
    parser.add_argument("name", nargs="?", help="a name of `edge-sim list`, or a YAML file")
    parser.add_argument(
        "--family",
        action="append",
        choices=families.words(),
        metavar="WORD",
        help="instead of a scenario, devices that speak this family; may be repeated; one of "
        + ", ".join(families.words()),
    )
    parser.add_argument(
        "--devices", type=_device_count, default=2, metavar="N", help="devices of each --family (2)"
    )
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
    parser.add_argument(
        "--connections",
        type=connections,
        metavar="each|shared[:N]",
        help="a connection per device, one for all, or N for all; else as in the scenario",
    )
    parser.add_argument("--qos", type=int, choices=(0, 1), help="of all readings; else as in the scenario")
    parser.add_argument(
        "--flap",
        type=flap,
        metavar="EVERY:DOWN[:SHARE]",
        help="cut connections about each EVERY event seconds for DOWN seconds; SHARE of them (1)",
    )
    parser.add_argument(
        "--metrics", type=address, metavar="HOST:PORT", help="serve the simulator's own /metrics there"
    )
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="write there what repeats this run")
    parser.add_argument("--again", type=Path, metavar="FILE", help="repeat the run of this manifest")
    parser.set_defaults(
        command=_run, usual={name: parser.get_default(name) for name in _DECIDED}, refuse=parser.error
    )


def _device_count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:5]) <= _MAX_DEVICES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MAX_DEVICES}")
    return int(text)


def connections(text: str) -> str:
    """Read ``each``, ``shared`` or ``shared:N``."""
    if re.match(scenarios.CONNECTIONS, text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not each, shared or shared:N")
    return text


def flap(text: str) -> tuple[float, float, float]:
    """Read ``EVERY:DOWN[:SHARE]``."""
    try:
        every, down, share = (
            float(part) for part in (text if text.count(":") > 1 else f"{text}:1").split(":")
        )
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not EVERY:DOWN[:SHARE]; write 60:5:0.1") from None
    if not (0.1 <= every < 1e7 and 0.1 <= down < 1e7 and 0 < share <= 1):  # noqa: PLR2004 - ranges
        raise argparse.ArgumentTypeError(f"{text!r}: seconds are 0.1 or more, the share above 0 up to 1")
    return every, down, share


def _run(args: argparse.Namespace) -> int:
    from simulator import manifest as manifests  # noqa: PLC0415 - `list` stays quick

    if args.family:
        return _play_families(args)
    if args.name is None and args.again is None:
        args.refuse("the following arguments are required: name (see `edge-sim list`) or --family")
    try:
        manifest = _again(args) if args.again is not None else _manifest(args)
        name = args.name or manifest.scenario
        scenario = scenarios.load(name)
        manifest.check_scenario(name)
        if args.manifest is not None:
            manifest.write(args.manifest)
    except manifests.ManifestError as error:
        return complain(str(error), EXIT_USAGE)
    if args.labels is not None:
        _write_labels(args.labels, scenario, manifest)
    wire = manifests.Wire()
    stop = stop_on_signal()
    code = _play(args, scenario, manifest, wire, stop)
    if args.manifest is not None:
        manifest.over(wire).write(args.manifest)
    if args.again is not None and manifest.wire_sha256 is not None:
        if wire.sha256 == manifest.wire_sha256:
            say("the same bytes as before, in the same order")
        elif wire.messages == manifest.messages:
            other = manifest.version != manifests.version()
            why = f"it was made by version {manifest.version}" if other else "the simulator has changed"
            return complain(f"other bytes than before: {why}", EXIT_FAULT)
        else:
            say(f"{wire.messages} of {manifest.messages} messages: the run was not repeated to its end")
    return code


def _play_families(args: argparse.Namespace) -> int:
    """Run devices of families; most options belong to scenarios."""
    from simulator import family_run  # noqa: PLC0415 - `list` stays quick

    if args.name is not None:
        args.refuse("--family replaces a scenario; leave out the name")
    for option in _OF_SCENARIOS:
        if getattr(args, option):
            args.refuse(f"--{option} belongs to a scenario; leave it out with --family")
    host, port = args.broker
    start = args.start or live_start(now=time.time(), speed=args.speed, for_s=args.for_s)
    words = list(dict.fromkeys(args.family))
    devices = family_run.make(words, count=args.devices, seed=args.seed)
    many = "s" * (len(devices) > 1)
    say(f"{', '.join(words)}: {len(devices)} device{many} or gateway{many} on {host}:{port}")
    count = family_run.play(
        devices,
        address=args.broker,
        start=start,
        until=float("inf") if args.for_s is None else start + args.for_s * args.speed,
        speed=args.speed,
        stop=stop_on_signal(),
    )
    say(f"live: {count} messages")
    return EXIT_OK


def _manifest(args: argparse.Namespace) -> "Manifest":
    from simulator import manifest as manifests  # noqa: PLC0415 - `list` stays quick

    scenarios.load(args.name)
    every, down, share = args.flap or (0.0, 0.0, 0.0)
    return manifests.Manifest.model_validate(
        {
            "version": manifests.version(),
            "scenario": args.name,
            "scenario_sha256": manifests.scenario_sha256(args.name),
            "seed": args.seed,
            "start": args.start or live_start(now=time.time(), speed=args.speed, for_s=args.for_s),
            "speed": args.speed,
            "for_s": args.for_s,
            "history": args.history,
            "connections": args.connections,
            "qos": args.qos,
            "flapping": {"every_s": every, "down_s": down, "share": share, "seed": args.seed}
            if args.flap
            else None,
        }
    )


def _again(args: argparse.Namespace) -> "Manifest":
    from simulator import manifest as manifests  # noqa: PLC0415 - `list` stays quick

    for name, usual in args.usual.items():
        if getattr(args, name) != usual:
            option = "for" if name == "for_s" else name
            raise manifests.ManifestError(f"--{option} is decided by the manifest; leave it out")
    return manifests.load(args.again)


def _play(
    args: argparse.Namespace, scenario: Scenario, manifest: "Manifest", wire: "Wire", stop: threading.Event
) -> int:
    from simulator.events import history, live  # noqa: PLC0415
    from simulator.fleet import Fleet  # noqa: PLC0415 - `list` stays quick

    host, port = args.broker
    start = manifest.start
    until = float("inf") if manifest.for_s is None else start + manifest.for_s * manifest.speed
    fleet = Fleet(
        host=host,
        port=port,
        scenario=scenario,
        connections=manifest.connections,
        qos=manifest.qos,
        flapping=manifest.flaps(),
    )
    with contextlib.ExitStack() as stack:
        stack.callback(fleet.close)
        refusal = _serve_metrics(args, fleet, stack)
        if refusal:
            return complain(refusal, EXIT_UNAVAILABLE)
        fleet.open(BROKER_LIMIT_S + _PER_LINK_S * len(fleet.links))
        devices, links = len(scenario.devices), len(fleet.links)
        say(
            f"{scenario.name}: {devices} device{'s' * (devices > 1)} on {host}:{port}, "
            f"{links} connection{'s' * (links > 1)}, MQTT {fleet.protocol}"
        )
        if manifest.history:
            past = itertools.islice(history(scenario, seed=manifest.seed, start=start), manifest.messages)
            say(f"history: {fleet.replay(wire.watch(past), stop=stop)} messages")
        left = None if manifest.messages is None else max(0, manifest.messages - wire.messages)
        now = itertools.islice(live(scenario, seed=manifest.seed, start=start, until=until), left)
        told = now if manifest.flapping else _telling(now, fleet)
        count = fleet.run(wire.watch(told), stop=stop, start=start, speed=manifest.speed)
        fleet.flush(_FLUSH_LIMIT_S)
        stats = fleet.stats
        say(f"live: {count} messages; {stats.acked} of {stats.published} acknowledged{_rest(fleet)}")
        if stats.unacked:
            return complain(f"{stats.unacked} messages were not acknowledged", EXIT_UNAVAILABLE)
        if stats.refused:
            return complain(f"the broker refused {stats.refused} messages (ACL or size)", EXIT_UNAVAILABLE)
    return EXIT_OK


def _rest(fleet: "Fleet") -> str:
    stats = fleet.stats
    parts = ((stats.dropped, "dropped without a connection"), (stats.disconnects, "breaks of a connection"))
    return "".join(f", {number} {words}" for number, words in parts if number)


def _telling(messages: "Iterator[Message]", fleet: "Fleet") -> "Iterator[Message]":
    """Pass ``messages`` on, and report on stderr when the last connection is lost and when one is back."""
    lost, looked = False, time.monotonic()
    for message in messages:
        if time.monotonic() - looked >= _LOOK_S:
            looked = time.monotonic()
            if lost is (fleet.up > 0):
                lost = not lost
                gone = "the broker is gone; QoS 1 waits for it, QoS 0 is dropped"
                complain(gone if lost else "the broker is back", EXIT_OK)
        yield message


def _serve_metrics(args: argparse.Namespace, fleet: "Fleet", stack: contextlib.ExitStack) -> str:
    """Serve /metrics if it is wanted; returns what is wrong, if anything is."""
    if args.metrics is None:
        return ""
    from simulator.exposition import Exposition, FleetCollector  # noqa: PLC0415 - only then

    host, port = args.metrics
    collector = FleetCollector(stats=lambda: fleet.stats, links=len(fleet.links), up=lambda: fleet.up)
    try:
        served = stack.enter_context(Exposition(host=host, port=port, collector=collector))
    except OSError as error:
        return f"--metrics {host}:{port}: cannot be served there: {error.strerror}"
    say(f"metrics: {served.url}")
    return ""


def _write_labels(path: Path, scenario: Scenario, manifest: "Manifest") -> None:
    until = manifest.start + (manifest.for_s or _LABELS_S) * manifest.speed
    labels = [one.as_dict() for one in label(scenario.faults, start=manifest.start, until=until)]
    try:
        path.write_text("".join(json.dumps(one) + "\n" for one in labels), encoding="utf-8")
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be written: {error.strerror}") from None
