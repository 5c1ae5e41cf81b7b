"""``edge-agent budget show|reset``: the cost of the model, printed or forgotten."""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Mapping
from datetime import tzinfo

from agent.ai.budget_guard import state_of
from agent.app.ai import limits_of
from agent.budget.ledger import BudgetLedger, boot_id
from agent.budget.periods import Anchor, find_zone
from agent.budget.reader import read_budget
from agent.budget.store import SENTINEL
from agent.commands.ownership import give_to_owner
from agent.config import Config, load_apart
from agent.domain.model_calls import BudgetWindow, Spend
from agent.journal import JournalError

NAME = "budget.sqlite"


def show(args: argparse.Namespace) -> int:
    """Print limit, spent, reserved and left of each period, USD; nothing is written.

    Raises:
        JournalError: there is no ledger, or it cannot be read.
    """
    spend = read(load_apart(args.config))
    print(json.dumps(as_record(spend), indent=2) if args.json else _as_table(spend))
    return 0


def read(config: Config) -> Mapping[BudgetWindow, Spend]:
    """Return what the periods have cost.

    Raises:
        JournalError: there is no ledger, or it cannot be read.
    """
    path = config.agent.state_dir / NAME
    return read_budget(path, limits=limits_of(config), zone=_zone(config), now=_now())


def reset(args: argparse.Namespace) -> int:
    """Forget the spend of the running periods; a running agent reads it before its next refusal.

    Raises:
        JournalError: there is no ledger, or it cannot be written.
    """
    config = load_apart(args.config)
    path = config.agent.state_dir / NAME
    if not path.exists() and not path.with_name(SENTINEL).exists():
        raise JournalError(f"budget: there is no {path}; the agent has not asked a model yet")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise JournalError(f"budget: {path} is not writable for user {os.getuid()}; run this as its owner")
    ledger = open_ledger(config)
    try:
        before = ledger.spend()
        asyncio.run(ledger.reset())
    finally:
        ledger.close()
    give_to_owner(path, path.with_name(SENTINEL))
    sums = ", ".join(f"{one.spent + one.reserved:.6f} USD of this {window}" for window, one in before.items())
    print(f"{path}: forgotten: {sums}")
    return 0


def open_ledger(config: Config, *, shared: bool = False) -> BudgetLedger:
    """Open the agent's ledger to write in it, ``shared`` with a running agent.

    Raises:
        JournalError: it cannot be opened.
    """
    return BudgetLedger(
        config.agent.state_dir / NAME,
        limits=limits_of(config),
        zone=_zone(config),
        wall=time.time,
        mono=time.monotonic,
        shared=shared,
    )


def _zone(config: Config) -> tzinfo:
    return find_zone(config.ai.budget.timezone)


def _now() -> Anchor:
    return Anchor(time.time(), time.monotonic(), boot_id())


def as_record(spend: Mapping[BudgetWindow, Spend]) -> dict[str, object]:
    """Return the periods as an object."""
    return {
        window.value: {
            "limit_usd": one.limit,
            "spent_usd": one.spent,
            "reserved_usd": one.reserved,
            "left_usd": _left(one),
            "state": state_of(one),
        }
        for window, one in spend.items()
    }


def _as_table(spend: Mapping[BudgetWindow, Spend]) -> str:
    lines = [f"{'USD':<6}{'limit':>12}{'spent':>12}{'reserved':>12}{'left':>12}  state"]
    for window, one in spend.items():
        figures = "".join(f"{value:>12.6f}" for value in (one.limit, one.spent, one.reserved, _left(one)))
        lines.append(f"{window:<6}{figures}  {state_of(one)}")
    return "\n".join(lines)


def _left(one: Spend) -> float:
    return round(max(0.0, one.limit - one.spent - one.reserved), 9)
