"""``edge-agent replay``: journaled batches for another model, and its differences.

The windows are sent with their journaled sections: in today's prompt, in the journaled one, or below
another system part from a file. Neither the journal nor the agent's ledger is touched: the money is booked in
a ledger of the command's own, below its own cap.
"""

import argparse
import asyncio
import os
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.ai.caller import Caller
from agent.ai.collecting_recorder import CollectingRecorder
from agent.ai.openai_chat import OpenAIChat
from agent.ai.settings import CallerSettings
from agent.budget.ledger import BudgetLedger
from agent.budget.periods import find_zone
from agent.commands.past import JOURNALED, Past, Render, past_batches, prompter, versions
from agent.commands.printing import instant, many, print_result, printable
from agent.config import Config, ConfigError, load_apart, settings
from agent.config.checks import check_model_url
from agent.config.credentials import KEY_VARIABLE, api_key
from agent.config.endpoint import OPENAI_URL
from agent.domain.model_calls import BudgetWindow, plotted
from agent.domain.records import Outcome, Status, Window
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.verdict.encode import to_json
from agent.verdict.verdict import conclude

NO_SHARES = 1e9  # --max-usd alone counts; a batch must not be cut, its journaled prompt speaks of all windows
_COMPARED = ("status", "kind", "grounded")


def run(args: argparse.Namespace) -> int:
    """Ask again and print the differences; exit code 69 when no call brought an answer.

    Raises:
        ConfigError: there is no endpoint, or it may not be used.
        JournalError: there is no journal to read, or no call brought an answer.
    """
    config = load_apart(args.config)
    endpoint, key = _endpoint(config, args.base_url)
    with Reader.open(config.agent.state_dir) as reader:
        since, exact = time.time() - args.since, args.prompt == JOURNALED
        site = settings.of_site(config)
        found = list(past_batches(reader, since=since, limit=args.limit, exact=exact, site=site))
    prompt = prompter(args.prompt, found)
    told = asyncio.run(_replay(config, args, found, prompt=prompt, endpoint=endpoint, key=key))
    print_result(told, _lines, as_json=args.json)
    if found and not told["calls"]["succeeded"]:
        fault = told["calls"]["last_error"]
        why = "no call was made: see --max-usd"
        if fault:
            why = f"{endpoint}: {fault}; check the endpoint, its key and --model"
        elif told["calls"]["own_fault"]:
            why = f"a fault of edge-agent itself: {told['calls']['own_fault']}; please report this line"
        raise JournalError(f"replay: {why}")
    return 0


# --------------------------------------------------------------------------------------- asking


async def _replay(
    config: Config,
    args: argparse.Namespace,
    found: list[Past],
    *,
    prompt: Render,
    endpoint: str,
    key: str | None,
) -> dict[str, Any]:
    recorder = CollectingRecorder()
    windows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="edge-agent-") as folder:
        ledger = BudgetLedger(
            Path(folder) / "budget.sqlite",
            limits=dict.fromkeys(BudgetWindow, args.max_usd),
            zone=find_zone(None),
            wall=time.time,
            mono=time.monotonic,
        )
        caller = _caller(config, args, recorder, ledger, prompt=prompt, endpoint=endpoint, key=key)
        try:
            for past in found:
                outcomes = await caller.ask(past.batch)
                windows += [
                    _compare(config, window, outcome, before)
                    for window, outcome, before in zip(
                        past.batch.windows, outcomes, past.verdicts, strict=True
                    )
                ]
            await caller.aclose()
        finally:
            ledger.close()
    told = _sum_up(args, found, windows, recorder, caller)
    version = versions(args.prompt, found, settings.of_site(config))
    return told | {"prompt_version": plotted(version) if config.ai.plot else version}


def _caller(
    config: Config,
    args: argparse.Namespace,
    recorder: CollectingRecorder,
    ledger: BudgetLedger,
    *,
    prompt: Render,
    endpoint: str,
    key: str | None,
) -> Caller:
    ai = replace(config.ai, model=args.model, profile=args.profile or config.ai.profile, fallback=())
    ai = replace(ai, concurrency=1, device_share=NO_SHARES, cache_ttl_s=0.0, moderation_model=None)
    transport = OpenAIChat(base_url=endpoint, api_key=key)
    return Caller(
        settings=CallerSettings.of(
            ai,
            agent=config.name,
            endpoint=endpoint,
            max_input_tokens=config.review.batch.max_input_tokens,
            site=settings.of_site(config),
        ),
        transport=transport,
        load=transport.load,
        ledger=ledger,
        recorder=recorder,
        clock=time.monotonic,
        rng=random.SystemRandom(),
        prompt=prompt,
    )


def _compare(config: Config, window: Window, outcome: Outcome, before: dict[str, Any]) -> dict[str, Any]:
    verdict = to_json(conclude(window, outcome, agent=config.name, created=time.time()))
    changed = [name for name in _COMPARED if before[name] != verdict[name]]
    return {
        "verdict_id": window.id,
        "device": window.device,
        "at": instant(window.end),
        "before": {
            name: before[name] for name in (*_COMPARED, "source", "reason", "model", "prompt_version")
        },
        "after": {name: verdict[name] for name in (*_COMPARED, "source", "reason")},
        "summary": verdict["summary"],
        "failed_checks": [check.detail for check in outcome.checks if not check.held],
        "changed": changed,
        "tokens": verdict["tokens"],
        "cost_usd": outcome.cost_usd or 0.0,
        "cost_before_usd": before["cost_usd"] or 0.0,
    }


def _sum_up(
    args: argparse.Namespace,
    found: list[Past],
    windows: list[dict[str, Any]],
    recorder: CollectingRecorder,
    caller: Caller,
) -> dict[str, Any]:
    calls = recorder.calls
    usages = [call.usage for call in calls if call.usage is not None]
    return {
        "model": args.model,
        "prompt": args.prompt,
        "batches": len(found),
        "windows": windows,
        "changed": sum(1 for one in windows if one["changed"]),
        "missed": sum(1 for one in windows if _is(one["before"]) and not _is(one["after"])),
        "new": sum(1 for one in windows if not _is(one["before"]) and _is(one["after"])),
        "calls": {
            "made": caller.stats.calls,
            "succeeded": caller.stats.succeeded,
            "invalid": sum(1 for call in calls if call.validation_failed),
            "last_error": caller.stats.last_error or None,
            "own_fault": caller.stats.last_fault or None,
        },
        "grounding": {str(name): count for name, count in recorder.grounding.items()},
        "tokens": {
            "input": sum(usage.input for usage in usages),
            "output": sum(usage.output for usage in usages),
        },
        "cost_usd": round(sum(call.cost_usd or 0.0 for call in calls), 9),
        "cost_before_usd": round(sum(one["cost_before_usd"] for one in windows), 9),
        "priced": all(call.priced for call in calls),
        "max_usd": args.max_usd,
    }


def _is(verdict: dict[str, Any]) -> bool:
    return bool(verdict["status"] == Status.ANOMALY)


# -------------------------------------------------------------------------------------- printing


def _shown(value: object) -> str:
    return {True: "yes", False: "no", None: "not checked"}.get(value) or str(value)  # type: ignore[call-overload]


def _lines(told: dict[str, Any]) -> list[str]:
    windows = told["windows"]
    if not windows:
        return ["no batch was journaled in that time, or none with its prompt: widen --since"]
    lines = []
    for one in windows:
        if not one["changed"]:
            continue
        lines.append(f"{one['verdict_id']} {printable(one['device'])} at {one['at']}:")
        lines += [
            f"  {name}: {_shown(one['before'][name])} -> {_shown(one['after'][name])}"
            for name in one["changed"]
        ]
        lines.append(f"  {one['after']['source']} ({one['after']['reason']}): {printable(one['summary'])}")
        lines += [f"  not so: {printable(detail)}" for detail in one["failed_checks"]]
    tokens, calls = told["tokens"], told["calls"]
    if not calls["succeeded"]:  # what differs then is only that nobody answered
        asked = f"{many(len(windows), 'window')} in {many(told['batches'], 'batch', 'batches')}"
        return [f"{asked}: nothing to compare, because no call was answered"]
    return [
        *lines,
        (
            f"{many(len(windows), 'window')} in {many(told['batches'], 'batch', 'batches')},"
            f" {many(told['changed'], 'verdict differs', 'verdicts differ')}:"
        ),
        f"  {many(told['missed'], 'anomaly', 'anomalies')} fewer, {told['new']} more",
        f"{told['model']}, prompt {told['prompt_version']}: {calls['succeeded']} of {calls['made']} calls,",
        (
            f"  {calls['invalid']} with invalid answers,"
            f" {many(told['grounding']['ungrounded'], 'answer')} ungrounded"
        ),
        f"{tokens['input']} tokens in, {tokens['output']} out, {told['cost_usd']:.6f} USD;",
        f"  before: {told['cost_before_usd']:.6f} USD; cap: {told['max_usd']:.2f} USD",
        *([] if told["priced"] else [f"  {told['model']} has no price: counted as the dearest in ai.prices"]),
    ]


# ------------------------------------------------------------------------------------ arguments


def _endpoint(config: Config, base_url: str | None) -> tuple[str, str | None]:
    """Return address and key; a key is only given to the endpoint that it was configured for."""
    if base_url is None:
        key = api_key(config)
        endpoint = config.ai.base_url or (OPENAI_URL if key else None)
        if endpoint is None:
            raise ConfigError(["ai.base_url: no endpoint and no key; set one, or give --base-url"])
        return endpoint, key
    try:
        check_model_url(base_url, "its key is OPENAI_API_KEY")
    except ValueError as error:
        raise ConfigError([f"--base-url: {error}"]) from None
    return base_url, os.environ.pop(KEY_VARIABLE, "").strip() or None
