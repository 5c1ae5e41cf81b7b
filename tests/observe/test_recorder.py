import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from agent.domain.model_calls import BreakerState, BudgetWindow, CallRecord, ErrorType, Reply, Retry, Usage
from agent.domain.records import Check, Grounding, Reason
from agent.observe.logs import MAX_CONTENT_EVENT_BYTES
from tests.observe.calls import PROMPT, REPLY, SYSTEM, good, recorder, start, value
from tests.observe.sink import Log
from tests.support.genai_schemas import INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS

if TYPE_CHECKING:
    from agent.ai.protocols import Recorder

CALL = {"model": "gpt-4o-mini", "provider": "openai"}


def test_a_good_call_is_counted_and_logged() -> None:
    """Success: the tutorial's seven families and the two events with the tutorial's keys."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        assert value(telemetry.metrics, "ai_active_conversations") == 1
        scope.finish(good())
    m = telemetry.metrics
    assert value(m, "ai_active_conversations") == 0
    assert value(m, "ai_api_calls_total", **CALL, status="success") == 1
    assert value(m, "ai_api_calls_total", **CALL, status="failure") == 0
    assert value(m, "ai_api_call_duration_seconds_sum", **CALL) == 1.333
    assert value(m, "ai_tokens_processed_total", **CALL, direction="input") == 812
    assert value(m, "ai_tokens_processed_total", **CALL, direction="output") == 96
    assert value(m, "ai_estimated_cost_usd_total", **CALL) == 0.00018
    assert value(m, "ai_cached_input_tokens_total", **CALL) == 512
    assert value(m, "ai_reasoning_tokens_total", **CALL) == 10
    assert value(m, "ai_validation_failures_total", model="gpt-4o-mini") == 0
    first, evaluated, last = log.lines()
    assert (first["event"], last["event"]) == ("ai_call_start", "ai_call_success")
    for key in ("request_id", "user_id", "model", "prompt_length", "batch_id", "provider", "prompt_version"):
        assert first[key] == last[key]
    assert last["latency_ms"] == 1333.0
    assert (last["input_tokens"], last["output_tokens"], last["total_tokens"]) == (812, 96, 908)
    assert last["grounding"] == {"grounded": 1, "ungrounded": 1}
    assert last["response_length"] == len(REPLY)
    assert evaluated == evaluated | {
        "event": "gen_ai.evaluation.result",
        "level": "info",
        "request_id": "req-1",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.evaluation.name": "grounding",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": "summary_numbers",
    }


def test_durations_are_counted_by_outcome() -> None:
    """A failed call is among all calls and among the failed ones: the difference is the successful ones."""
    log = Log()
    telemetry = recorder(log.writer)
    failure = CallRecord(request=start(), latency_s=30.0, attempts=3, error_type=ErrorType.TIMEOUT)
    for record in (good(), failure, good(latency_s=2.0)):
        with telemetry.call(start()) as scope:
            scope.finish(record)
    m = telemetry.metrics
    every, failed = "ai_api_call_duration_seconds", "ai_api_failed_call_duration_seconds"
    assert (value(m, f"{every}_count", **CALL), value(m, f"{failed}_count")) == (3, 1)
    assert value(m, f"{every}_sum", **CALL) - value(m, f"{failed}_sum") == pytest.approx(3.333)
    for le in ("1.28", "20.48", "40.96"):
        fast = value(m, f"{every}_bucket", **CALL, le=le) - value(m, f"{failed}_bucket", le=le)
        assert fast == {"1.28": 0, "20.48": 2, "40.96": 2}[le]
    log.lines()


def test_without_content_no_word_of_prompt_or_reply_is_logged() -> None:
    """By default lengths are logged, never text; a reply's words are not in the failed checks either."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.finish(good())
    telemetry.grounding_checked(Grounding.UNGROUNDED, (Check("evidence", held=False, detail=REPLY),))
    assert "canary" not in json.dumps(log.lines())


@pytest.mark.parametrize("mode", ["hash", "redacted", "full"])
def test_content_is_shown_as_configured(mode: str) -> None:
    """Prompt and reply appear as their hash, masked, or whole."""
    log = Log(content=mode)
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.finish(good())
    first, evaluated, *events, last = log.lines()
    assert (first["prompt"] == f"{SYSTEM}\n{PROMPT}") == (last["response"] == REPLY) == (mode != "hash")
    explained = evaluated["gen_ai.evaluation.explanation"]
    assert ("canary" in explained) == bool(events) == (mode != "hash")
    for whole in events:
        assert whole == whole | {
            "event": "gen_ai.client.inference.operation.details",
            "request_id": "req-1",
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 812,
            "gen_ai.usage.output_tokens": 96,
        }


LONG = "Zeile\n\t\u2028 \u00e4\u2603 " * 2000


@pytest.mark.parametrize("mode", ["redacted", "full"])
@pytest.mark.parametrize("text", [REPLY, LONG, "\x01" * 20_000, "\ud800 \U0001f600" * 9000, "a"])
def test_the_messages_in_the_log_are_valid_by_the_published_schemas(mode: str, text: str) -> None:
    """Each text is cut before it is encoded, so that the line is bounded and every message in it whole."""
    log = Log(content=mode)
    telemetry = recorder(log.writer)
    with telemetry.call(start(user=text)) as scope:
        scope.finish(good(reply=Reply(content=text, finish_reason=None)))
    (whole,) = (line for line in log.lines() if line["event"] == "gen_ai.client.inference.operation.details")
    assert max(map(len, log.stream.getvalue().splitlines())) <= MAX_CONTENT_EVENT_BYTES
    schemas = {
        "gen_ai.system_instructions": SYSTEM_INSTRUCTIONS,
        "gen_ai.input.messages": INPUT_MESSAGES,
        "gen_ai.output.messages": OUTPUT_MESSAGES,
    }
    shown = schemas.keys() & whole.keys()
    assert shown == schemas.keys() or whole["truncated"]  # the longest ones are left out, never cut
    assert "gen_ai.system_instructions" in shown
    for name in shown:
        Draft202012Validator(schemas[name]).validate(whole[name])
    if mode == "full" and text in {REPLY, "a"}:
        assert whole["gen_ai.input.messages"][0]["parts"] == [{"type": "text", "content": text}]


def test_a_secret_is_in_no_message_of_the_log() -> None:
    """Keys are masked in the events of the conventions as in every other line."""
    log = Log(content="full")
    log.writer.secrets.add("hunter2-canary")
    telemetry = recorder(log.writer)
    text = "the key is sk-abcdefgh12345678, the password=swordfish, and hunter2-canary"
    with telemetry.call(start(system=text, user=text)) as scope:
        scope.finish(good(reply=Reply(content=text), error_type=ErrorType.TRUNCATED))
    lines = log.lines()
    assert not [word for word in ("sk-abc", "swordfish", "hunter2") if word in json.dumps(lines)]
    (whole,) = (line for line in lines if line["event"] == "gen_ai.client.inference.operation.details")
    assert whole["error.type"] == "truncated"
    assert "[redacted]" in whole["gen_ai.output.messages"][0]["parts"][0]["content"]


def test_a_failure_is_counted_by_its_cause() -> None:
    """Failure: counted once, by its type, logged as an error with our own words."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.retried(Retry(attempt=1, error_type=ErrorType.SERVER_ERROR, delay_s=0.5, http_status=503))
        scope.finish(
            good(
                reply=Reply(),
                grounding={},
                attempts=2,
                error_type=ErrorType.TIMEOUT,
                error_message="no answer within 30 s",
                usage=None,
                cost_usd=0.004,
                priced=False,
            )
        )
    m = telemetry.metrics
    assert value(m, "ai_api_calls_total", **CALL, status="failure") == 1
    assert value(m, "ai_api_calls_total", **CALL, status="success") == 0
    assert value(m, "ai_api_errors_total", **CALL, error_type="timeout") == 1
    assert value(m, "ai_api_retries_total", **CALL, error_type="server_error") == 1
    assert value(m, "ai_cost_unpriced_calls_total", **CALL) == 1
    assert value(m, "ai_estimated_cost_usd_total", **CALL) == 0.004
    lines = log.lines()
    assert [line["event"] for line in lines] == ["ai_call_start", "ai_retry", "ai_call_failure"]
    assert lines[2] == lines[2] | {"level": "error", "error_type": "timeout", "attempt_count": 2}
    assert lines[2]["error_message"] == "no answer within 30 s"
    assert lines[2]["server"] == "127.0.0.1:8080"
    assert lines[2]["remedy"].startswith("check ai.base_url")


def test_usage_that_is_not_believed_is_said() -> None:
    """A warning with both counts, the flag on the call's own line, and the tokens counted as estimated."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.finish(good(usage=Usage(900, 60, estimated=True, reported=(1, 0))))
    lines = log.lines()
    (said,) = (line for line in lines if line["event"] == "ai_usage_not_believed")
    (end,) = (line for line in lines if line["event"] == "ai_call_success")
    assert (said["level"], said["reported_tokens"], said["counted_tokens"]) == ("warning", [1, 0], [900, 60])
    assert (end["reported_tokens"], end["tokens_estimated"]) == ([1, 0], True)
    assert value(telemetry.metrics, "ai_tokens_estimated_total", **CALL, direction="input") == 900


def test_a_refusal_is_a_success_with_a_flag() -> None:
    """A refused or filtered reply is a well-formed one, flagged; a bad one is a validation failure."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.finish(good(safety_categories=("refusal",), error_type=ErrorType.CONTENT_FILTER))
    with telemetry.call(start()) as scope:
        scope.finish(good(validation_failed=True, repaired=False, usage=Usage(10, 5, estimated=True)))
    m = telemetry.metrics
    assert value(m, "ai_api_calls_total", **CALL, status="success") == 2
    assert value(m, "ai_content_safety_flags_total", model="gpt-4o-mini", category="refusal") == 1
    assert value(m, "ai_validation_failures_total", model="gpt-4o-mini") == 1
    assert value(m, "ai_repairs_total", result="failed") == 1
    assert value(m, "ai_tokens_estimated_total", **CALL, direction="input") == 10
    log.lines()


@pytest.mark.parametrize("error", [RuntimeError("canary"), asyncio.CancelledError()])
def test_a_call_that_is_left_is_a_failure_of_type_other(error: BaseException) -> None:
    """Whatever breaks out of the scope is counted, ends the gauge and is not swallowed."""
    log = Log()
    telemetry = recorder(log.writer)
    with pytest.raises(type(error)), telemetry.call(start()):
        raise error
    m = telemetry.metrics
    assert value(m, "ai_active_conversations") == 0
    assert value(m, "ai_api_errors_total", **CALL, error_type="other") == 1
    lines = log.lines()
    assert lines[-1]["event"] == "ai_call_failure"
    assert "canary" not in json.dumps(lines)


def test_finishing_twice_counts_once() -> None:
    """A second ``finish`` changes nothing."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        scope.finish(good())
        scope.finish(good(reply=Reply()))
    assert value(telemetry.metrics, "ai_api_calls_total", **CALL, status="failure") == 0
    assert log.events() == ["ai_call_start", "gen_ai.evaluation.result", "ai_call_success"]


def test_what_happens_beside_a_call_is_recorded() -> None:
    """Suppressed windows, cache, grounding, breaker, budget, suspicion: counted, logged where one can act."""
    log = Log(level="debug")
    telemetry: Recorder = (concrete := recorder(log.writer))
    telemetry.suppressed(Reason.BUDGET, 3)
    telemetry.suppressed(Reason.NOT_SUSPICIOUS, 40)
    telemetry.suppressed(Reason.NO_READINGS, 7)
    telemetry.cache_looked_up("hit")
    telemetry.grounding_checked(Grounding.GROUNDED, ())
    telemetry.grounding_checked(Grounding.UNGROUNDED, (Check("evidence", held=False, detail="r99"),))
    telemetry.breaker_changed("openai", BreakerState.OPEN, "5 of 10 failed", 30.0)
    telemetry.budget_changed(BudgetWindow.DAY, "hard", 1.0, 1.0)
    telemetry.injection_suspected("role_marker", "sensors/th1/note")
    m = concrete.metrics
    assert value(m, "ai_calls_suppressed_total", reason="budget") == 3
    assert value(m, "ai_calls_suppressed_total", reason="not_suspicious") == 40
    assert value(m, "ai_cache_requests_total", result="hit") == 1
    assert value(m, "ai_grounding_checks_total", result="ungrounded") == 1
    assert value(m, "ai_breaker_state", provider="openai") == 2
    assert value(m, "ai_breaker_transitions_total", provider="openai", to="open") == 1
    assert value(m, "ai_injection_suspected_total", rule="role_marker") == 1
    flag = {"model": "gpt-4o-mini", "category": "injection_suspected"}
    assert value(m, "ai_content_safety_flags_total", **flag) == 1
    levels = {one["reason"]: one["level"] for one in log.lines() if one["event"] == "ai_call_suppressed"}
    assert levels == {"budget": "info", "not_suspicious": "debug", "no_readings": "debug"}
    lines = {line["event"]: line for line in log.lines()}
    assert lines["ai_injection_suspected"]["origin"] == "sensors/th1/note"
    assert lines["ai_ungrounded"]["failed"] == ["evidence"]
    assert lines["ai_breaker_change"]["level"] == "warning"
    assert lines["ai_budget_change"]["window"] == "day"
    assert not concrete.fault_log.problems()


def test_nothing_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """With metrics and log broken, every method returns and the call's own result remains."""
    log = Log()
    telemetry = recorder(log.writer)

    def explode(*_args: Any, **_fields: Any) -> None:
        raise RuntimeError("telemetry is broken")

    monkeypatch.setattr(telemetry.metrics, "model", explode)
    monkeypatch.setattr(telemetry.logs, "log", explode)
    with telemetry.call(start()) as scope:
        scope.retried(Retry(1, ErrorType.TIMEOUT, 0.1))
        scope.finish(good())
    telemetry.suppressed(Reason.BUDGET, 1)
    telemetry.cache_looked_up("no such result")
    telemetry.breaker_changed("openai", BreakerState.OPEN, "why", 1.0)
    assert telemetry.fault_log.problems()


def test_tracing_off_gives_no_ids() -> None:
    """Without tracing there is no trace id, on the scope or in the log."""
    log = Log()
    telemetry = recorder(log.writer)
    with telemetry.call(start()) as scope:
        assert (scope.trace_id, scope.span_id) == (None, None)
        scope.finish(good())
    assert not any("trace_id" in line for line in log.lines())
