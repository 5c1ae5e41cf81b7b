"""One call as log fields, as counts and as span attributes."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agent.domain.model_calls import CallRecord, Request
from agent.domain.records import Check, Grounding
from agent.observe.logs import INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS
from agent.observe.metrics import Metrics
from agent.observe.redact import MAX_DEVICES
from agent.observe.traces import Span

MAX_CHECKS = 8
#: Profiles whose provider has another name in OpenTelemetry's conventions.
PROVIDERS = {"azure": "azure.ai.openai"}
EVALUATION_EVENT = "gen_ai.evaluation.result"
DETAILS_EVENT = "gen_ai.client.inference.operation.details"
MIXED = "mixed"  # where the verdicts of one call differ


def call_fields(start: Request) -> dict[str, Any]:
    """Return which call, of which model, about which devices: what a search begins with."""
    return {
        "request_id": start.request_id,
        "user_id": start.user_id,
        "devices": start.devices[:MAX_DEVICES],
        "model": start.model,
        "provider": start.provider,
        "batch_id": start.batch_id,
    }


def start_fields(start: Request) -> dict[str, Any]:
    """Return the log fields that every event of the call carries."""
    plots = {} if start.plots is None else {"plots": start.plots.told()}
    return call_fields(start) | {
        "device_count": len(start.devices),
        "windows": len(start.window_ids),
        "prompt_length": len(start.prompt),
        "prompt_version": start.prompt_version,
        **plots,
    }


def end_fields(record: CallRecord) -> dict[str, Any]:
    """Return the log fields of ``ai_call_success`` or ``ai_call_failure``."""
    fields: dict[str, Any] = {
        "latency_ms": round(record.latency_s * 1000.0, 3),
        "attempt_count": record.attempts,
        "cost_usd": record.cost_usd,
        "finish_reason": record.reply.finish_reason,
        "provider_request_id": record.reply.provider_request_id,
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
            "response_length": len(record.reply.text),
            "grounding": {key.value: count for key, count in record.grounding.items()},
            "unsupported": record.unsupported,
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


def count_call(metrics: Metrics, start: Request, record: CallRecord, *, trace_id: str | None = None) -> None:
    """Count one call, once, whatever came of it; ``trace_id`` is that of a trace that is exported."""
    count, pair = metrics.count, metrics.model(start.model, start.provider)
    count("ai_api_calls_total", *pair, "success" if record.ok else "failure")
    metrics.observe("ai_api_call_duration_seconds", record.latency_s, *pair, trace_id=trace_id)
    if not record.ok:
        metrics.observe("ai_api_failed_call_duration_seconds", record.latency_s, trace_id=trace_id)
    if record.error_type is not None or not record.ok:
        metrics.failed(pair, record.error_type or "other")
    usage = record.usage
    if usage is not None:
        count("ai_tokens_processed_total", *pair, "input", by=usage.input)
        count("ai_tokens_processed_total", *pair, "output", by=usage.output)
        count("ai_cached_input_tokens_total", *pair, by=usage.cached_input)
        count("ai_reasoning_tokens_total", *pair, by=usage.reasoning)
        if usage.estimated:
            count("ai_tokens_estimated_total", *pair, "input", by=usage.input)
            count("ai_tokens_estimated_total", *pair, "output", by=usage.output)
    cost = record.cost_usd or 0.0
    count("ai_estimated_cost_usd_total", *pair, by=cost, trace_id=trace_id if cost else None)
    count("ai_cost_assumed_usd_total", *pair, by=record.cost_assumed_usd)
    if not record.priced:
        count("ai_cost_unpriced_calls_total", *pair)
    if record.validation_failed:
        count("ai_validation_failures_total", pair[0])
    if record.repaired is not None:
        count("ai_repairs_total", "ok" if record.repaired else "failed")
    for category in record.safety_categories:
        metrics.safety_flag(start.model, category)


def request_attributes(start: Request) -> dict[str, Any]:
    """Return the attributes of the conventions that are known before the call."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(start.provider, start.provider),
        "gen_ai.request.model": start.model,
        "server.address": start.server_address,
        "server.port": start.server_port,
    }


def describe_spans(spans: Sequence[Span], start: Request, record: CallRecord, *, content: bool) -> None:
    """Put the outcome on ``edge.batch``, ``ai_api_call`` and ``chat``.

    Args:
        spans: The three, outermost first.
        start: The call before its first byte.
        record: The call after its end.
        content: Whether prompt and reply may be shown.
    """
    batch, call, chat = spans
    usage = record.usage
    chat.set(_outcome_attributes(start, record))
    call.set(
        {
            "response.length": len(record.reply.text),
            "ai.cache.hit": False,
            "ai.budget.remaining_usd": record.budget_remaining_usd,
            "ai.cost.assumed_usd": record.cost_assumed_usd or None,
            "ai.verdict.status": [f"{name}:{count}" for name, count in record.statuses.items()] or None,
            "ai.verdict.source": source_of(record),
            "ai.verdict.reason": reason_of(record),
            "ai.verdicts": [f"{'/'.join(words)}:{n}" for words, n in record.verdicts.items()] or None,
            "ai.validation.failed": record.validation_failed,
            "ai.reply.repaired": record.repaired is True,
            "ai.tokens.estimated": None if usage is None else usage.estimated,
            "ai.safety.flags": list(record.safety_categories) or None,
        }
    )
    evaluation = evaluation_attributes(record, in_words=content)
    if evaluation:
        chat.event(EVALUATION_EVENT, evaluation)
    for span in spans:  # what tools filter by: on each, as most of them search one kind of span
        span.set({"ai.cost.usd": record.cost_usd, "ai.grounding": _label(record)})
    if content:
        _show_content(spans, start, record)
    if not record.ok:
        for span in (chat, call, batch):
            span.fail(record.error_type.value if record.error_type else "other")
    elif record.error_type is not None:
        chat.set({"error.type": record.error_type.value})


def evaluation_attributes(record: CallRecord, *, in_words: bool) -> dict[str, Any]:
    """Return whether the claims of the reply held, as the conventions name it; nothing without claims."""
    good, bad = _grounded(record)
    if not good + bad:
        return {}
    return {
        "gen_ai.evaluation.name": "grounding",
        "gen_ai.evaluation.score.value": good / (good + bad),
        "gen_ai.evaluation.score.label": _label(record),
        "gen_ai.evaluation.explanation": "; ".join(failed_checks(record.failed_checks, in_words=in_words))
        or None,
    }


def details(start: Request, record: CallRecord, show: Callable[[str], str]) -> dict[str, Any]:
    """Return the call with its prompt and reply as the conventions have them in one event.

    Args:
        start: The call before its first byte.
        record: The call after its end.
        show: Returns the part of a text that may be shown.
    """
    outcome = request_attributes(start) | _outcome_attributes(start, record)
    if record.error_type is not None or not record.ok:
        outcome["error.type"] = record.error_type.value if record.error_type else "other"
    return outcome | _messages(start, record, show)


def failed_checks(checks: Iterable[Check], *, in_words: bool) -> list[str]:
    """Return the checks that failed; their words repeat the reply, so they need ``in_words``."""
    failed = [check for check in checks if not check.held][:MAX_CHECKS]
    return [f"{check.name}: {check.detail}" if in_words else check.name for check in failed]


def _outcome_attributes(start: Request, record: CallRecord) -> dict[str, Any]:
    """Return the attributes of the conventions that are known after the call, some of them None."""
    reply, usage = record.reply, record.usage
    tokens = {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input,
        # Both spellings: the conventions have renamed it, tools have not.
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    } if usage is not None else {}  # fmt: skip
    return {
        "gen_ai.request.temperature": start.temperature,
        "gen_ai.request.max_tokens": start.max_tokens,
        "gen_ai.request.seed": start.seed,
        "gen_ai.output.type": "json",
        "gen_ai.prompt.name": start.prompt_name,
        "gen_ai.prompt.version": start.prompt_version,
        "openai.api.type": "chat_completions",
        "gen_ai.response.id": reply.response_id,
        "gen_ai.response.model": reply.response_model,
        "gen_ai.response.finish_reasons": [reply.finish_reason] if reply.finish_reason else None,
        "openai.response.service_tier": reply.service_tier,
        "openai.response.system_fingerprint": reply.system_fingerprint,
        "http.response.status_code": record.http_status,
        **tokens,
    }


def _grounded(record: CallRecord) -> tuple[int, int]:
    """Return how many windows agreed with the readings, and how many did not."""
    return record.grounding.get(Grounding.GROUNDED, 0), record.grounding.get(Grounding.UNGROUNDED, 0)


def _label(record: CallRecord) -> str | None:
    good, bad = _grounded(record)
    return None if not good + bad else "fail" if bad else "pass"


def _show_content(spans: Sequence[Span], start: Request, record: CallRecord) -> None:
    """Put prompt and reply on the spans, in the words of OpenTelemetry and in those of OpenInference."""
    *around, chat = spans
    messages = _messages(start, record, chat.content_text)
    chat.set_content({name: json.dumps(parts, ensure_ascii=False) for name, parts in messages.items()})
    for span in around:
        span.set_content({"input.value": span.content_text(start.user), "input.mime_type": "text/plain"})
        if record.reply.text:
            answered = span.content_text(record.reply.text)
            span.set_content({"output.value": answered, "output.mime_type": "application/json"})


def _messages(start: Request, record: CallRecord, show: Callable[[str], str]) -> dict[str, Any]:
    """Return prompt and reply by the schemas of the conventions; each text is cut before it is encoded."""
    reply = record.reply
    plots = record.request.plots
    images = [] if plots is None else [plots.legend, *map(_in_words, plots.told())]
    messages: dict[str, Any] = {INPUT_MESSAGES: [_message("user", show(start.user), *images)]}
    if start.system:
        messages[SYSTEM_INSTRUCTIONS] = [_text(show(start.system))]
    if reply.text:
        reason = reply.finish_reason or ("stop" if record.ok else "error")  # the schema asks for one
        messages[OUTPUT_MESSAGES] = [_message("assistant", show(reply.text)) | {"finish_reason": reason}]
    return messages


def _message(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "parts": list(map(_text, texts))}


def _in_words(image: Mapping[str, int | str]) -> str:
    """Return what is shown of an image in its place."""
    return f"[plot of w {image['w']}, {image['bytes']} bytes, sha256 {image['sha256']}]"


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}
