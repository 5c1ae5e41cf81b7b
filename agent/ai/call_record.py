"""What the recorder is told of a call: its start, and its record when it is over. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from agent.ai.attempts import Bill
from agent.ai.pricing import usd
from agent.ai.profiles import PROFILES, Dialect
from agent.ai.protocols import CallRecord, CallStart, ErrorType, Reply, TransportError, Usage
from agent.ai.settings import CallerSettings
from agent.ai.validate import Judgement
from agent.domain.records import Batch, Outcome, Verdict
from agent.prompt import Prompt
from agent.verdict.verdict import conclude

MAX_TRACES = 32
MAX_MESSAGE = 200
CUT_SHARE = 0.6  # a prompt of which fewer tokens were read than this share of our estimate was cut
_ALWAYS = frozenset({"refusal", "content_filter"})


def verdicts_of(batch: Batch, outcomes: Sequence[Outcome]) -> list[Verdict]:
    """Return the verdicts that follow from one call, by the rule that makes them."""
    return [
        conclude(window, outcome, agent="", created=0.0)
        for window, outcome in zip(batch.windows, outcomes, strict=True)
    ]


def start_of(
    settings: CallerSettings, batch: Batch, prompt: Prompt, *, model: str, dialect: Dialect, request_id: str
) -> CallStart:
    """Return what is known before the first byte is sent."""
    windows = batch.windows
    devices = tuple(dict.fromkeys(window.device for window in windows))
    traces = dict.fromkeys(trace for window in windows for trace in window.traceparents)
    return CallStart(
        request_id=request_id,
        batch_id=batch.id,
        user_id=devices[0] if len(devices) == 1 else settings.agent,
        devices=devices,
        windows=len(windows),
        trigger=windows[0].trigger,
        model=model,
        provider=settings.provider,
        prompt=f"{prompt.system}\n{prompt.user}",
        prompt_name=prompt.name,
        prompt_version=prompt.version,
        server_address=settings.server_address,
        server_port=settings.server_port,
        temperature=settings.temperature if dialect.temperature else None,
        max_tokens=prompt.max_tokens,
        seed=settings.seed if dialect.seed else None,
        traceparents=tuple(traces)[:MAX_TRACES],
        system=prompt.system,
    )


def record_of(
    settings: CallerSettings,
    reply: Reply,
    judgement: Judgement,
    bill: Bill,
    *,
    model: str,
    verdicts: Sequence[Verdict],
    error_type: ErrorType | None,
    latency_s: float,
    remaining_usd: float,
) -> CallRecord:
    """Return the record of a call that brought a completion."""
    return CallRecord(
        ok=bool(reply.content or reply.refusal),
        latency_s=latency_s,
        attempts=bill.attempts,
        error_type=error_type,
        error_message=f"finish_reason {reply.finish_reason}" if error_type else "",
        usage=bill.usage,
        cost_usd=usd(bill.total),
        cost_assumed_usd=usd(bill.total_assumed),
        priced=settings.pricing.knows(model),
        response=reply.content or reply.refusal or "",
        response_id=reply.response_id,
        response_model=reply.response_model,
        provider_request_id=reply.provider_request_id,
        finish_reason=reply.finish_reason,
        service_tier=reply.service_tier,
        system_fingerprint=reply.system_fingerprint,
        validation_failed=judgement.invalid,
        repaired=judgement.repaired,
        safety_categories=_counted(judgement.safety, settings.safety_categories),
        statuses=Counter(str(one.status) for one in verdicts if one.grounded is not None),
        verdicts=_counts(verdicts),
        grounding=judgement.grounding,
        failed_checks=judgement.failed,
        budget_remaining_usd=remaining_usd,
    )


def failure_of(
    settings: CallerSettings,
    error: TransportError,
    bill: Bill,
    *,
    model: str,
    verdicts: Sequence[Verdict],
    latency_s: float,
    remaining_usd: float,
) -> CallRecord:
    """Return the record of a call that brought none."""
    filtered = error.error_type is ErrorType.CONTENT_FILTER
    return CallRecord(
        ok=False,
        latency_s=latency_s,
        attempts=bill.attempts,
        error_type=error.error_type,
        error_message=str(error)[:MAX_MESSAGE],
        http_status=error.http_status,
        provider_request_id=error.provider_request_id,
        usage=bill.usage,
        cost_usd=usd(bill.total),
        cost_assumed_usd=usd(bill.total_assumed),
        priced=settings.pricing.knows(model),
        safety_categories=("content_filter",) if filtered else (),
        verdicts=_counts(verdicts),
        budget_remaining_usd=remaining_usd,
    )


def broken_record(bill: Bill, *, latency_s: float, why: str) -> CallRecord:
    """Return the record of a call that a fault of ours ended and of which nothing else is known."""
    return CallRecord(
        ok=False,
        latency_s=latency_s,
        attempts=bill.attempts,
        error_type=ErrorType.INTERNAL,
        error_message=why[:MAX_MESSAGE],
        usage=bill.usage,
        cost_usd=usd(bill.total),
        cost_assumed_usd=usd(bill.total_assumed),
    )


def was_cut(provider: str, usage: Usage | None, prompt: Prompt) -> bool:
    """Say whether the server read much less than we sent, as some do silently with a long prompt."""
    if usage is None or usage.estimated or not PROFILES[provider].counts_after_cut:
        return False
    return usage.input < CUT_SHARE * prompt.estimated_tokens


def _counts(verdicts: Sequence[Verdict]) -> Mapping[tuple[str, str, str], int]:
    return Counter((str(one.source), str(one.reason), str(one.status)) for one in verdicts)


def _counted(categories: Sequence[str], wanted: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(
        one for one in dict.fromkeys(categories) if wanted is None or one in wanted or one in _ALWAYS
    )
