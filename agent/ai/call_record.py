"""The records of one call: its request, and its record when it is over. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from agent.ai.profiles import PROFILES
from agent.ai.protocols import TransportError
from agent.ai.settings import CallerSettings
from agent.ai.validate import Validation
from agent.domain.model_calls import CallRecord, ErrorType, Reply, Request, Usage
from agent.domain.records import Batch, Outcome
from agent.prompt import Prompt
from agent.verdict.verdict import conclude

MAX_TRACES = 32
MAX_MESSAGE = 200
CUT_SHARE = 0.6  # a prompt of which fewer tokens were read than this share of our estimate was cut
_ALWAYS = frozenset({"refusal", "content_filter"})


def request_of(
    settings: CallerSettings, batch: Batch, prompt: Prompt, *, model: str, request_id: str
) -> Request:
    """Return the request about ``batch``, with all parameters; a dialect removes some."""
    windows = batch.windows
    devices = tuple(dict.fromkeys(window.device for window in windows))
    traces = dict.fromkeys(trace for window in windows for trace in window.traceparents)
    return Request(
        request_id=request_id,
        provider=settings.provider,
        model=model,
        system=prompt.system,
        user=prompt.user,
        plots=prompt.plots,
        schema=prompt.schema,
        max_tokens=prompt.max_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
        moderation_model=settings.moderation_model,
        prompt_name=prompt.name,
        text_version=prompt.version,
        prompt_hash=prompt.hash,
        server_address=settings.server_address,
        server_port=settings.server_port,
        batch_id=batch.id,
        window_ids=tuple(window.id for window in windows),
        devices=devices,
        user_id=devices[0] if len(devices) == 1 else settings.agent,
        trigger=windows[0].trigger,
        traceparents=tuple(traces)[:MAX_TRACES],
    )


def with_verdicts(record: CallRecord, batch: Batch, outcomes: Sequence[Outcome]) -> CallRecord:
    """Return ``record`` with the verdicts that follow from ``outcomes``, counted."""
    verdicts = [
        conclude(window, outcome, agent="", created=0.0)
        for window, outcome in zip(batch.windows, outcomes, strict=True)
    ]
    return replace(
        record,
        statuses=Counter(str(one.status) for one in verdicts if one.grounded is not None),
        verdicts=Counter((str(one.source), str(one.reason), str(one.status)) for one in verdicts),
    )


def with_reply(
    record: CallRecord, reply: Reply, validation: Validation, prompt: Prompt, settings: CallerSettings
) -> CallRecord:
    """Return ``record`` with a completion and its validation."""
    error_type = validation.error_type
    if error_type is None and _was_cut(settings.provider, reply.usage, prompt):
        error_type = ErrorType.TRUNCATED
    return replace(
        record,
        reply=reply,
        error_type=error_type,
        error_message=f"finish_reason {reply.finish_reason}" if error_type else "",
        validation_failed=validation.invalid,
        repaired=validation.repaired,
        safety_categories=_counted(validation.safety, settings.safety_categories),
        grounding=validation.grounding,
        failed_checks=validation.failed,
        unsupported=validation.unsupported,
    )


def with_error(record: CallRecord, error: TransportError) -> CallRecord:
    """Return ``record`` with the error that ended the call."""
    filtered = error.error_type is ErrorType.CONTENT_FILTER
    return replace(
        record,
        reply=Reply(provider_request_id=error.provider_request_id),
        error_type=error.error_type,
        error_message=str(error)[:MAX_MESSAGE],
        http_status=error.http_status,
        safety_categories=("content_filter",) if filtered else (),
    )


def transcript_of(record: CallRecord) -> dict[str, Any]:
    """Return the words of a call, for the journal and ``show`` only: never for logs, metrics or spans."""
    request = record.request
    plots = {} if request.plots is None else {"plots": request.plots.told()}
    return {
        "batch_id": request.batch_id,
        "request_id": request.request_id,
        "model": request.model,
        "prompt_version": request.prompt_version,
        "prompt_hash": request.prompt_hash,
        "system": request.system,
        "user": request.user,
        "reply": record.reply.text,
        "error_type": record.error_type,
        "attempts": record.attempts,
        "cost_usd": record.cost_usd or 0.0,
        "windows": request.window_ids,
        "error_message": record.error_message,
        "finish_reason": record.reply.finish_reason,
        "usage": None if record.usage is None else asdict(record.usage),
        "latency_s": record.latency_s,
        "trace_id": record.trace_id,
        **plots,
    }


def _was_cut(provider: str, usage: Usage | None, prompt: Prompt) -> bool:
    """Return whether the server read much less than we sent, as some do silently with a long prompt."""
    if usage is None or usage.estimated or not PROFILES[provider].counts_after_cut:
        return False
    return usage.input < CUT_SHARE * prompt.estimated_tokens


def _counted(categories: Sequence[str], wanted: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(
        one for one in dict.fromkeys(categories) if wanted is None or one in wanted or one in _ALWAYS
    )
