"""From a device's trace to the consumer's, through an agent and its model."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.integration.model_site import DEVICE, LIMIT_S, PER_WINDOW, SITE, Site
from tests.mqtt.link_harness import user_properties
from tests.support.otlp_receiver import OtlpReceiver, grpc_receiver, http_receiver
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

PARENTS = [f"00-{place:032x}-{place:016x}-01" for place in range(1, PER_WINDOW + 1)]
NAMES = {"edge.batch", "ai_api_call", "chat m1", "edge.publish"}


@pytest.mark.parametrize(("protocol", "receiving"), [("http", http_receiver), ("grpc", grpc_receiver)])
def test_a_verdict_belongs_to_the_traces_of_its_readings(
    start: Callable[..., Site],
    protocol: str,
    receiving: Callable[[], AbstractContextManager[OtlpReceiver]],
) -> None:
    """The batch is linked to each reading's context; the context of the publish goes out with the verdict."""
    with receiving() as traces:
        site = start(traces=traces, over={"traces": {"protocol": protocol}})
        for place, parent in enumerate(PARENTS):
            site.client.publish(
                f"{SITE}/{DEVICE}/temperature",
                json.dumps({"value": 21 + place / 10}),
                qos=1,
                properties=user_properties(("traceparent", parent), ("other", "x")),
            ).wait_for_publish(60)
        wait_for(lambda: site.on("verdicts"), LIMIT_S, "the verdict")
        assert site.agent.stop() == 0
        traces.wait(len(NAMES))
    spans = {span.name: span for span in traces.spans}
    assert set(spans) == NAMES
    batch, publish = spans["edge.batch"], spans["edge.publish"]
    assert batch.links == [(parent[3:35], parent[36:52]) for parent in PARENTS]
    (verdict,) = site.on("verdicts")
    assert {span.trace_id for span in traces.spans} == {verdict["trace_id"]}
    assert spans["chat m1"].attributes["gen_ai.usage.input_tokens"] == verdict["tokens"]["input"]
    (message,) = [one for one in site.heard if "/verdicts/" in one.topic]
    assert message.properties is not None
    sent = dict(message.properties.UserProperty)  # type: ignore[attr-defined]
    assert sent["traceparent"] == f"00-{publish.trace_id}-{publish.span_id}-01"


def test_a_collector_that_never_answers_holds_up_nobody(start: Callable[..., Site]) -> None:
    """It takes the connection and is silent: verdicts go on, and the agent ends by the limit of 2 s."""
    with http_receiver() as traces:
        traces.hang.set()
        site = start(traces=traces)
        for _ in range(3):
            (verdict,) = site.feed(DEVICE)
            assert verdict["reason"] == "reviewed"
        begun = time.monotonic()
        assert site.agent.stop() == 0
        assert time.monotonic() - begun < 8.0  # the exporter alone would wait for 10 s
    assert traces.spans == []
    assert len(site.agent.events("trace_export_failed")) <= 1
