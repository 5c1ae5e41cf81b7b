"""``edge-sim lift``: the worth of a model where the site's facts decide."""

import argparse
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import scenario as scenarios
from simulator.commands.common import (
    EXIT_OK,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    Commands,
    complain,
    interrupt_on_sigterm,
    positive,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.lift import Gateway, Lift, LiftPlan, Recording, Upstream
    from simulator.model.server import Responder
    from simulator.scenario import Scenario

SCRIPTED = "scripted"


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("lift", help="what a model adds to an agent, and what it costs")
    parser.add_argument(
        "names", nargs="*", metavar="SCENARIO", help="with agent.knowledge; left out: all context-* scenarios"
    )
    parser.add_argument("--model", help="name of the model at --base-url")
    parser.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible endpoint, up to /v1")
    parser.add_argument("--max-usd", type=positive, metavar="X", help="never spend more")
    parser.add_argument(
        "--price",
        type=_price,
        nargs=2,
        metavar=("IN", "OUT"),
        help="USD per million tokens (example: 0.15 0.60)",
    )
    parser.add_argument("--profile", default="openai", help="ai.profile of the agent (openai)")
    parser.add_argument("--deadline", type=positive, default=30.0, metavar="SECONDS", help="of a call (30)")
    parser.add_argument("--max-windows", type=int, metavar="N", help="review.batch.max_windows of the agent")
    parser.add_argument("--max-input-tokens", type=int, metavar="N", help="review.batch.max_input_tokens")
    parser.add_argument("--plot", action="store_true", help="ai.plot of the agent, for a model that sees")
    parser.add_argument(
        "--scripted", nargs="*", metavar="NAME", help="scripted models as well: all, or some of them by name"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep the answers of the model")
    parser.add_argument(
        "--replay",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="recorded answers instead of an endpoint",
    )
    parser.add_argument("--history", type=positive, metavar="SECONDS", help="replayed first (the scenario's)")
    parser.add_argument("--live", type=positive, metavar="SECONDS", help="with the events (the scenario's)")
    parser.add_argument(
        "--speed", type=positive, metavar="N", help="event seconds per second (the scenario's)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the devices (1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep verdicts and logs there")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.set_defaults(command=_lift)


def _price(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1000 or math.isnan(value):  # noqa: PLR2004 - as the agent's configuration
        raise argparse.ArgumentTypeError(f"{text} is not a price in USD per million tokens")
    return value


def _lift(args: argparse.Namespace) -> int:
    from simulator.agent_process import AgentEndedError  # noqa: PLC0415 - `list` stays quick
    from simulator.broker import BrokerError  # noqa: PLC0415
    from simulator.lift import SCRIPTS, Recording, RecordingError, Replay, join  # noqa: PLC0415
    from simulator.lift.run import run  # noqa: PLC0415
    from simulator.link import LinkError  # noqa: PLC0415
    from simulator.trial import TrialError  # noqa: PLC0415

    wrong = _wrong(args)
    if wrong is not None:
        return complain(wrong, EXIT_USAGE)
    interrupt_on_sigterm()
    try:
        recordings = {path.stem: Recording.read(path) for path in args.replay}
        names = _names(args, recordings)
        site = join([scenarios.load(name) for name in names])
        plan = _plan(args, site.scenario, recordings)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
        replays = {name: Replay(one) for name, one in recordings.items()}
        upstream = _upstream(args, plan)
        responders: dict[str, Responder | str] = dict(replays)
        if upstream is not None:
            responders[args.model] = upstream
        if args.scripted is not None:
            responders |= {name: name for name in args.scripted or SCRIPTS}
        lifts, gateways = run(site, plan, responders, say=_quiet if args.json else say)
        _show(lifts, plan, as_json=args.json)
        if args.record is not None:
            name = args.model or args.scripted[0]
            _record(args.record, name, lifts, gateways[name], plan, names)
    except (RecordingError, TrialError, AgentEndedError, BrokerError, LinkError) as error:
        return complain(str(error), EXIT_UNAVAILABLE)
    if upstream is not None and upstream.refused:
        complain(f"--max-usd: {upstream.refused} calls refused, {upstream.spent_usd:.4f} USD spent", EXIT_OK)
    for one in lifts:
        kept = recordings.get(one.name)
        if kept is not None and kept.prompt != one.prompt:
            told = f"answers to prompt {kept.prompt}, this agent asks with {one.prompt}"
            complain(f"{one.name}: {told}", EXIT_OK)
    missing = [(name, one.missing) for name, one in replays.items() if one.missing]
    for name, places in missing:
        complain(f"{name}: no recorded answer for {len(places)} windows, first {places[0]}", EXIT_OK)
    return EXIT_UNAVAILABLE if missing else EXIT_OK


def _wrong(args: argparse.Namespace) -> str | None:
    """Return in a line what does not fit together, None if all does."""
    from simulator.lift import SCRIPTS  # noqa: PLC0415

    unknown = [name for name in args.scripted or () if name not in SCRIPTS]
    if unknown:
        return f"--scripted: {unknown[0]!r} is not a script; use some of {', '.join(SCRIPTS)}"
    if (args.model is None) is not (args.base_url is None):
        return "--model and --base-url: give both, or none"
    if args.model is None and args.scripted is None and not args.replay:
        return "give --model M --base-url U, --scripted or --replay FILE"
    if args.record is not None and args.model is None and len(args.scripted or ()) != 1:
        return "--record: keeps the answers of --model, or of one script; give one"
    if args.max_usd is not None and args.price is None:
        return "--max-usd: needs --price IN OUT, in USD per million tokens"
    return None


def _names(args: argparse.Namespace, recordings: "Mapping[str, Recording]") -> list[str]:
    if args.names:
        return list(args.names)
    for one in recordings.values():
        return list(one.scenarios)
    return [name for name in scenarios.names() if name.startswith(scenarios.CONTEXT)]


def _plan(
    args: argparse.Namespace, scenario: "Scenario", recordings: "Mapping[str, Recording]"
) -> "LiftPlan":
    """Return the plan: what is given, else what a recording was made with, else the scenario's."""
    from simulator.lift import LiftPlan, Price  # noqa: PLC0415
    from simulator.lift.site import EXAMPLE  # noqa: PLC0415

    kept = next((one.settings for one in recordings.values()), {})
    trial = scenario.trial
    return LiftPlan(
        history_s=args.history or kept.get("history_s") or trial.history_s,
        live_s=args.live or kept.get("live_s") or trial.live_s,
        speed=args.speed or trial.speed,
        seed=args.seed if args.seed is not None else kept.get("seed", 1),
        drain_limit_s=max(120.0, 20 * args.deadline),
        model=args.model or next((one.model for one in recordings.values()), SCRIPTED),
        price=EXAMPLE if args.price is None else Price(*args.price),
        profile=args.profile,
        deadline_s=args.deadline,
        max_usd=args.max_usd,
        max_windows=args.max_windows or kept.get("max_windows"),
        max_input_tokens=args.max_input_tokens or kept.get("max_input_tokens"),
        plot=args.plot,
        keep=args.out,
    )


def _upstream(args: argparse.Namespace, plan: "LiftPlan") -> "Upstream | None":
    from simulator.lift import Upstream  # noqa: PLC0415

    if args.base_url is None:
        return None
    cap = math.inf if plan.max_usd is None else plan.max_usd
    key = os.environ.get("OPENAI_API_KEY")
    return Upstream(args.base_url, key=key, price=plan.price, max_usd=cap, timeout_s=args.deadline)


def _show(lifts: "Sequence[Lift]", plan: "LiftPlan", *, as_json: bool) -> None:
    from simulator.lift.table import rows  # noqa: PLC0415
    from simulator.score import table  # noqa: PLC0415

    if as_json:
        say(json.dumps([one.as_dict() for one in lifts], indent=1))
        return
    say(table.text(rows(lifts, plan.price)))


def _record(
    path: Path,
    name: str,
    lifts: "Sequence[Lift]",
    gateway: "Gateway",
    plan: "LiftPlan",
    names: "Sequence[str]",
) -> None:
    from simulator.lift import Recording  # noqa: PLC0415
    from simulator.lift.replay import recorded  # noqa: PLC0415

    prompt = next((one.prompt for one in lifts if one.name == name), None)
    settings = {
        "seed": plan.seed,
        "history_s": plan.history_s,
        "live_s": plan.live_s,
        "max_windows": plan.max_windows,
        "max_input_tokens": plan.max_input_tokens,
    }
    answers = recorded(gateway.exchanges)
    Recording(name, prompt or "", tuple(names), settings, answers).write(path)
    complain(f"{len(answers)} answers recorded in {path}", EXIT_OK)


def _quiet(_text: str) -> None:
    """Print nothing: standard output is for the JSON."""
