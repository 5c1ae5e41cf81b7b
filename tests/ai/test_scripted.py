"""Each scripted behaviour of the simulator's endpoint, in all that it changes.

Verdicts, metrics, log events, spans, ledger and breaker are compared with a table.

All parts are the agent's own: SDK, recorder, metrics, log, tracer and exporter, ledger on disk. The spans are
decoded by a collector.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import pytest

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.budget.ledger import BudgetLedger
from agent.domain.model_calls import BudgetWindow, CallRecord, Spend, Usage
from agent.domain.records import Verdict
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import open_tracer
from agent.prompt import SCHEMA, output_tokens
from agent.prompt.section import dump
from agent.verdict.verdict import conclude
from simulator.model import Behaviour, Director, ModelEndpoint
from simulator.model.behaviours import Knobs
from tests.ai.kit import PRICING, settings, two_windows
from tests.ai.test_sums import metric
from tests.observe.sink import Log
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan, http_receiver

KNOBS = Knobs(retry_after_s=60.0, huge_bytes=8 * 1024 * 1024)
GOOD = "ai/reviewed/anomaly"
DEADLINE_S = {Behaviour.SLOW: 0.6, Behaviour.HANG: 0.6, Behaviour.DRIP: 0.6}


@dataclass(frozen=True)
class Row:
    """The expectation when every request about two windows is treated alike."""

    verdicts: tuple[str, str] = (GOOD, GOOD)
    error: str | None = None  # of the call
    ok: bool = True
    attempts: int = 1
    retries: int | None = None  # all but the first attempt, unless the request was only put otherwise
    held: tuple[int, int] = (2, 0)  # answers grounded, ungrounded
    flags: tuple[str, ...] = ()
    invalid: bool = False
    repair: str | None = None
    money: str = "actual"  # actual | estimated | none | kept: the worst case of each attempt | part of it
    breaker: str = "ok"  # ok | counts | opens


def local(reason: str) -> tuple[str, str]:
    return (f"local/{reason}/anomaly",) * 2


def fails(error: str, reason: str = "error", **more: object) -> Row:
    fields: dict[str, object] = {"verdicts": local(reason), "error": error, "ok": False, "held": (0, 0)}
    return Row(**fields | {"money": "none"} | more)  # type: ignore[arg-type]


def malformed(money: str) -> Row:
    return fails("malformed_response", attempts=2, money=money, breaker="counts")


def late() -> Row:
    return fails("timeout", "timeout", money="kept", breaker="counts")


UNGROUNDED = Row(verdicts=local("ungrounded"), held=(0, 2))
TABLE = {
    Behaviour.FINE: Row(),
    Behaviour.SLOW: late(),
    Behaviour.HANG: late(),
    Behaviour.DRIP: late(),
    Behaviour.RATE_LIMITED: fails("rate_limited", "cooldown"),
    Behaviour.QUOTA: fails("quota", breaker="opens"),
    Behaviour.SERVER_ERROR: fails("server_error", attempts=3, breaker="counts"),
    Behaviour.UNAUTHORIZED: fails("auth", breaker="opens"),
    Behaviour.BAD_REQUEST: fails("bad_request"),
    Behaviour.NO_SCHEMA: Row(attempts=3, retries=0),
    Behaviour.REFUSAL: Row(verdicts=local("invalid"), held=(0, 0), flags=("refusal",)),
    Behaviour.CONTENT_FILTER: fails("content_filter", "invalid", flags=("content_filter",), money="actual"),
    Behaviour.MODERATED: Row(flags=("violence",)),
    Behaviour.TRUNCATED: Row(verdicts=(GOOD, "local/model_omitted/anomaly"), error="truncated", held=(1, 0)),
    Behaviour.BAD_JSON: Row(verdicts=local("invalid"), held=(0, 0), invalid=True, repair="failed"),
    Behaviour.FENCED_JSON: Row(repair="ok"),
    Behaviour.WRONG_SCHEMA: Row(verdicts=local("invalid"), held=(0, 0), invalid=True),
    Behaviour.MISSING_WINDOW: Row(verdicts=(GOOD, "local/model_omitted/anomaly"), held=(1, 0)),
    Behaviour.WRONG_READING: UNGROUNDED,
    Behaviour.WRONG_NUMBER: UNGROUNDED,
    Behaviour.UNKNOWN_DEVICE: UNGROUNDED,
    Behaviour.ALL_NORMAL: Row(verdicts=local("reviewed")),
    Behaviour.ALL_ANOMALY: Row(),
    Behaviour.EMPTY_CHOICES: malformed("actual"),
    Behaviour.EMPTY_CONTENT: malformed("actual"),
    Behaviour.NO_USAGE: Row(money="estimated"),
    Behaviour.HTML: malformed("kept"),
    Behaviour.ERROR_BODY: malformed("kept"),
    Behaviour.HUGE: malformed("kept"),
    Behaviour.RESET: fails("connection", attempts=3, money="kept", breaker="counts"),
    Behaviour.REFUSED: fails("connection", attempts=3, money="part", breaker="counts"),
}


@dataclass
class Seen:
    """The traces of one call."""

    verdicts: list[Verdict]
    metrics: Metrics
    events: list[dict[str, object]]
    spans: dict[str, ReceivedSpan]
    spend: Spend
    worst: float
    failures: list[bool]  # as the breaker counted them
    faults: int

    def count(self, name: str, **labels: str) -> float:
        return metric(self.metrics, name, **labels)


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with http_receiver() as receiver:
        yield receiver


def call(behaviour: Behaviour, folder: Path, collector: OtlpReceiver) -> Seen:
    """Ask the endpoint once about two windows, with everything around it as in the agent."""
    log, records = Log(), list[CallRecord]()
    metrics = Metrics(models=("m",), provider="openai")
    tracer = open_tracer(
        endpoint=collector.endpoint, gateway="gw1", service_version="0", content=False, delay_s=0.02
    )
    recorder = TelemetryRecorder(logs=log.writer, metrics=metrics, tracer=tracer)
    ledger = BudgetLedger(
        folder / "budget.sqlite",
        limits=dict.fromkeys(BudgetWindow, 1.0),
        zone=UTC,
        wall=time.time,
        mono=time.monotonic,
    )
    director = Director(knobs=KNOBS)
    director.behave(behaviour)
    batch = two_windows()

    async def story(url: str) -> tuple[list[Verdict], Caller]:
        caller = Caller(
            settings=settings(deadline_s=DEADLINE_S.get(behaviour, 10.0)),
            transport=OpenAIChat(base_url=url, api_key="sk-canary-key"),
            ledger=ledger,
            recorder=recorder,
            clock=time.monotonic,
            rng=random.Random(1),
            sleep=lambda _seconds: asyncio.sleep(0),
            transcribe=records.append,
        )
        outcomes = await caller.ask(batch)
        await caller.aclose()
        pairs = zip(batch.windows, outcomes, strict=True)
        return [conclude(one, outcome, agent="gw1", created=0.0) for one, outcome in pairs], caller

    before = len(collector.spans)
    with ModelEndpoint(director=director) as endpoint:
        verdicts, caller = asyncio.run(story(endpoint.url))
    tracer.shutdown()
    collector.wait(before + 3)
    spend = ledger.spend()[BudgetWindow.MONTH]  # an hour may end meanwhile
    ledger.close()
    request = records[0].request
    size = len(request.system.encode()) + len(request.user.encode()) + len(dump(SCHEMA))
    return Seen(
        verdicts=verdicts,
        metrics=metrics,
        events=log.lines(),
        spans={span.name: span for span in collector.spans[before:]},
        spend=spend,
        worst=PRICING.worst_case("m", size, output_tokens(2)) / 1e9,
        failures=list(caller._admission.breaker._results),
        faults=caller.stats.faults + len(recorder.fault_log.problems()),
    )


def test_the_table_is_complete() -> None:
    """Whatever the endpoint learns to do must be expected here."""
    assert set(TABLE) == set(Behaviour)


@pytest.mark.parametrize("behaviour", TABLE, ids=str)
def test_what_follows(behaviour: Behaviour, tmp_path: Path, collector: OtlpReceiver) -> None:
    """All six columns of its row."""
    row = TABLE[behaviour]
    retries = row.attempts - 1 if row.retries is None else row.retries
    seen = call(behaviour, tmp_path, collector)
    assert seen.faults == 0

    told = [f"{one.source}/{one.reason}/{one.status}" for one in seen.verdicts]
    assert tuple(told) == row.verdicts
    check_metrics(seen, row, retries)
    check_log(seen, row, retries)
    check_spans(seen, row, retries)
    check_ledger(seen, row)
    check_agreement(seen, row)
    if row.breaker == "opens":
        assert (seen.count("ai_breaker_state"), seen.failures) == (2, [])
    else:
        assert (seen.count("ai_breaker_state"), seen.failures) == (0, [row.breaker == "counts"])


def check_metrics(seen: Seen, row: Row, retries: int) -> None:
    good, bad = row.held
    assert seen.count("ai_api_calls_total", status="success") == int(row.ok)
    assert seen.count("ai_api_calls_total", status="failure") == int(not row.ok)
    assert seen.count("ai_grounding_checks_total", result="grounded") == good
    assert seen.count("ai_grounding_checks_total", result="ungrounded") == bad
    assert seen.count("ai_repairs_total", result="ok") == int(row.repair == "ok")
    assert seen.count("ai_repairs_total", result="failed") == int(row.repair == "failed")
    for category in row.flags:
        assert seen.count("ai_content_safety_flags_total", category=category) == 1
    assert seen.count("ai_content_safety_flags_total") == len(row.flags)
    assert seen.count("ai_validation_failures_total") == int(row.invalid)
    assert seen.count("ai_api_errors_total") == int(row.error is not None)
    if row.error is not None:
        assert seen.count("ai_api_errors_total", error_type=row.error) == 1
    assert seen.count("ai_api_retries_total") == retries
    assert seen.count("ai_api_call_duration_seconds_count") == 1
    assert seen.count("ai_active_conversations") == 0
    tokens = [one.tokens for one in seen.verdicts if one.tokens]
    for direction, sent in (("input", True), ("output", False)):
        shares = sum(one.input if sent else one.output for one in tokens)
        assert seen.count("ai_tokens_processed_total", direction=direction) == shares
    assert (seen.count("ai_tokens_estimated_total") > 0) == (row.money == "estimated")


def check_log(seen: Seen, row: Row, retries: int) -> None:
    assert [one["event"] for one in seen.events] == [
        "ai_call_start",
        *["ai_retry"] * retries,
        *["ai_breaker_change"] * (row.breaker == "opens"),
        *["ai_ungrounded"] * row.held[1],
        *["gen_ai.evaluation.result"] * bool(sum(row.held)),
        "ai_call_success" if row.ok else "ai_call_failure",
    ]
    end = seen.events[-1]
    assert end.get("error_type") == row.error
    assert end["attempt_count"] == row.attempts
    assert end["cost_usd"] == pytest.approx(seen.spend.spent)
    assert {one["trace_id"] for one in seen.events} == {seen.spans["ai_api_call"].trace_id}
    assert "canary" not in str(seen.events)


def check_spans(seen: Seen, row: Row, retries: int) -> None:
    assert set(seen.spans) == {"edge.batch", "ai_api_call", "chat m"}
    call, chat = seen.spans["ai_api_call"], seen.spans["chat m"]
    assert (call.failed, chat.failed) == (not row.ok, not row.ok)
    assert chat.attributes.get("error.type") == row.error
    assert call.attributes["ai.cost.usd"] == pytest.approx(seen.spend.spent)
    events = [event.name for event in chat.events]
    assert events == ["ai.retry"] * retries + ["gen_ai.evaluation.result"] * bool(sum(row.held))


def check_agreement(seen: Seen, row: Row) -> None:
    """Line and span agree with the verdicts, under the verdicts' own request id."""
    end, call = seen.events[-1], seen.spans["ai_api_call"].attributes
    verdicts = Counter(f"{one.source}/{one.reason}/{one.status}" for one in seen.verdicts)
    assert end["verdicts"] == verdicts
    assert set(call["ai.verdicts"]) == {f"{words}:{count}" for words, count in verdicts.items()}
    for name, values in (
        ("source", {str(one.source) for one in seen.verdicts}),
        ("reason", {str(one.reason) for one in seen.verdicts}),
    ):
        assert end[name] == call[f"ai.verdict.{name}"] == (values.pop() if len(values) == 1 else "mixed")
    requests = {one.get("request_id") for one in seen.events} | {one.request_id for one in seen.verdicts}
    assert requests == {call["ai.request.id"]}
    devices = ["kitchen/th1", "cellar/p1"]
    assert seen.events[0]["devices"] == end["devices"] == devices
    assert seen.spans["edge.batch"].attributes["edge.batch.devices"] == devices
    assert end["validation_failed"] == call["ai.validation.failed"] == row.invalid
    assert end["repaired"] == call["ai.reply.repaired"] == (row.repair == "ok")
    assert end.get("tokens_estimated") == call.get("ai.tokens.estimated")
    assert bool(end.get("tokens_estimated")) == (row.money == "estimated")
    assert end.get("safety", []) == call.get("ai.safety.flags", []) == list(row.flags)
    assumed = seen.spend.spent if row.money in {"kept", "part"} else 0.0
    assert end.get("cost_assumed_usd", 0.0) == pytest.approx(assumed)
    assert call.get("ai.cost.assumed_usd", 0.0) == pytest.approx(assumed)
    assert seen.count("ai_cost_assumed_usd_total") == pytest.approx(assumed)


def check_ledger(seen: Seen, row: Row) -> None:
    spent = seen.spend.spent
    assert seen.spend.reserved == 0
    sent, got = (int(seen.count("ai_tokens_processed_total", direction=name)) for name in ("input", "output"))
    if row.money in {"actual", "estimated"}:
        assert spent == pytest.approx(PRICING.cost("m", Usage(sent, got)) / 1e9, abs=2e-9)
        assert 0 < spent <= row.attempts * seen.worst
    elif row.money == "part":
        assert seen.worst * 0.999 <= spent <= row.attempts * seen.worst * 1.001
    else:
        assert spent == pytest.approx(row.attempts * seen.worst if row.money == "kept" else 0.0)
    assert seen.count("ai_estimated_cost_usd_total") == pytest.approx(spent)
    assert sum(one.cost_usd or 0.0 for one in seen.verdicts) == pytest.approx(spent)
