"""Metrics and log lines of a running agent, pushed to a collector."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.model_site import DEVICE, KEY, KNOWLEDGE, LIMIT_S, PASSWORD, SITE, TEXT, Site
from tests.support.otlp_receiver import OtlpReceiver, http_receiver
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

TOKEN = "canary-token-77aa"


def push_to(receiver: OtlpReceiver, headers: str = "") -> dict[str, Any]:
    otel = {"metrics": True, "logs": True, "endpoint": receiver.endpoint, "interval_s": 5}
    return {"otel": otel | ({"headers_file": headers} if headers else {})}


def test_a_call_is_in_metrics_logs_and_traces(start: Callable[..., Site], tmp_path: Any) -> None:
    """The same call in all three, joined by its trace id; no secret, payload or knowledge in any."""
    path = tmp_path / "headers"
    path.write_text(f"X-Token: {TOKEN}\n")
    path.chmod(0o600)
    with http_receiver() as receiver:
        site = start(traces=receiver, over=push_to(receiver, str(path)))
        (verdict,) = site.feed(DEVICE, text=TEXT)
        wait_for(lambda: receiver.points, LIMIT_S, "metrics have come")
        assert site.agent.stop() == 0  # pushes once more
        assert receiver.headers["x-token"] == TOKEN
    records = {record.event: record for record in receiver.records}
    done = records["ai_call_success"]
    assert done.trace_id == verdict["trace_id"] == receiver.named("edge.batch")[0].trace_id
    assert done.span_id == receiver.named("ai_api_call")[0].span_id
    assert done.attributes["request_id"] == verdict["request_id"]
    calls = [
        point.value
        for point in receiver.points
        if point.name == "ai_api_calls_total" and point.attributes["status"] == "success"
    ]
    assert sum(calls) == 1
    assert {point.resource["service.instance.id"] for point in receiver.points} == {"gw"}
    everything = str(receiver.records) + str(receiver.points) + site.agent.text()
    for canary in (KEY, PASSWORD, TOKEN, TEXT, KNOWLEDGE):
        assert canary not in everything
    assert SITE in everything  # the canaries would be seen


def test_a_silent_collector_holds_up_nobody(start: Callable[..., Site]) -> None:
    """Verdicts go on, and no step of the agent's end takes longer than it may."""
    with http_receiver() as receiver:
        receiver.hang.set()
        site = start(over=push_to(receiver))
        for _ in range(3):
            (verdict,) = site.feed(DEVICE)
            assert verdict["reason"] == "reviewed"
        assert site.agent.stop() == 0
    assert receiver.records == []
    (stopped,) = site.agent.events("agent_stopped")
    assert stopped["clean"]
