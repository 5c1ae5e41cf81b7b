"""A call as the caller would record it."""

from typing import Any

from agent.domain.model_calls import CallRecord, Reply, Request, Usage
from agent.domain.records import Check, Grounding
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Tracer

SYSTEM, PROMPT, REPLY = "canary-system-text", "canary-prompt-text", "canary-reply-text"
ANSWERED = Reply(
    content=REPLY,
    finish_reason="stop",
    response_id="chatcmpl-1",
    response_model="gpt-4o-mini-2024-07-18",
    service_tier="default",
    system_fingerprint="fp_1",
    provider_request_id="req_provider_1",
)
PARENTS = tuple(f"00-{place:032x}-{place:016x}-01" for place in range(1, 4))


def start(**changes: Any) -> Request:
    """Return a request; keyword arguments replace its fields."""
    fields: dict[str, Any] = {
        "request_id": "req-1",
        "batch_id": "batch-1",
        "user_id": "pump-1",
        "devices": ("pump-1",),
        "window_ids": ("w1", "w2"),
        "trigger": "suspicion",
        "model": "gpt-4o-mini",
        "provider": "openai",
        "system": SYSTEM,
        "user": PROMPT,
        "schema": {},
        "prompt_name": "window-review",
        "text_version": "3",
        "server_address": "127.0.0.1",
        "server_port": 8080,
        "temperature": 0.0,
        "max_tokens": 300,
        "seed": 7,
        "traceparents": PARENTS,
    }
    return Request(**fields | changes)


def good(**changes: Any) -> CallRecord:
    """Return a record of a call that went well."""
    fields: dict[str, Any] = {
        "request": start(),
        "reply": ANSWERED,
        "latency_s": 1.333,
        "attempts": 1,
        "usage": Usage(input=812, output=96, cached_input=512, reasoning=10, cache_write=300),
        "cost_usd": 0.00018,
        "statuses": {"normal": 1, "anomaly": 1},
        "grounding": {Grounding.GROUNDED: 1, Grounding.UNGROUNDED: 1},
        "unsupported": 1,
        "failed_checks": (Check("summary_numbers", held=False, detail="canary-reply-text holds 99"),),
        "budget_remaining_usd": 0.69,
    }
    return CallRecord(**fields | changes)


def recorder(logs: LogWriter, tracer: Tracer | None = None, **options: Any) -> TelemetryRecorder:
    """Return a recorder over ``logs``."""
    metrics = Metrics(models=["gpt-4o-mini"], provider="openai", version="0.1.0", **options)
    return TelemetryRecorder(logs=logs, metrics=metrics, tracer=tracer or Tracer())


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Return one sample; 0.0 counts as present, a missing one fails."""
    sample = metrics.registry.get_sample_value(name, labels)
    assert sample is not None, f"{name}{labels} is not there"
    return sample
