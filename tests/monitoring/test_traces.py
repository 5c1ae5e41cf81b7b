"""The collector's example files, and one trace from a reading to its verdict."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.trace import DEVICE, DEVICE_TRACE, Traced, draw, make

REPO = Path(__file__).resolve().parents[2]
OTEL = REPO / "configs" / "otel"
COLLECTOR: dict[str, Any] = yaml.safe_load((OTEL / "collector.yaml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((OTEL / "compose.yaml").read_text())
PORTS = {"http": "4318", "grpc": "4317"}


# ------------------------------------------------------------------------------------ the collector


def test_the_collector_uses_what_it_defines() -> None:
    """Each pipeline names only components that are there, and none is left over."""
    (pipeline,) = COLLECTOR["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(COLLECTOR[kind])
    assert pipeline["processors"][0] == "memory_limiter"
    assert set(COLLECTOR["service"]["pipelines"]) == {"traces"}


def test_the_collector_listens_where_the_agent_sends() -> None:
    """The ports are those of the agent's own examples, on loopback unless a variable changes it."""
    said = (REPO / "configs" / "agent.yaml").read_text() + (REPO / "agent/config/checks.py").read_text()
    for protocol, port in PORTS.items():
        endpoint = COLLECTOR["receivers"]["otlp"]["protocols"][protocol]["endpoint"]
        assert endpoint == f"${{env:OTLP_LISTEN:-127.0.0.1}}:{port}"
        assert re.search(rf"http://[\w.]+:{port}\b", said)


def test_the_containers_fit_together() -> None:
    """The collector finds its file and Jaeger; whatever is published is on loopback only."""
    services = COMPOSE["services"]
    collector, jaeger = services["collector"], services["jaeger"]
    published = [port for one in services.values() for port in one["ports"]]
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    assert {f"127.0.0.1:{port}:{port}" for port in PORTS.values()} == set(collector["ports"])
    assert jaeger["ports"] == ["127.0.0.1:16686:16686"]
    source, target, _mode = collector["volumes"][0].split(":")
    assert (OTEL / source).is_file()
    assert collector["command"] == [f"--config={target}"]
    asked = set(re.findall(r"\$\{env:(\w+)", (OTEL / "collector.yaml").read_text()))
    assert asked == set(collector["environment"])
    host, _, port = collector["environment"]["JAEGER"].partition(":")
    assert host in services
    assert port == PORTS["grpc"]
    assert all(re.search(r":\d+\.\d+\.\d+$", one["image"]) for one in services.values())


# ---------------------------------------------------------------------------------------- the trace


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """One trace of all real parts."""
    return make(tmp_path_factory.mktemp("traced"))


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.slow
def test_a_trace_goes_from_the_reading_to_the_verdict(traced: Traced) -> None:
    """Batch above call above chat, publish next to it; linked to the messages, sent on with the verdict."""
    spans = {span.name: span for span in traced.spans}
    batch, call, publish = spans["edge.batch"], spans["ai_api_call"], spans["edge.publish"]
    chat = next(span for span in traced.spans if span.name.startswith("chat "))
    assert len({span.trace_id for span in traced.spans}) == 1
    assert batch.parent_id == ""
    assert [one.parent_id for one in (call, chat, publish)] == [batch.span_id, call.span_id, batch.span_id]
    assert [one.kind for one in (batch, call, chat, publish)] == [
        "internal",
        "internal",
        "client",
        "producer",
    ]
    assert [f"00-{trace}-{span}-01" for trace, span in batch.links] == traced.sent
    assert {trace for trace, _span in batch.links} == {DEVICE_TRACE}
    for inner, outer in ((call, batch), (chat, call)):
        assert outer.start_ns <= inner.start_ns < inner.end_ns
        assert (
            inner.end_ns <= outer.end_ns + 1_000_000
        )  # wall time at the start, a monotonic clock from there
    assert chat.end_ns <= publish.start_ns + 1_000_000
    assert publish.start_ns < publish.end_ns
    assert traced.verdict["trace_id"] == batch.trace_id
    assert traced.traceparent == f"00-{batch.trace_id}-{publish.span_id}-01"
    assert [event.name for event in chat.events] == ["ai.retry", "gen_ai.evaluation.result"]
    assert (traced.verdict["status"], traced.verdict["source"]) == ("anomaly", "ai")
    assert batch.attributes["edge.batch.devices"] == [publish.attributes["edge.device.id"]] == [DEVICE]
    assert call.attributes["ai.request.id"] == traced.verdict["request_id"]
    assert call.attributes["ai.verdicts"] == ["ai/reviewed/anomaly:1"]


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.slow
def test_the_documented_trace_is_what_comes(traced: Traced) -> None:
    """The tree in the docs has the spans, attributes and events of a real one; values and times differ."""
    text = (REPO / "docs" / "traces.md").read_text()
    documented = re.search(r"```\n(trace .+?)\n```", text, re.DOTALL)
    assert documented is not None

    def shape(line: str) -> str:
        kept = re.match(r"\s*(?:link|event [\w.]+|[\w.]+ =|[\w. -]+ \(\w+\) span|trace|verdict|.)", line)
        return "" if kept is None else kept[0]

    real, shown = draw(traced), documented[1].splitlines()
    assert len(set(map(shape, real))) > 20
    assert list(map(shape, shown)) == list(map(shape, real))
