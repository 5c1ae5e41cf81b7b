"""The operator's three questions to the log of 50 mixed calls, 46 of them failed.

All parts are the agent's own: caller, SDK, recorder, log. Tracing is off, so no trace id helps.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.domain.model_calls import CallRecord
from agent.domain.records import Batch, Verdict
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Tracer
from agent.verdict.verdict import conclude
from tests.ai.kit import Purse, batch, settings, window
from tests.observe.sink import Log
from tests.support.model_endpoint import Behaviour, ModelEndpoint, windows_of

AT_ONCE = 46
SPEED = 20.0  # seconds of the caller's clock in one real second
FAILURES = ("500", "503", "429", "404", "html", "empty_choices", "billing", "filtered_prompt")
SHARED = "hall/boiler"  # is in the failures, in the slow call and in one that is neither


@dataclass
class Planned:
    """One batch, the model that is asked, and how the endpoint treats its request."""

    model: str
    asked: Batch
    behaviour: Behaviour


class Scripted(ModelEndpoint):
    """Treats each request as planned for its first window's value; holds the failures until all have come."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: dict[float, Behaviour] = {}
        self.all_here = threading.Event()
        self.failing = 0
        self._server.socket.listen(128)  # the failures connect at once

    def choose(self, request: dict[str, Any]) -> Behaviour:
        worst = max(windows_of(request)[0]["candidates"], key=lambda one: one["score"])
        behaviour = self.plan[worst["value"]]
        with self.lock:
            self.requests.append(request)
            self.failing += behaviour in FAILURES
            if self.failing >= AT_ONCE:
                self.all_here.set()
        if behaviour in FAILURES:
            self.all_here.wait(30)
        elif behaviour == "slow":
            self.stopping.wait(4.5 / SPEED)
            behaviour = "fine"
        return behaviour


@dataclass
class Story:
    """The batches, their outcomes, and the log."""

    plans: list[Planned]
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)  # by batch
    records: list[CallRecord] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=lambda: Metrics(models=("m", "cheap"), provider="openai"))
    sent: set[str] = field(default_factory=set)  # prompts as the endpoint got them

    def ends(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines that end a call."""
        events = {"ai_call_success", "ai_call_failure"} if event is None else {event}
        return [line for line in self.lines if line["event"] in events]

    def all_verdicts(self) -> list[Verdict]:
        return [verdict for found in self.verdicts.values() for verdict in found]


def some_window(number: int, device: str) -> Any:
    return window(f"{number:032x}", device=device, value=100.0 + number)


def make_plans() -> list[Planned]:
    plans = []
    for number in range(AT_ONCE):
        devices = [f"site/d{number}", SHARED] if number % 10 == 0 else [f"site/d{number}"]
        windows = [some_window(10 * number + place, device) for place, device in enumerate(devices)]
        model = "cheap" if number % 8 == 0 else "m"
        behaviour = FAILURES[number % len(FAILURES)]
        plans.append(Planned(model, batch(*windows, name=f"failed{number}"), behaviour))
    for number, behaviour in enumerate(("slow", "refusal", "wrong_id", "bad_window"), start=50):
        windows = [some_window(10 * number, f"site/d{number}"), some_window(10 * number + 1, SHARED)]
        plans.append(Planned("m", batch(*windows, name=f"other{number}"), behaviour))
    return plans


async def tell(story: Story, endpoint: Scripted, log: Log) -> None:
    recorder = TelemetryRecorder(logs=log.writer, metrics=story.metrics, tracer=Tracer())
    transport = OpenAIChat(base_url=endpoint.url, api_key="sk-canary-key")
    callers = {
        model: Caller(
            settings=settings(model=model, deadline_s=60 * SPEED, max_concurrent=64, max_retries=1),
            transport=transport,
            ledger=Purse(1000.0),
            recorder=recorder,
            clock=lambda: SPEED * time.monotonic(),
            rng=random.Random(model),
            sleep=lambda _seconds: asyncio.sleep(0),
            transcribe=story.records.append,
        )
        for model in ("m", "cheap")
    }

    async def one(plan: Planned) -> None:
        outcomes = await callers[plan.model].ask(plan.asked)
        story.verdicts[plan.asked.id] = [
            conclude(asked, outcome, agent="gw1", created=0.0)
            for asked, outcome in zip(plan.asked.windows, outcomes, strict=True)
        ]

    for plan in story.plans[AT_ONCE:]:
        await one(plan)
    await asyncio.gather(*map(one, story.plans[:AT_ONCE]))
    for caller in callers.values():
        await caller.aclose()


@pytest.fixture(scope="module")
def story() -> Story:
    """Fifty calls by two models, over HTTP, recorded in one log with full content."""
    found, log = Story(make_plans()), Log(content="full")
    with Scripted() as endpoint:
        for plan in found.plans:
            for asked in plan.asked.windows:
                endpoint.plan[asked.candidates[-1].value] = plan.behaviour
        asyncio.run(tell(found, endpoint, log))
        found.sent = {
            "\n".join(one["content"] for one in request["messages"]) for request in endpoint.requests
        }
    found.lines = log.lines()
    return found


def test_no_call_is_missing(story: Story) -> None:
    """Each of the 50 calls has its start and its end in the log, and nothing was held back."""
    assert len(story.plans) == 50
    starts = [line["request_id"] for line in story.lines if line["event"] == "ai_call_start"]
    ends = [line["request_id"] for line in story.ends()]
    assert len(starts) == len(set(starts)) == 50
    assert sorted(starts) == sorted(ends)
    assert not [line for line in story.lines if "suppressed" in line and line["event"].startswith("ai_call")]
    retries = sum(
        sample.value
        for family in story.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "ai_api_retries_total"
    )
    assert len([line for line in story.lines if line["event"] == "ai_retry"]) == retries


@pytest.mark.parametrize("model", ["m", "cheap"])
def test_all_failed_calls_of_a_model_in_the_last_hour(story: Story, model: str) -> None:
    """The first question: each is a line with model, time, cause and remedy; the metric agrees."""
    since = datetime.now(UTC) - timedelta(hours=1)
    failed = [
        line
        for line in story.ends("ai_call_failure")
        if line["model"] == model and datetime.fromisoformat(line["timestamp"]) > since
    ]
    wanted = {plan.asked.id for plan in story.plans[:AT_ONCE] if plan.model == model}
    assert {line["batch_id"] for line in failed} == wanted
    assert len(failed) == len(wanted)
    labels = {"model": model, "provider": "openai", "status": "failure"}
    assert story.metrics.registry.get_sample_value("ai_api_calls_total", labels) == len(failed)
    assert all(line["error_type"] != "other" and line["remedy"] for line in failed)


def test_all_calls_of_a_device_longer_than_three_seconds(story: Story) -> None:
    """The second question: a device of a call about several is named too, as in the verdicts."""

    def slow(device: str) -> set[str]:
        return {
            line["request_id"]
            for line in story.ends()
            if device in line["devices"] and line["latency_ms"] > 3000
        }

    (asked,) = [plan.asked for plan in story.plans if plan.behaviour == "slow"]
    slow_request = story.verdicts[asked.id][0].request_id
    for device in {one.device for one in story.all_verdicts()}:
        wanted = {
            one.request_id
            for one in story.all_verdicts()
            if one.device == device and (one.latency_ms or 0) > 3000
        }
        assert slow(device) == wanted, device
    assert slow_request in slow(SHARED)
    assert all(len(line["devices"]) == line["device_count"] for line in story.ends())


def test_the_exact_prompt_of_an_answer(story: Story) -> None:
    """The third question: a verdict's request id finds the prompt as it was sent, line breaks and all."""
    starts = {line["request_id"]: line for line in story.lines if line["event"] == "ai_call_start"}
    kept = {one.request.request_id: one for one in story.records}
    for verdict in story.all_verdicts():
        assert verdict.request_id is not None
        prompt = starts[verdict.request_id]["prompt"]
        record = kept[verdict.request_id]
        assert prompt == record.request.prompt
        assert prompt in story.sent
        assert verdict.id in record.request.window_ids
    ends = {line["request_id"]: line for line in story.ends()}
    assert any(one.ok and ends[one.request.request_id]["response"] == one.reply.text for one in story.records)


def test_each_line_says_what_its_verdicts_say(story: Story) -> None:
    """Source, reason and status on the line are those of the verdicts that have its request id."""
    by_request: dict[str, list[Verdict]] = {}
    for verdict in story.all_verdicts():
        by_request.setdefault(verdict.request_id or "", []).append(verdict)
    assert len(by_request) == 50
    for line in story.ends():
        verdicts = by_request[line["request_id"]]
        assert line["verdicts"] == Counter(f"{one.source}/{one.reason}/{one.status}" for one in verdicts)
        sources, reasons = {one.source for one in verdicts}, {one.reason for one in verdicts}
        assert line["source"] == (next(iter(sources)) if len(sources) == 1 else "mixed")
        assert line["reason"] == (next(iter(reasons)) if len(reasons) == 1 else "mixed")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("slow", {"source": "ai", "reason": "reviewed", "validation_failed": False, "repaired": False}),
        ("refusal", {"source": "local", "reason": "invalid", "safety": ["refusal"]}),
        ("wrong_id", {"source": "local", "reason": "ungrounded", "validation_failed": False}),
        ("bad_window", {"source": "mixed", "reason": "mixed", "validation_failed": True}),
    ],
)
def test_what_is_no_failure_says_why_as_well(story: Story, behaviour: str, words: dict[str, Any]) -> None:
    """A refusal, an ungrounded answer and a bad window are successful calls, and each line has its reason."""
    (asked,) = [plan.asked for plan in story.plans if plan.behaviour == behaviour]
    (line,) = [one for one in story.ends("ai_call_success") if one["batch_id"] == asked.id]
    assert line | words == line
    assert line["tokens_estimated"] is False


def test_what_was_assumed_is_marked(story: Story) -> None:
    """A reservation that was kept without usage is on the line and in the metric."""
    marked = [line for line in story.ends() if "cost_assumed_usd" in line]
    assumed = {line["batch_id"]: line["cost_assumed_usd"] for line in marked}
    kept = {plan.asked.id for plan in story.plans if plan.behaviour == "html"}
    assert set(assumed) == kept
    for line in story.ends():
        assert line.get("cost_assumed_usd", 0.0) <= line["cost_usd"]
    total = sum(
        story.metrics.registry.get_sample_value(
            "ai_cost_assumed_usd_total", {"model": model, "provider": "openai"}
        )
        or 0.0
        for model in ("m", "cheap")
    )
    assert total == pytest.approx(sum(assumed.values()))
    assert total > 0
