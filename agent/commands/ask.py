"""``edge-agent ask QUESTION``: an answer from the journal, checked.

The journal's facts go to the model without any name of a device, and each citation, time and number of its
answer is looked up in them. Without a model, money or a right answer the facts are printed alone. Only the
budget is written, in the ledger that a running agent has open too.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from secrets import token_hex
from typing import Any

from agent.ai.openai_chat import OpenAIChat
from agent.ai.question import Asked, Questioner
from agent.ai.settings import CallerSettings
from agent.budget.ledger import BudgetLedger
from agent.budget.periods import find_zone
from agent.budget.store import SENTINEL
from agent.commands.asking.facts import MAX_FINDINGS, Facts, collect
from agent.commands.asking.names import Named, Names
from agent.commands.asking.period import Period, local, read_period
from agent.commands.budget import NAME, open_ledger
from agent.commands.inspect import learn
from agent.commands.ownership import give_to_owner
from agent.commands.printing import UnknownError, instant, many, print_result, printable
from agent.config import Config, ConfigError, load_apart
from agent.config.credentials import api_key
from agent.config.endpoint import endpoint_of
from agent.domain.records import Check
from agent.journal import JournalError
from agent.journal.reader import Reader
from agent.prompt import Prompt
from agent.prompt.question import Answered, check_answer, parse_answer, render_question, reveal_answer
from agent.prompt.site import NOTHING
from agent.prompt.words import metric_word
from agent.verdict.people import People

MAX_QUESTION = 500  # characters


@dataclass(frozen=True, slots=True)
class _Question:
    """The question as it was understood, and the facts about it."""

    text: str
    sent: str  # without any name of a device
    named: Named
    period: Period
    zone: tzinfo
    facts: Facts
    names: Names
    paused_to: float | None


def run(args: argparse.Namespace) -> int:
    """Print an answer, or the facts alone with the reason.

    Raises:
        JournalError: there is no journal to read.
        UnknownError: there is no question, it names no known device, or a time to come.
    """
    config = load_apart(args.config)
    question = _read(config, " ".join(args.question))
    endpoint, key, why = (
        ("", None, "--no-ai: no model was asked") if args.no_ai else _endpoint(config, question)
    )
    asked: Asked | None = None
    kept: Mapping[str, Mapping[str, Any]] = {}
    if not why:
        prompt, kept = render_question(
            question.sent,
            question.facts.head,
            [fact.sent for fact in question.facts.items],
            max_tokens=config.review.batch.max_input_tokens,
            delimiter=token_hex(8),
        )
        asked, why = _ask(config, prompt, endpoint=endpoint, key=key)
    answer: Answered | None = None
    checks: tuple[Check, ...] = ()
    if asked is not None and asked.text is not None:
        answer, checks, why = _judge(asked.text, question, kept)
    print_result(_as_json(question, asked, answer, checks, why), _lines, as_json=args.json)
    return 0


def _read(config: Config, text: str) -> _Question:
    """Return the question with its devices, its time and the journal's facts."""
    text = " ".join(printable(text).split())
    if not text or len(text) > MAX_QUESTION:
        raise UnknownError(
            f"write a question of 1 to {MAX_QUESTION} characters, such as: why did oven alarm last night?"
        )
    now, zone = time.time(), find_zone(config.agent.timezone)
    with Reader.open(config.agent.state_dir) as reader:
        names = Names(reader.devices())
        exact, rest = names.exact(text)
        period, timeless = read_period(rest, now=now, zone=zone)
        named = names.find(exact, timeless)
        _refuse_unknown(named)
        detector, _ = learn(reader, config)
        facts = collect(
            reader,
            detector,
            devices=named.devices,
            every=not named.devices,
            period=period,
            now=now,
            zone=zone,
        )
        people = People(knows=lambda _device: False)
        people.restore((), reader.commands())
    sent = names.hide(text, named, facts.aliases)
    return _Question(text, sent, named, period, zone, facts, names, people.paused_to(now))


def _refuse_unknown(named: Named) -> None:
    if named.unknown and not named.devices:
        name, near = next(iter(named.unknown.items()))
        known = f"close are: {', '.join(near)}" if near else "edge-agent device list prints the known ones"
        raise UnknownError(printable(f"{name}: no device is called so; {known}"))


# ---------------------------------------------------------------------------------------- the model


def _endpoint(config: Config, question: _Question) -> tuple[str, str | None, str]:
    """Return address and key, and in words the reason against a call."""
    if config.review.mode == "none":
        return "", None, "review.mode is none"
    if question.paused_to is not None:
        until = instant(question.paused_to)
        return "", None, f"a person has paused the model until {until}; edge-agent model resume ends that"
    if not question.facts.items:
        return "", None, "there is nothing to ask about"
    try:
        key = api_key(config)
    except ConfigError as error:
        return "", None, printable(str(error))
    endpoint = endpoint_of(config, key=key is not None)
    if endpoint is None:
        return "", None, "neither ai.base_url nor a key is configured"
    return endpoint, key, ""


def _ask(config: Config, prompt: Prompt, *, endpoint: str, key: str | None) -> tuple[Asked | None, str]:
    """Return the end of the call, and in words the reason for a missing reply."""
    folder = config.agent.state_dir
    try:
        ledger = open_ledger(config, shared=True)
    except JournalError as error:
        return None, f"the call cannot be booked: {printable(str(error))}"
    try:
        asked = asyncio.run(_call(config, prompt, ledger, endpoint=endpoint, key=key))
    finally:
        ledger.close()
        if os.geteuid() == 0:
            give_to_owner(folder / NAME, folder / SENTINEL)
    return asked, printable(asked.why)


async def _call(
    config: Config, prompt: Prompt, ledger: BudgetLedger, *, endpoint: str, key: str | None
) -> Asked:
    transport = OpenAIChat(base_url=endpoint, api_key=key)
    questioner = Questioner(
        settings=CallerSettings.of(
            config.ai,
            agent=config.name,
            endpoint=endpoint,
            max_input_tokens=config.review.batch.max_input_tokens,
            site=NOTHING,
        ),
        transport=transport,
        ledger=ledger,
        clock=time.monotonic,
        rng=random.SystemRandom(),
        sleep=asyncio.sleep,
    )
    try:
        await transport.load()
        return await questioner.ask(prompt)
    finally:
        await transport.aclose()


def _judge(
    text: str, question: _Question, kept: Mapping[str, Mapping[str, Any]]
) -> tuple[Answered | None, tuple[Check, ...], str]:
    """Return the answer if it holds, its checks, and in words the reason against it."""
    try:
        answer = parse_answer(text)
    except ValueError as error:
        return None, (), f"the model's answer cannot be used: {error}"
    if not answer.answered:
        return None, (), "the model finds no answer in the journal's facts"
    others = question.names.others(answer.text, question.facts.aliases)
    foreign = Check(
        "other_devices", not others, f"{', '.join(others)}: not asked about" if others else "none"
    )
    checks = (*check_answer(answer, question.facts.head, kept, question.sent), foreign)
    wrong = [check.detail for check in checks if not check.held]
    if wrong:
        return None, checks, printable(f"the model's answer did not hold: {'; '.join(wrong)}")
    return answer, checks, ""


# ----------------------------------------------------------------------------------------- printing


def _as_json(
    question: _Question,
    asked: Asked | None,
    answer: Answered | None,
    checks: tuple[Check, ...],
    why: str,
) -> dict[str, Any]:
    facts, period = question.facts, question.period
    devices = {alias: device for device, alias in facts.aliases.items()}
    metrics = {word: name for word, name in facts.metrics.items() if word != metric_word(name)}
    cites = [] if answer is None else list(answer.cites)
    return {
        "question": question.text,
        "devices": list(question.named.devices),
        "more_devices": question.named.more,
        "unknown": list(question.named.unknown),
        "from": instant(period.begin),
        "to": instant(period.end),
        "time": period.words or None,
        "local_time": [local(period.begin, question.zone), local(period.end, question.zone)],
        "answer": None if answer is None else reveal_answer(answer.text, devices, metrics),
        "why_local": why or None,
        "cites": cites,
        "findings": facts.found,
        "facts": [{"id": fact.id, "text": fact.shown} for fact in facts.items],
        "checks": [{"name": one.name, "held": one.held, "detail": one.detail} for one in checks],
        "call": None
        if asked is None
        else {
            "model": asked.model,
            "request_id": asked.request_id,
            "tokens": None
            if asked.usage is None
            else {"input": asked.usage.input, "output": asked.usage.output},
            "cost_usd": asked.cost_usd,
        },
    }


def _lines(told: Mapping[str, Any]) -> list[str]:
    begin, end = told["local_time"]
    about = ", ".join(told["devices"]) or "all devices"
    if told["more_devices"]:
        about += f" ({many(told['more_devices'], 'more device')} left out)"
    lines = [f"{about}, {told['time'] or 'the last 24 hours'}: {begin} to {end}"]
    lines += [f"no device is called {name}" for name in told["unknown"]]
    facts = {fact["id"]: fact["text"] for fact in told["facts"]}
    if told["answer"] is None:
        lines.append(f"From the journal alone ({told['why_local']}):")
        count = many(told["findings"], "finding") if told["findings"] else "no finding"
        lines += [f"  {count} in that time", *(f"  {text}" for text in facts.values())]
        if told["call"] is not None and told["call"]["cost_usd"]:
            lines.append(f"Booked for the call all the same:{_cost(told['call'])}")
    else:
        lines += ["", told["answer"], ""]
        lines += [f"  {ref}  {facts[ref]}" for ref in told["cites"]]
        lines.append(
            "Each citation, device, kind, time and number was looked up in the journal; the other words are"
            f" the model's.{_cost(told['call'])}"
        )
    if told["findings"] > MAX_FINDINGS:
        lines.append(f"{told['findings'] - MAX_FINDINGS} more findings: ask about a device or a shorter time")
    return [printable(line) for line in lines]


def _cost(call: Mapping[str, Any]) -> str:
    tokens = call["tokens"]
    used = f", {tokens['input']} tokens in, {tokens['output']} out" if tokens else ""
    return f" {call['model']}{used}, {call['cost_usd']:.6f} USD."
