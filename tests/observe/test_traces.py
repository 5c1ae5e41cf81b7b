import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from agent.domain.model_calls import CallRecord, ErrorType, Reply, Retry
from agent.observe.otlp import PausingExporter, parse_traceparent
from agent.observe.pausing import Pausing
from agent.observe.redact import Secrets
from agent.observe.traces import CONTENT_VARIABLE, Tracer, open_tracer
from tests.observe.calls import PARENTS, PROMPT, REPLY, SYSTEM, good, recorder, start
from tests.observe.sink import Log
from tests.support.broker import free_port
from tests.support.genai_schemas import INPUT_MESSAGES, OUTPUT_MESSAGES, SYSTEM_INSTRUCTIONS
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan, grpc_receiver, http_receiver
from tests.support.waiting import wait_for


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """An OTLP receiver over HTTP."""
    with http_receiver() as receiver:
        yield receiver


def live(receiver: OtlpReceiver, **options: Any) -> Tracer:
    """Return a tracer that exports to ``receiver`` at once."""
    fields: dict[str, Any] = {"endpoint": receiver.endpoint, "gateway": "gw1", "delay_s": 0.05}
    return open_tracer(**fields | {"service_version": "0.1.0", "content": False} | options)


def one_call(tracer: Tracer, log: Log, record: CallRecord | None = None) -> str | None:
    """Record a call with a retry and the publishing of its verdict; return the trace id."""
    telemetry = recorder(log.writer, tracer)
    with telemetry.call(start()) as scope:
        scope.retried(Retry(attempt=1, error_type=ErrorType.SERVER_ERROR, delay_s=0.5, http_status=503))
        scope.finish(record or good(attempts=2))
    publish = tracer.publish(
        trace_id=scope.trace_id, destination="edge-agent/gw1/verdicts/pump-1", device="pump-1"
    )
    publish.end()
    assert not telemetry.fault_log.problems()
    return scope.trace_id


def check_tree(receiver: OtlpReceiver, trace_id: str | None) -> dict[str, ReceivedSpan]:
    """Assert the shape of the trace and return its spans by name."""
    receiver.wait(4)
    spans = {span.name: span for span in receiver.spans}
    assert set(spans) == {"edge.batch", "ai_api_call", "chat gpt-4o-mini", "edge.publish"}
    assert {span.trace_id for span in receiver.spans} == {trace_id}
    batch = spans["edge.batch"]
    assert batch.parent_id == ""
    assert spans["ai_api_call"].parent_id == batch.span_id
    assert spans["chat gpt-4o-mini"].parent_id == spans["ai_api_call"].span_id
    assert spans["edge.publish"].parent_id == batch.span_id
    assert batch.links == [(text[3:35], text[36:52]) for text in PARENTS]
    return spans


def test_a_call_is_one_trace_from_reading_to_verdict(receiver: OtlpReceiver) -> None:
    """Over HTTP: four spans, linked to the readings, with the attributes of the conventions, decoded."""
    log = Log()
    tracer = live(receiver)
    trace_id = one_call(tracer, log)
    tracer.shutdown()
    spans = check_tree(receiver, trace_id)
    assert [
        spans[name].kind for name in ("edge.batch", "ai_api_call", "chat gpt-4o-mini", "edge.publish")
    ] == [
        "internal",
        "internal",
        "client",
        "producer",
    ]
    assert spans["edge.batch"].attributes == {
        "edge.batch.id": "batch-1",
        "edge.batch.size": 2,
        "edge.batch.device_count": 1,
        "edge.batch.devices": ["pump-1"],
        "edge.batch.trigger": "suspicion",
        "edge.linked_traces": [text[3:35] for text in PARENTS],
        "edge.gateway.id": "gw1",
        "user.id": "pump-1",
        "openinference.span.kind": "CHAIN",
        "ai.cost.usd": 0.00018,
        "ai.grounding": "fail",
    }
    call = spans["ai_api_call"].attributes
    assert call == call | {
        "ai.model": "gpt-4o-mini",
        "user.id": "pump-1",
        "prompt.length": len(f"{SYSTEM}\n{PROMPT}"),
        "response.length": len(REPLY),
        "ai.cost.usd": 0.00018,
        "ai.budget.remaining_usd": 0.69,
        "ai.grounding": "fail",
        "edge.gateway.id": "gw1",
        "openinference.span.kind": "CHAIN",
    }
    assert spans["chat gpt-4o-mini"].attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "server.address": "127.0.0.1",
        "server.port": 8080,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 300,
        "gen_ai.request.seed": 7,
        "gen_ai.output.type": "json",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 812,
        "gen_ai.usage.output_tokens": 96,
        "gen_ai.usage.cache_read.input_tokens": 512,
        "gen_ai.usage.cache_write.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 300,
        "gen_ai.usage.reasoning.output_tokens": 10,
        "gen_ai.prompt.name": "window-review",
        "gen_ai.prompt.version": "3",
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_1",
        "ai.cost.usd": 0.00018,
        "ai.grounding": "fail",
    }
    assert [(event.name, event.attributes) for event in spans["chat gpt-4o-mini"].events] == [
        (
            "ai.retry",
            {"attempt": 1, "error.type": "server_error", "delay_s": 0.5, "http.response.status_code": 503},
        ),
        (
            "gen_ai.evaluation.result",
            {
                "gen_ai.evaluation.name": "grounding",
                "gen_ai.evaluation.score.value": 0.5,
                "gen_ai.evaluation.score.label": "fail",
                "gen_ai.evaluation.explanation": "summary_numbers",
            },
        ),
    ]
    publish = spans["edge.publish"].attributes
    assert publish == publish | {
        "messaging.system": "mqtt",
        "messaging.destination.name": "edge-agent/gw1/verdicts/pump-1",
        "network.protocol.name": "mqtt",
        "network.protocol.version": "5",
        "edge.device.id": "pump-1",
    }
    resource = spans["edge.batch"].resource
    assert resource == resource | {"service.name": "edge-agent", "edge.gateway.id": "gw1"}
    assert not any(span.failed for span in receiver.spans)
    assert b"canary" not in b"".join(receiver.raw)
    lines = log.lines()
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert {line["span_id"] for line in lines} == {spans["ai_api_call"].span_id}


def test_a_call_is_one_trace_over_grpc() -> None:
    """Over gRPC the same trace arrives."""
    with grpc_receiver() as receiver:
        tracer = live(receiver, protocol="grpc")
        trace_id = one_call(tracer, Log())
        check_tree(receiver, trace_id)
        tracer.shutdown()
    assert tracer.dropped == 0


def test_a_failed_call_has_its_type_and_no_text(receiver: OtlpReceiver) -> None:
    """A failure marks the three spans with our type; the error's text and exception events stay here."""
    tracer = live(receiver)
    failure = good(reply=Reply(), error_type=ErrorType.AUTH, error_message="key sk-canary refused")
    one_call(tracer, Log(), failure)
    tracer.shutdown()
    for name in ("edge.batch", "ai_api_call", "chat gpt-4o-mini"):
        [span] = receiver.named(name)
        assert (span.failed, span.status_message, span.attributes["error.type"]) == (True, "auth", "auth")
        assert not [event for event in span.events if event.name == "exception"]
    assert b"canary" not in b"".join(receiver.raw)


@pytest.mark.parametrize("mode", ["NO_CONTENT", "SPAN_ONLY", "SPAN_AND_EVENT", "nonsense"])
def test_content_is_opt_in_by_the_environment(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Prompt and reply are on the span only when OpenTelemetry's variable asks for them, secrets masked."""
    monkeypatch.setenv(CONTENT_VARIABLE, mode)
    secrets = Secrets()
    secrets.add("canary-prompt-text")
    tracer = live(receiver, content=None, secrets=secrets)
    one_call(tracer, Log())
    tracer.shutdown()
    [chat] = receiver.named("chat gpt-4o-mini")
    if mode.startswith("SPAN"):
        [message] = json.loads(chat.attributes["gen_ai.output.messages"])
        part = {"type": "text", "content": REPLY}
        assert message == {"role": "assistant", "parts": [part], "finish_reason": "stop"}
        [words] = json.loads(chat.attributes["gen_ai.system_instructions"])
        assert words == {"type": "text", "content": SYSTEM}
        [message] = json.loads(chat.attributes["gen_ai.input.messages"])
        assert message == {"role": "user", "parts": [{"type": "text", "content": "[redacted]"}]}
        for name in ("edge.batch", "ai_api_call"):
            [span] = receiver.named(name)
            assert (span.attributes["input.value"], span.attributes["output.value"]) == ("[redacted]", REPLY)
    else:
        assert "gen_ai.input.messages" not in chat.attributes
        for span in receiver.spans:
            assert not {"input.value", "output.value"} & span.attributes.keys()
    assert b"canary-prompt-text" not in b"".join(receiver.raw)


LONG = 'a "line"\n\x00\ttab \u2028 {"a": 1}' * 2_000


@pytest.mark.parametrize("reason", ["stop", "length", None])
@pytest.mark.parametrize("text", [REPLY, LONG, "\x01" * 20_000])
def test_content_is_valid_by_the_published_schemas(
    receiver: OtlpReceiver, text: str, reason: str | None
) -> None:
    """Prompts and replies of any text are whole JSON by OpenTelemetry's schemas, cut before it is encoded."""
    tracer = live(receiver, content=True)
    with recorder(Log().writer, tracer).call(start(system=text, user=text)) as scope:
        scope.finish(good(reply=Reply(content=text, finish_reason=reason)))
    tracer.shutdown()
    [chat] = receiver.named("chat gpt-4o-mini")
    for name, schema in (
        ("gen_ai.input.messages", INPUT_MESSAGES),
        ("gen_ai.output.messages", OUTPUT_MESSAGES),
        ("gen_ai.system_instructions", SYSTEM_INSTRUCTIONS),
    ):
        Draft202012Validator.check_schema(schema)
        said = json.loads(chat.attributes[name])
        Draft202012Validator(schema).validate(said)
        part = said[0] if name == "gen_ai.system_instructions" else said[0]["parts"][0]
        assert len(part["content"]) == min(len(text), 16_384)
    assert len(receiver.named("edge.batch")[0].attributes["input.value"]) == min(len(text), 16_384)


def test_azure_has_the_name_of_the_conventions(receiver: OtlpReceiver) -> None:
    """The profile `azure` is `azure.ai.openai` on the span."""
    tracer = live(receiver)
    with recorder(Log().writer, tracer).call(start(provider="azure")) as scope:
        scope.finish(good())
    tracer.shutdown()
    [chat] = receiver.named("chat gpt-4o-mini")
    assert chat.attributes["gen_ai.provider.name"] == "azure.ai.openai"


def test_our_setting_wins_over_the_environment(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting of ours against content wins over the environment."""
    monkeypatch.setenv(CONTENT_VARIABLE, "SPAN_ONLY")
    tracer = live(receiver, content=False)
    one_call(tracer, Log())
    tracer.shutdown()
    assert b"canary" not in b"".join(receiver.raw)


def test_links_are_bounded_and_hostile_ones_left_out(receiver: OtlpReceiver) -> None:
    """At most 128 links count, each once; other texts are left out."""
    tracer = live(receiver)
    many = [f"00-{place:032x}-{place:016x}-01" for place in range(1, 300)]
    bad = ["", "x" * 55, f"00-{0:032x}-{1:016x}-01", f"ff-{1:032x}-{1:016x}-01", "é" * 55, many[0].upper()]
    tracer.start("edge.batch", links=[*bad, *many, *many]).end()
    tracer.shutdown()
    [span] = receiver.spans
    assert len(span.links) == 128
    assert len(set(span.links)) == 128


def test_traceparent_is_parsed_as_w3c_says() -> None:
    """Valid ones give their ids, others None."""
    context = parse_traceparent("00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    assert context is not None
    assert (context.trace_id, context.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))
    assert (context.is_remote, context.trace_flags) == (True, 1)
    assert parse_traceparent("00-" + "AB" * 16 + "-" + "cd" * 8 + "-01") is None


def test_the_context_goes_out_with_the_verdict(receiver: OtlpReceiver) -> None:
    """The publishing span's traceparent names itself; a local verdict has none, nor an unknown trace."""
    tracer = live(receiver)
    log = Log()
    with recorder(log.writer, tracer).call(start()) as scope:
        scope.finish(good())
    span = tracer.publish(trace_id=scope.trace_id, destination="x")
    span.end()
    span.end()
    tracer.shutdown()
    [publish] = receiver.named("edge.publish")
    assert span.traceparent is not None
    version, trace_id, span_id, flags = span.traceparent.split("-")
    assert (version, trace_id, span_id) == ("00", scope.trace_id, publish.span_id)
    assert flags == "01"
    assert tracer.publish(trace_id=None, destination="x").traceparent is None
    assert tracer.publish(trace_id="ab" * 16, destination="x").traceparent is None


def test_a_step_of_the_wall_clock_changes_no_length(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is set back an hour while a span is open leaves its end and its events after its start."""
    tracer = live(receiver)
    span = tracer.start("edge.batch")
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    span.event("ai.retry", {})
    span.end()
    tracer.shutdown()
    [got] = receiver.spans
    assert got.start_ns < got.end_ns < got.start_ns + 60 * 10**9


def test_the_sdks_own_switch_turns_tracing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OTEL_SDK_DISABLED no span has an id and no exporter is made."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    tracer = open_tracer(endpoint="http://127.0.0.1:9")
    assert (tracer.enabled, tracer.start("edge.batch").traceparent) == (False, None)


def test_sampling_keeps_or_drops_whole_traces(receiver: OtlpReceiver) -> None:
    """With a ratio of 0 nothing is exported, nothing counts as lost, and the ids are still there."""
    tracer = live(receiver, sample_ratio=0.0)
    assert one_call(tracer, Log()) is not None
    tracer.shutdown()
    assert (receiver.spans, tracer.dropped) == ([], 0)


@pytest.mark.slow
@pytest.mark.parametrize("sample_ratio", [0.0, 1.0])
def test_a_counted_call_leads_to_its_trace_where_there_is_one(
    receiver: OtlpReceiver, sample_ratio: float
) -> None:
    """Duration and cost have the trace id as exemplar, where the trace is exported."""
    log = Log()
    tracer = live(receiver, sample_ratio=sample_ratio)
    telemetry = recorder(log.writer, tracer)
    failed = good(reply=Reply(), error_type=ErrorType.SERVER_ERROR, cost_usd=0.0, latency_s=7.0)
    with telemetry.call(start()) as scope:
        scope.finish(good())
    with telemetry.call(start()) as other:
        other.finish(failed)
    tracer.shutdown()
    lines = telemetry.metrics.render("application/openmetrics-text")[0].decode().splitlines()
    shown = [line.partition(" # ") for line in lines if " # " in line]
    traces = {line.partition("{")[0]: exemplar.partition("}")[0] for line, _, exemplar in shown}
    kept = {span.trace_id for span in receiver.spans}
    assert kept == ({scope.trace_id, other.trace_id} if sample_ratio else set())
    assert len(shown) == (4 if sample_ratio else 0)
    assert traces.get("ai_estimated_cost_usd_total") == (f'{{trace_id="{scope.trace_id}"' if kept else None)
    assert traces.get("ai_api_failed_call_duration_seconds_bucket") == (
        f'{{trace_id="{other.trace_id}"' if kept else None
    )
    assert not telemetry.fault_log.problems()


def test_a_collector_that_is_down_is_said_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused connections: one line, growing pauses, every span counted, and no wait at the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1")
    told: list[str] = []
    tracer = open_tracer(
        endpoint=f"http://127.0.0.1:{free_port()}",
        delay_s=0.02,
        log=lambda event, **_fields: told.append(event),
    )
    for _ in range(5):
        for _ in range(10):
            tracer.start("edge.batch").end()
        time.sleep(0.05)
    started = time.monotonic()
    tracer.shutdown(60.0)
    assert time.monotonic() - started < 30.0
    assert tracer.dropped == 50
    assert told in ([], ["trace_export_failed"])


class Flaky(SpanExporter):
    """An exporter with given results, and its clock."""

    def __init__(self, *results: bool) -> None:
        self.results = list(results)
        self.tried: list[int] = []
        self.waits: list[float] = []
        self.now = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.tried.append(len(spans))
        return SpanExportResult.SUCCESS if self.results.pop(0) else SpanExportResult.FAILURE

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_an_export_is_tried_twice_and_recovery_is_said() -> None:
    """A collector that fails once costs no span; one that stays away costs each export after two attempts."""
    told: list[tuple[str, dict[str, Any]]] = []
    flaky = Flaky(False, True, False, False, False, True)
    pausing = Pausing(
        event="trace_export",
        log=lambda event, **fields: told.append((event, fields)),
        mono=lambda: flaky.now,
        wait=flaky.wait,
    )
    exporter = PausingExporter(flaky, pausing)
    spans: Any = [object(), object()]
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert (pausing.lost, pausing.delivered, len(flaky.waits)) == (0, 2, 1)
    assert exporter.export(spans) is SpanExportResult.FAILURE
    assert (pausing.lost, pausing.delivered) == (2, 2)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert (pausing.lost, pausing.delivered) == (2, 4)
    assert len(flaky.tried) == 6
    for usual, wait in zip((5, 5, 10, 20), flaky.waits, strict=True):
        assert 0.8 * usual <= wait <= 1.2 * usual
    assert [event for event, _ in told] == ["trace_export_failed", "trace_export_recovered"] * 2
    assert told[-1][1] == {"lost": 2}


def test_at_the_end_nothing_is_waited_for() -> None:
    """After `hurry` an export is tried once, and its failure is counted."""
    flaky = Flaky(False)
    pausing = Pausing(event="trace_export", log=lambda *_args, **_fields: None)
    exporter = PausingExporter(flaky, pausing)
    pausing.hurry()
    spans: Any = [object()]
    assert exporter.export(spans) is SpanExportResult.FAILURE
    assert (flaky.tried, pausing.lost) == ([1], 1)


def test_a_collector_that_fails_once_gets_every_span(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause of the collector drops nothing while there is room: the queue keeps what comes meanwhile."""
    monkeypatch.setattr("agent.observe.pausing._FIRST_PAUSE_S", 0.2)
    tracer = live(receiver)
    receiver.answer = 400
    for _ in range(50):
        tracer.start("edge.batch").end()
    wait_for(lambda: receiver.requests >= 1, what="the first export came")
    for _ in range(50):
        tracer.start("edge.batch").end()
    receiver.answer = 200
    receiver.wait(100)
    tracer.shutdown()
    assert (len(receiver.spans), tracer.dropped) == (100, 0)


def test_a_full_queue_is_counted(receiver: OtlpReceiver) -> None:
    """More than 256 spans waiting: the rest is dropped and counted, and the ones that fitted arrive."""
    tracer = live(receiver, delay_s=30.0)
    receiver.hang.set()
    for _ in range(600):
        tracer.start("edge.batch").end()
    assert tracer.dropped >= 600 - 256 - 128
    receiver.hang.clear()
    tracer.shutdown(0.1)


SCRIPT = """
import sys, time
from agent.observe.traces import open_tracer
tracer = open_tracer(endpoint=sys.argv[1], protocol=sys.argv[2], delay_s=0.05)
for _ in range(300):
    tracer.start("edge.batch").end()
time.sleep(0.3)
started = time.monotonic()
tracer.shutdown(2.0)
print(time.monotonic() - started)
"""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_collector_that_never_answers_costs_two_seconds_at_the_end(
    receiver: OtlpReceiver, protocol: str
) -> None:
    """A collector that accepts and is silent: the process ends by its own limit, and quietly."""
    receiver.hang.set()
    argv = [sys.executable, "-c", SCRIPT, receiver.endpoint, protocol]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    shutdown_s = float(process.stdout.readline())
    ended = time.monotonic()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert shutdown_s + time.monotonic() - ended < 8.0  # the exporter alone would wait for 10 s
    assert errors.count("\n") <= 2


@pytest.mark.process
def test_off_imports_nothing() -> None:
    """Without an endpoint neither OpenTelemetry nor grpc is imported, and a span costs nothing to hold."""
    script = (
        "import sys; from agent.observe.traces import open_tracer; tracer = open_tracer(endpoint=None);"
        "import agent.observe.recorder, agent.web;"
        "assert tracer.start('x').trace_id is None and not tracer.enabled;"
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'grpc', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.process
def test_http_does_not_import_grpc() -> None:
    """With OTLP over HTTP, grpc stays out."""
    script = (
        "import sys; from agent.observe.traces import open_tracer;"
        "open_tracer(endpoint='http://127.0.0.1:9').shutdown(0.5); print('grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.process
def test_console_writes_to_stderr(tmp_path: Path) -> None:
    """The console protocol prints one JSON object a line on stderr; stdout belongs to the log."""
    script = (
        "from agent.observe.traces import open_tracer;"
        "tracer = open_tracer(endpoint=None, protocol='console');"
        "tracer.start('edge.batch', attributes={'edge.batch.id': 'b'}).end(); tracer.shutdown()"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout == ""
    assert json.loads(done.stderr)["name"] == "edge.batch"
