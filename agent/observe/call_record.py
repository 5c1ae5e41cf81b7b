"""One call as log fields, as counts and as span attributes."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from agent.domain.model_calls import CallRecord, CallStart
from agent.domain.records import Check, Grounding
from agent.observe import semconv
from agent.observe.metrics import Metrics
from agent.observe.redact import MAX_DEVICES
from agent.observe.traces import Span

MAX_CHECKS = 8
MIXED = "mixed"  # where the verdicts of one call differ


def call_fields(start: CallStart) -> dict[str, Any]:
    """Return which call, of which model, about which devices: what a search begins with."""
    return {
        "request_id": start.request_id,
        "user_id": start.user_id,
        "devices": start.devices[:MAX_DEVICES],
        "model": start.model,
        "provider": start.provider,
        "batch_id": start.batch_id,
    }


def start_fields(start: CallStart) -> dict[str, Any]:
    """Return the log fields that every event of the call carries."""
    return call_fields(start) | {
        "device_count": len(start.devices),
        "windows": start.windows,
        "prompt_length": len(start.prompt),
        "prompt_version": start.prompt_version,
    }


def end_fields(record: CallRecord) -> dict[str, Any]:
    """Return the log fields of ``ai_call_success`` or ``ai_call_failure``."""
    fields: dict[str, Any] = {
        "latency_ms": round(record.latency_s * 1000.0, 3),
        "attempt_count": record.attempts,
        "cost_usd": record.cost_usd,
        "finish_reason": record.finish_reason,
        "provider_request_id": record.provider_request_id,
    }
    if record.usage is not None:
        fields |= {
            "input_tokens": record.usage.input,
            "output_tokens": record.usage.output,
            "total_tokens": record.usage.input + record.usage.output,
            "cached_tokens": record.usage.cached_input,
            "tokens_estimated": record.usage.estimated,
        }
        if record.usage.reported is not None:
            fields["reported_tokens"] = list(record.usage.reported)
    if record.ok:
        fields |= {
            "response_length": len(record.response),
            "grounding": {key.value: count for key, count in record.grounding.items()},
            "statuses": dict(record.statuses),
        }
    fields |= {
        "source": source_of(record),
        "reason": reason_of(record),
        "verdicts": {"/".join(words): count for words, count in record.verdicts.items()},
        "validation_failed": record.validation_failed,
        "repaired": record.repaired is True,
    }
    if record.cost_assumed_usd:
        fields["cost_assumed_usd"] = record.cost_assumed_usd
    if record.error_type is not None or not record.ok:
        fields |= {
            "error_type": record.error_type.value if record.error_type else "other",
            "error_message": record.error_message,
            "http_status": record.http_status,
        }
    if record.safety_categories:
        fields["safety"] = list(record.safety_categories)
    return {key: value for key, value in fields.items() if value is not None}


def source_of(record: CallRecord) -> str:
    """Return whose opinion the verdicts of the call are: ``ai``, ``local``, or ``mixed``."""
    return _common(source for source, _reason, _status in record.verdicts) or ("ai" if record.ok else "local")


def reason_of(record: CallRecord) -> str | None:
    """Return the reason of the verdicts of the call, or ``mixed``."""
    return _common(reason for _source, reason, _status in record.verdicts)


def _common(words: Iterable[str]) -> str | None:
    found = set(words)
    return MIXED if len(found) > 1 else next(iter(found), None)


def count_call(metrics: Metrics, start: CallStart, record: CallRecord) -> None:
    """Count one call, once, whatever came of it."""
    model = metrics.model(start.model, start.provider)
    (model.success if record.ok else model.failure).inc()
    model.duration.observe(record.latency_s)
    if record.error_type is not None or not record.ok:
        model.errors[record.error_type.value if record.error_type else "other"].inc()
    usage = record.usage
    if usage is not None:
        model.input.inc(usage.input)
        model.output.inc(usage.output)
        model.cached_input.inc(usage.cached_input)
        model.reasoning.inc(usage.reasoning)
        if usage.estimated:
            model.estimated_input.inc(usage.input)
            model.estimated_output.inc(usage.output)
    if record.cost_usd:
        model.cost.inc(record.cost_usd)
    if record.cost_assumed_usd:
        model.cost_assumed.inc(record.cost_assumed_usd)
    if not record.priced:
        model.unpriced.inc()
    if record.validation_failed:
        model.validation_failures.inc()
    if record.repaired is not None:
        metrics.repairs["ok" if record.repaired else "failed"].inc()
    for category in record.safety_categories:
        metrics.safety_flag(start.model, category)


def describe_spans(spans: Sequence[Span], start: CallStart, record: CallRecord, *, content: bool) -> None:
    """Put the outcome on ``edge.batch``, ``ai_api_call`` and ``chat``.

    Args:
        spans: The three, outermost first.
        start: What was known before the call.
        record: What came of it.
        content: Whether prompt and reply may be shown.
    """
    _batch, call, chat = spans
    usage = record.usage
    tokens = {
        semconv.USAGE_INPUT: usage.input,
        semconv.USAGE_OUTPUT: usage.output,
        semconv.USAGE_CACHE_READ: usage.cached_input,
        semconv.USAGE_CACHE_WRITE: usage.cache_write,
        semconv.USAGE_REASONING: usage.reasoning,
    } if usage is not None else {}  # fmt: skip
    chat.set(
        {
            semconv.REQUEST_TEMPERATURE: start.temperature,
            semconv.REQUEST_MAX_TOKENS: start.max_tokens,
            semconv.REQUEST_SEED: start.seed,
            semconv.OUTPUT_TYPE: "json",
            semconv.PROMPT_NAME: start.prompt_name,
            semconv.PROMPT_VERSION: start.prompt_version,
            semconv.OPENAI_API_TYPE: semconv.OPENAI_CHAT_COMPLETIONS,
            semconv.RESPONSE_ID: record.response_id,
            semconv.RESPONSE_MODEL: record.response_model,
            semconv.RESPONSE_FINISH_REASONS: [record.finish_reason] if record.finish_reason else None,
            semconv.OPENAI_RESPONSE_SERVICE_TIER: record.service_tier,
            semconv.OPENAI_SYSTEM_FINGERPRINT: record.system_fingerprint,
            semconv.HTTP_STATUS: record.http_status,
            **tokens,
        }
    )
    call.set(
        {
            semconv.RESPONSE_LENGTH: len(record.response),
            semconv.COST_USD: record.cost_usd,
            semconv.CACHE_HIT: False,
            semconv.BUDGET_REMAINING_USD: record.budget_remaining_usd,
            semconv.COST_ASSUMED_USD: record.cost_assumed_usd or None,
            semconv.VERDICT_STATUS: [f"{name}:{count}" for name, count in record.statuses.items()] or None,
            semconv.VERDICT_SOURCE: source_of(record),
            semconv.VERDICT_REASON: reason_of(record),
            semconv.VERDICTS: [f"{'/'.join(words)}:{n}" for words, n in record.verdicts.items()] or None,
            semconv.VALIDATION_FAILED: record.validation_failed,
            semconv.REPAIRED: record.repaired is True,
            semconv.TOKENS_ESTIMATED: None if usage is None else usage.estimated,
            semconv.SAFETY_FLAGS: list(record.safety_categories) or None,
        }
    )
    _evaluate(chat, record, content=content)
    if content:
        if start.system:
            chat.set({semconv.SYSTEM_INSTRUCTIONS: _json([_text(start.system)])})
        chat.set({semconv.INPUT_MESSAGES: _message("user", start.prompt.removeprefix(start.system).lstrip())})
        if record.response:
            chat.set({semconv.OUTPUT_MESSAGES: _message("assistant", record.response)})
    if not record.ok:
        for span in (chat, call):
            span.fail(record.error_type.value if record.error_type else "other")
    elif record.error_type is not None:
        chat.set({semconv.ERROR_TYPE: record.error_type.value})


def failed_checks(checks: Iterable[Check], *, in_words: bool) -> list[str]:
    """Return what did not hold; its words repeat the reply, so they need ``in_words``."""
    failed = [check for check in checks if not check.held][:MAX_CHECKS]
    return [f"{check.name}: {check.detail}" if in_words else check.name for check in failed]


def _evaluate(chat: Span, record: CallRecord, *, content: bool) -> None:
    good, bad = (record.grounding.get(kind, 0) for kind in (Grounding.GROUNDED, Grounding.UNGROUNDED))
    if good + bad:
        chat.event(
            semconv.EVENT_EVALUATION,
            {
                semconv.EVALUATION_NAME: "grounding",
                semconv.EVALUATION_SCORE: good / (good + bad),
                semconv.EVALUATION_LABEL: "fail" if bad else "pass",
                semconv.EVALUATION_EXPLANATION: "; ".join(
                    failed_checks(record.failed_checks, in_words=content)
                )
                or None,
            },
        )


def _message(role: str, text: str) -> str:
    return _json([{"role": role, "parts": [_text(text)]}])


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
