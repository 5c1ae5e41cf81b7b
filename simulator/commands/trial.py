"""``edge-sim trial``: three real agents on one broker, and the score of each."""

import argparse
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from simulator import scenario as scenarios
from simulator.commands.common import (
    EXIT_OK,
    EXIT_UNAVAILABLE,
    Commands,
    complain,
    interrupt_on_sigterm,
    positive,
    say,
)
from simulator.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.trial import Outcome, TrialPlan

MAX_DEVICES = 20
HISTORY_S, LIVE_S, SPEED = 7 * 86_400.0, 6 * 3600.0, 120.0


def register(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser("trial", help="three real agents (review none, suspicious, all) compared")
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="left out: all that have a score")
    parser.add_argument("--history", type=positive, metavar="SECONDS", help="replayed first (7 days)")
    parser.add_argument("--live", type=positive, metavar="SECONDS", help="with the events (6 hours)")
    parser.add_argument("--speed", type=positive, metavar="N", help="event seconds per second (120)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="scenarios at once (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep recordings, labels, logs and tables there"
    )
    parser.set_defaults(command=_trial)


def _trial(args: argparse.Namespace) -> int:
    from simulator.score import table  # noqa: PLC0415 - `list` stays quick
    from simulator.trial.report import compact, pooled, write  # noqa: PLC0415

    names = args.names or [name for name in scenarios.names() if scenarios.scored(name)]
    plans = [_plan(scenarios.load(name), args) for name in names]
    interrupt_on_sigterm()
    try:
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
        ended = _all(plans, args.jobs)
        outcomes = sorted((one for one in ended if not isinstance(one, str)), key=lambda one: one.scenario)
        if outcomes:
            say(table.text(compact(outcomes)) + "\n")
            say(table.text(table.rows(pooled(outcomes))))
        if outcomes and args.out is not None:
            write(outcomes, args.out)
    except OSError as error:
        return complain(f"{error.filename or args.out}: {error.strerror}", EXIT_UNAVAILABLE)
    failed = [one for one in ended if isinstance(one, str)]
    for one in failed:
        complain(one, EXIT_UNAVAILABLE)
    return EXIT_UNAVAILABLE if failed else EXIT_OK


def _all(plans: "Sequence[TrialPlan]", jobs: int) -> "list[Outcome | str]":
    """Run every trial, ``jobs`` at once; a failed trial is reported in a line instead."""
    if jobs <= 1:
        return [_run(plan) for plan in plans]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return [done.result() for done in as_completed([pool.submit(_run, plan) for plan in plans])]


def _run(plan: "TrialPlan") -> "Outcome | str":
    from simulator.agent_process import AgentEndedError  # noqa: PLC0415
    from simulator.broker import BrokerError  # noqa: PLC0415
    from simulator.link import LinkError  # noqa: PLC0415
    from simulator.trial import TrialError, run  # noqa: PLC0415

    try:
        return run(plan, say=say)
    except (TrialError, AgentEndedError, BrokerError, LinkError) as error:
        return f"{plan.scenario.name}: {error}"


def _plan(scenario: Scenario, args: argparse.Namespace) -> "TrialPlan":
    from simulator.trial import TrialPlan  # noqa: PLC0415

    if len(scenario.devices) > MAX_DEVICES:
        raise ScenarioError(
            f"{scenario.name}: has {len(scenario.devices)} devices; a trial takes at most {MAX_DEVICES}"
        )
    own = getattr(scenario, "trial", None)
    return TrialPlan(
        scenario=scenario,
        history_s=args.history or getattr(own, "history_s", HISTORY_S),
        live_s=args.live or getattr(own, "live_s", LIVE_S),
        speed=args.speed or getattr(own, "speed", SPEED),
        seed=args.seed,
        keep=args.out,
    )
