"""Check of the model: key, prices, budget, one small call with a schema."""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator

from agent.ai.errors import remedy
from agent.ai.openai_chat import OpenAIChat
from agent.ai.probe import MAX_TOKENS, Probe, probe
from agent.budget.ledger import BudgetLedger
from agent.budget.pricing import Pricing, usd
from agent.commands.budget import NAME, open_ledger
from agent.commands.checks.line import Line, fail, ok, warn
from agent.commands.checks.share import example_plots, look_at_share
from agent.commands.printing import many, printable
from agent.config import Config, ConfigError
from agent.config.credentials import api_key
from agent.config.endpoint import describe_model, endpoint_of
from agent.domain.model_calls import ErrorType, Plots
from agent.journal import JournalError
from agent.journal.reader import Reader

TIMEOUT_S = 20.0
PROMPT_BYTES = 400  # of the tiny call, schema included
RECENT_CALLS = 3
_HTTP = re.compile(r"HTTP (\d{3})\b")  # as the caller words a refusal


def look_at_model(config: Config, *, agent: int | None, wish: bool | None) -> Iterator[Line]:
    """Look at key, prices and budget, and ask the endpoint once.

    Args:
        config: of the agent.
        agent: process id of a running agent, which holds the budget.
        wish: whether the user wants the call: True even unbooked, False never, None only booked.
    """
    if config.review.mode == "none":
        yield ok("model", "review.mode is none: no model is asked")
        return
    try:
        key = api_key(config)
    except ConfigError as error:
        yield fail("model.key", printable(str(error)), "correct ai.api_key_file")
        return
    endpoint = endpoint_of(config, key=key is not None)
    if endpoint is None:
        yield warn(
            "model.key",
            "neither ai.base_url nor a key: all verdicts will be local",
            "set ai.api_key_file or OPENAI_API_KEY, or review.mode: none",
        )
        return
    yield ok("model.endpoint", printable(describe_model(config, key=key is not None)))
    yield ok("model.key", "present and readable" if key else f"none, which {endpoint} may accept")
    yield from look_at_share(config)
    yield from _prices(config)
    if wish is False:
        yield ok("model.call", "not tried: --no-ai")
        return
    yield from asyncio.run(_ask(config, endpoint, key, agent=agent, unbooked=wish is True))


def _prices(config: Config) -> Iterator[Line]:
    pricing = Pricing(config.ai.prices)
    for name in (config.ai.model, *config.ai.fallback):
        if pricing.knows(name):
            price = pricing.price(name)
            yield ok(f"model.price {name}", f"{price.input:g} in, {price.output:g} out, USD per 1M tokens")
        else:
            yield warn(
                f"model.price {name}",
                "has no price, so the dearest known one is booked for it",
                f"add ai.prices.{name}",
            )


async def _ask(
    config: Config, endpoint: str, key: str | None, *, agent: int | None, unbooked: bool
) -> list[Line]:
    """Make the call inside the budget, or report the reason against it."""
    pricing, model = Pricing(config.ai.prices), config.ai.model
    plots = example_plots(config)
    most = pricing.worst_case(model, PROMPT_BYTES + (plots.tokens if plots else 0), MAX_TOKENS)
    ledger = None if unbooked or not most else _ledger(config, agent)
    if isinstance(ledger, str):
        not_tried = warn(
            "model.call",
            f"not tried, since {ledger}; it costs at most {usd(most):.6f} USD",
            "add --ai to make it all the same, or --no-ai to leave it out",
        )
        return [not_tried, *_journaled(config, endpoint)]
    booking = None
    try:
        if ledger is not None:
            booking = await ledger.reserve(usd(most), "doctor")
            if booking is None:
                return [
                    warn(
                        "model.call",
                        "not tried: the budget is used up, so all verdicts are local",
                        "wait for the next period, raise ai.budget, or edge-agent budget reset",
                    )
                ]
        found = await _probe(config, endpoint, key, plots)
        if ledger is not None and booking is not None and (found.usage is not None or not found.billed):
            cost = 0 if found.usage is None else min(most, pricing.cost(model, found.usage))
            await ledger.settle(booking, usd(cost))
        return [*_judge(found, endpoint), *_sight(found, plots)]
    finally:
        if ledger is not None:
            ledger.close()


def _journaled(config: Config, endpoint: str) -> Iterator[Line]:
    """Report how the newest journaled calls went."""
    try:
        with Reader.open(config.agent.state_dir) as reader:
            details = [batch.detail for batch in reader.batches(limit=RECENT_CALLS) if batch.detail]
    except JournalError:
        return
    calls = [json.loads(detail)["calls"][-1] for detail in details]
    failed = [call for call in calls if call["error_type"] is not None]
    check = "model.journaled"
    if calls and len(failed) == len(calls):
        error_type, message = failed[0]["error_type"], printable(failed[0]["error_message"] or "no answer")
        found = _HTTP.match(message)
        status = int(found[1]) if found else None
        yield fail(
            check,
            f"the last {many(len(calls), 'journaled call')} failed, the newest of model {failed[0]['model']}"
            f" at {endpoint}: {message}",
            remedy(ErrorType(error_type), status),
        )
    elif calls and calls[0]["error_type"] is None:
        yield ok(check, "the newest journaled call was answered")


def _ledger(config: Config, agent: int | None) -> BudgetLedger | str:
    """Return the ledger to book in, or in words the reason against writing it."""
    folder = config.agent.state_dir
    if agent is not None:
        return f"the running agent (process {agent}) keeps the budget"
    if not os.path.exists(folder / NAME) and not _ours(config):  # noqa: PTH110 - False where it cannot be looked at
        return "there is no budget file yet, which the agent's own user should make"
    try:
        return open_ledger(config)
    except JournalError as error:
        return printable(str(error))


def _ours(config: Config) -> bool:
    """Return whether the state directory exists and belongs to the current user."""
    try:
        return config.agent.state_dir.stat().st_uid == os.geteuid()
    except OSError:
        return False


async def _probe(config: Config, endpoint: str, key: str | None, plots: Plots | None) -> Probe:
    transport = OpenAIChat(base_url=endpoint, api_key=key)
    try:
        return await probe(
            transport,
            model=config.ai.model,
            provider=config.ai.profile,
            timeout_s=TIMEOUT_S,
            clock=time.monotonic,
            plots=plots,
        )
    finally:
        await transport.aclose()


def _judge(found: Probe, endpoint: str) -> list[Line]:
    if not found.answered:
        what_to_do = remedy(found.error_type, found.http_status)
        return [fail("model.call", f"{endpoint}: {printable(found.error)}", what_to_do)]
    lines = [ok("model.call", f"{found.model} answered in {found.latency_s:.2f} s")]
    if found.inconclusive:
        lines.append(
            warn(
                "model.schema",
                f"not known whether it is enforced: {found.inconclusive}",
                "ask again; if it stays so, expect invalid or truncated replies and take another model",
            )
        )
    elif found.schema_enforced:
        lines.append(ok("model.schema", "the JSON schema is enforced"))
    else:
        lines.append(
            warn(
                "model.schema",
                f"the JSON schema is not enforced (response_format {found.response_format}):"
                " more replies will be invalid",
                "take a model or server with structured outputs, or set ai.profile to the server's",
            )
        )
    fields = [name for name in found.refused if name != "plots"]
    if fields:
        lines.append(ok("model.fields", f"does without: {', '.join(fields)}"))
    return lines


def _sight(found: Probe, plots: Plots | None) -> Iterator[Line]:
    if plots is None or not found.answered:
        return
    if "plots" in found.refused:
        yield warn(
            "model.plot",
            f"{found.model} takes no images: it is asked without plots",
            "take a model that sees, or set ai.plot: false",
        )
    else:
        yield ok("model.plot", f"{found.model} takes images; whether it reads them, edge-sim lift measures")
