"""Metrics and log lines pushed over OTLP to a receiver with the published types."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.observe.logs import bind_ids, reset_ids
from agent.observe.metrics import Metrics
from agent.observe.otlp_rejections import MAX_REASON, Rejections
from agent.observe.otlp_session import BoundedSession
from agent.observe.pausing import Pausing
from agent.observe.push import MAX_BATCH, LineQueue, Push, open_push
from agent.observe.redact import Secrets
from agent.observe.telemetry_settings import OtelSettings
from agent.observe.traces import open_tracer
from tests.observe.calls import good, recorder, start
from tests.observe.sink import Log
from tests.support.broker import free_port
from tests.support.otlp_receiver import OtlpReceiver, grpc_receiver, http_receiver
from tests.support.waiting import wait_for

NOTHING: Mapping[str, str] = {}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """An OTLP receiver over HTTP."""
    with http_receiver() as receiver:
        yield receiver


def pushing(
    receiver: OtlpReceiver,
    metrics: Metrics | None = None,
    *,
    headers: Mapping[str, str] = NOTHING,
    log: Callable[..., None] = lambda *_args, **_fields: None,
    **options: Any,
) -> Push:
    """Return a push to ``receiver``; its log lines go at once, its metrics at the end."""
    settings: dict[str, Any] = {"metrics": True, "logs": True, "endpoint": receiver.endpoint}
    push = open_push(
        OtelSettings(**settings | {"interval_s": 3600} | options),
        metrics=metrics or Metrics(models=["gpt-4o-mini"]),
        version="0.1.0",
        gateway="gw1",
        delay_s=0.05,
        headers=headers,
        log=log,
    )
    assert push is not None
    return push


def test_every_metric_of_the_page_is_pushed(receiver: OtlpReceiver) -> None:
    """The same names, labels and values, histograms by bucket, counters cumulative since the start."""
    log = Log()
    telemetry = recorder(log.writer)
    metrics = telemetry.metrics
    push = pushing(receiver, metrics)
    for latency_s in (0.5, 2.0, 2.5, 100.0):
        with telemetry.call(start()) as scope:
            scope.finish(good(latency_s=latency_s))
    page = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    push.shutdown(10)
    pushed: dict[tuple[Any, ...], float] = {}
    for point in receiver.points:
        labels = sorted(point.attributes.items())
        assert point.cumulative == (point.kind != "gauge")
        assert point.start_ns <= point.at_ns
        if point.kind != "histogram":
            pushed[point.name, *labels] = point.value
            continue
        pushed[f"{point.name}_sum", *labels] = point.value
        pushed[f"{point.name}_count", *labels] = point.count
        total = 0
        for bound, count in [*point.buckets, (float("inf"), point.count - sum(n for _, n in point.buckets))]:
            total += count
            name = "+Inf" if bound == float("inf") else str(float(bound))
            pushed[f"{point.name}_bucket", *sorted([*labels, ("le", name)])] = total
    assert {name: value for name, value in pushed.items() if not str(name[0]).startswith("process_")} == page
    (about,) = {json.dumps(point.resource) for point in receiver.points}
    resource = json.loads(about)
    assert (resource["service.name"], resource["service.version"]) == ("edge-agent", "0.1.0")
    assert resource["edge.gateway.id"] == resource["service.instance.id"] == "gw1"
    assert push.dropped() == {"logs": 0, "metrics": 0}


def test_a_line_of_the_log_is_a_record(receiver: OtlpReceiver) -> None:
    """With its event, time, level, ids and fields, masked as on stdout; the lines of the log itself too."""
    secrets = Secrets()
    secrets.add("hunter2-token")
    push = pushing(receiver)
    log = Log(secrets=secrets)
    assert push.lines is not None
    log.writer.tap = push.lines.put
    bound = bind_ids(trace_id="ab" * 16, span_id="cd" * 8)
    log.log("call_made", "warning", key="x hunter2-token y", devices=["a", "b"], deep={"n": 1.5}, none=None)
    reset_ids(**bound)
    for _ in range(700):
        log.log("flood")
    lines = log.lines()
    push.shutdown(10)
    first, *others = receiver.records
    assert (first.event, first.body, first.severity, first.number) == (
        "call_made",
        "call_made",
        "WARNING",
        13,
    )
    assert (first.trace_id, first.span_id) == ("ab" * 16, "cd" * 8)
    assert first.attributes == {"key": "x [redacted] y", "devices": ["a", "b"], "deep": lines[0]["deep"]}
    written = datetime.fromisoformat(lines[0]["timestamp"]).timestamp()
    assert abs(first.at_ns / 10**9 - written) < 0.000_01
    assert (others[0].trace_id, others[0].severity) == ("", "INFO")
    assert [record.event for record in receiver.records] == [line["event"] for line in lines]
    assert others[-1].event == "log_events_suppressed"
    assert "hunter2" not in str(receiver.records)


def test_lines_for_people_are_pushed_as_json(receiver: OtlpReceiver) -> None:
    """The format of stdout does not change the records."""
    push = pushing(receiver)
    log = Log(format="console")
    assert push.lines is not None
    log.writer.tap = push.lines.put
    log.log("seen", "error", text="a\nb")
    log.writer.close(5)
    push.shutdown(10)
    assert [(one.event, one.number, one.attributes) for one in receiver.records] == [
        ("seen", 17, {"text": "a b"})
    ]


def test_headers_of_the_file_count_more_than_those_of_the_environment(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are sent; where they differ, ours are."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-one=environment,x-two=environment")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "site=north,service.name=named,service.version=9")
    push = pushing(receiver, logs=False, headers={"X-One": "file"})
    push.shutdown(10)
    assert (receiver.headers["x-one"], receiver.headers["x-two"]) == ("file", "environment")
    resource = receiver.points[0].resource
    assert (resource["site"], resource["service.name"], resource["service.version"]) == (
        "north",
        "named",
        "0.1.0",
    )


@pytest.mark.slow
def test_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with the other protocol, headers included."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "site-7")
    with grpc_receiver() as receiver:
        push = pushing(receiver, protocol="grpc", headers={"X-Token": "t"})
        assert push.lines is not None
        push.lines.put(b'{"timestamp":"2026-05-01T00:00:00.000Z","level":"info","event":"seen"}\n')
        wait_for(lambda: receiver.records, 20, "a record", 0.01)
        push.shutdown(10)
        assert receiver.headers["x-token"] == "t"
        assert receiver.records[0].event == "seen"
        assert receiver.points[0].resource["service.name"] == "site-7"


def test_metrics_are_pushed_again_and_again(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each push has the state of its moment; a refused one is tried again with the newest."""
    monkeypatch.setattr("agent.observe.pausing._FIRST_PAUSE_S", 0.05)
    told: list[str] = []
    metrics = Metrics()
    receiver.answer = 400
    push = pushing(receiver, metrics, logs=False, interval_s=0.05, log=lambda event, **_: told.append(event))
    wait_for(lambda: push.dropped()["metrics"] >= 1, 20, "a push was given up", 0.01)
    metrics.count("ai_repairs_total", "ok", by=3)
    receiver.answer = 200
    wait_for(lambda: receiver.pushes >= 2, 20, "two pushes", 0.01)
    push.shutdown(10)
    repaired = [point.value for point in receiver.points if point.attributes == {"result": "ok"}]
    assert repaired == [3]
    assert told == ["metrics_push_failed", "metrics_push_recovered"]


def test_a_queue_is_bounded_and_keeps_the_newest() -> None:
    """Beyond its bytes the oldest lines go, and are counted; one export takes a bounded part."""
    queue = LineQueue(max_bytes=10_000)
    for place in range(5000):
        queue.put(b"%09d\n" % place)
    assert (len(queue), queue.dropped) == (1000, 4000)
    taken = queue.take()
    assert len(taken) == MAX_BATCH
    assert taken[0] == b"000004000\n"
    queue.put(b"x" * 20_000)
    assert (len(queue), queue.dropped) == (0, 4000 + 1000 - MAX_BATCH + 1)


@pytest.mark.parametrize("length", [True, False], ids=["announced", "without a length"])
def test_a_long_reply_is_not_read(length: bool) -> None:
    """The collector's success counts, and its bytes stay out of the memory."""
    ended, sent = threading.Event(), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            if length:
                self.send_header("Content-Length", str(10**12))
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(1000):
                    self.wfile.write(b"x" * 100_000)
                    sent.append(100_000)
            ended.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the library's name
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        session = BoundedSession()
        reply = session.request("POST", f"http://127.0.0.1:{server.server_port}/v1/logs", data=b"x")
        assert reply.status_code == 200
        assert ended.wait(30)
        server.shutdown()
    assert sum(sent) < 50_000_000


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_things_that_a_collector_refuses_are_lost(protocol: str) -> None:
    """A reply is a success in part only: what it refuses is counted, and logged once with its reason."""
    told: list[tuple[str, dict[str, Any]]] = []

    def log(event: str, **fields: Any) -> None:
        told.append((event, fields))

    with http_receiver() if protocol == "http" else grpc_receiver() as receiver:
        receiver.partial = (2, "too\nold")
        push = pushing(receiver, protocol=protocol, log=log)
        assert push.lines is not None
        line = b'{"timestamp":"2026-05-01T00:00:00.000Z","level":"info","event":"seen"}\n'
        for sent in (5, 10):
            for _ in range(5):
                push.lines.put(line)
            wait_for(lambda sent=sent: len(receiver.records) >= sent, 20, "the records")  # type: ignore[misc]
        push.shutdown(10)
        assert push.dropped()["logs"] >= 4
        assert push.dropped() == {"logs": push.dropped()["logs"], "metrics": 1}
        tracer = open_tracer(endpoint=receiver.endpoint, protocol=protocol, delay_s=0.05, log=log)
        for _ in range(5):
            tracer.start("edge.batch").end()
        wait_for(lambda: len(receiver.spans) == 5, 20, "the spans")
        wait_for(lambda: tracer.dropped >= 2, 20, "the refused spans")
        tracer.shutdown(5)
    assert sorted(event for event, _ in told) == [
        "logs_push_partial",
        "metrics_push_partial",
        "trace_export_partial",
    ]
    for _, fields in told:
        assert (fields["level"], fields["reason"]) == ("warning", "too old")
        assert 1 <= fields["refused"] <= 2


@pytest.mark.parametrize(
    ("body", "partial"),
    [
        (b"", (0, "")),
        (b"\x0a\x00", (0, "")),
        (b"\x0a\x02\x08\x07", (7, "")),
        (b"\x0a\x04\x12\x02hi", (0, "hi")),  # a warning
        (b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01", (0, "")),  # minus one
        (b"\x0a\xac\x02\x12\xa9\x02" + b"x" * 297, (0, "x" * MAX_REASON)),
        (b'{"partialSuccess":{"rejectedSpans":"7"}}', (0, "")),
        (b"<html>", (0, "")),
        (b"ok", (0, "")),
    ],
)
def test_a_partial_success_is_read(body: bytes, partial: tuple[int, str]) -> None:
    """Count and reason of the last reply; other texts have none, and it is taken once."""
    rejections = Rejections()
    rejections.read(b"\x0a\x02\x08\x09")
    rejections.read(body)
    assert rejections.take() == partial
    assert rejections.take() == (0, "")


def test_an_hour_without_a_collector_costs_few_attempts_and_lines_of_log() -> None:
    """The pauses grow to five minutes; with the collector comes one line, and all since is delivered."""
    now, tried, told = [0.0], [], []

    def export() -> bool:
        tried.append(now[0])
        return now[0] >= 3600.0

    def wait(seconds: float) -> None:
        now[0] += seconds

    pausing = Pausing(
        event="logs_push",
        log=lambda event, **fields: told.append((event, fields.get("lost"))),
        mono=lambda: now[0],
        wait=wait,
    )
    pushed = 0
    while now[0] < 4200.0:
        pushed += 10
        pausing.run(export, 10)
        now[0] += 5.0
    down = [at for at in tried if at < 3600.0]
    assert 12 <= len(down) <= 25
    assert pausing.lost == 10 * (len(down) // 2)  # two attempts each
    assert pausing.delivered == pushed - pausing.lost
    assert told == [("logs_push_failed", None), ("logs_push_recovered", pausing.lost)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failed_push(receiver: OtlpReceiver, status: int) -> None:
    """It is not followed with the collector's token, and what was sent counts as lost."""
    receiver.answer = status
    events: list[str] = []
    push = pushing(receiver, logs=False, log=lambda event, **_fields: events.append(event))
    push.shutdown(10)
    assert events == ["metrics_push_failed"]
    assert push.dropped()["metrics"] == 1


@pytest.mark.parametrize("down", [True, False], ids=["refused", "silent"])
def test_a_collector_that_is_away_costs_neither_lines_of_code_nor_the_end(
    receiver: OtlpReceiver, down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log goes on, what does not fit is counted, nothing is waited for at the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    told: list[str] = []
    if down:
        receiver.endpoint = f"http://127.0.0.1:{free_port()}"
    else:
        receiver.hang.set()
    push = pushing(receiver, log=lambda event, **_fields: told.append(event))
    assert push.lines is not None
    put = push.lines.put
    line = json.dumps({"timestamp": "2026-05-01T00:00:00Z", "event": "e", "text": "x" * 1000}).encode()
    for _ in range(3000):
        put(line)
    assert push.dropped()["logs"] >= 3000 - 2**20 // len(line) - MAX_BATCH
    push.shutdown(0.2)
    receiver.hang.clear()
    push.shutdown(60)  # a thread left behind would disturb the next test
    assert set(told) <= {"logs_push_failed", "metrics_push_failed"}


def test_a_fault_of_the_collection_is_a_failed_push(receiver: OtlpReceiver) -> None:
    """An error while the metrics are read ends no thread: it is logged with its type."""
    told: list[dict[str, Any]] = []
    metrics = Metrics()

    def broken() -> Any:
        raise KeyError("secret")

    metrics.read_path(broken)
    push = pushing(receiver, metrics, logs=False, log=lambda _event, **fields: told.append(fields))
    push.shutdown(10)
    assert push.dropped()["metrics"] == 1
    assert "KeyError" in told[0]["error"]
    assert "secret" not in str(told)


def test_off_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, an endpoint, or with the SDK's switch there is no push and no thread."""
    before = threading.active_count()

    def opened(**settings: Any) -> Push | None:
        return open_push(
            OtelSettings(**settings), metrics=Metrics(), version="", gateway="", headers={}, log=print
        )

    assert opened(endpoint="http://127.0.0.1:1") is None
    assert opened(metrics=True) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert opened(metrics=True, logs=True, endpoint="http://127.0.0.1:1") is None
    assert threading.active_count() == before


@pytest.mark.process
@pytest.mark.parametrize(
    ("protocol", "variable", "events"),
    [
        ("grpc", "OTEL_EXPORTER_OTLP_TIMEOUT", ["traces_not_started", "push_not_started"]),
        ("grpc", "OTEL_EXPORTER_OTLP_COMPRESSION", ["traces_not_started", "push_not_started"]),
        ("http", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", ["traces_not_started"]),
        ("http", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ["traces_not_started", "push_not_started"]),
    ],
)
def test_a_variable_that_the_sdk_refuses_is_named(protocol: str, variable: str, events: list[str]) -> None:
    """The start goes on, and no value of a variable is in the log."""
    script = (
        "import json, os; from agent.observe.push import open_push;"
        "from agent.observe.metrics import Metrics;"
        "from agent.observe.telemetry_settings import OtelSettings as S;"
        "from agent.observe.traces import open_tracer;"
        "log = lambda event, **fields: print(json.dumps([event, fields]), flush=True);"
        f"to = dict(endpoint='http://127.0.0.1:1', protocol={protocol!r});"
        "span = open_tracer(**to, log=log).start('x', kind='internal');"
        "open_push(S(**to, metrics=True), metrics=Metrics(), version='', gateway='', headers={}, log=log);"
        "os._exit(0)"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ | {variable: "CANARY"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event for event, _ in told] == events
    for _, fields in told:
        assert (fields["level"], fields["variables"]) == ("error", [variable])
        assert "unset" in fields["remedy"]
    assert "CANARY" not in done.stdout


@pytest.mark.process
def test_off_imports_nothing() -> None:
    """Nothing of OpenTelemetry is loaded where nothing is pushed; grpc only with its protocol."""
    script = (
        "import sys; from agent.observe.push import open_push; from agent.observe.metrics import Metrics;"
        "from agent.observe.telemetry_settings import OtelSettings as S; import agent.observe.recorder;"
        "open = lambda **s: open_push(S(**s), metrics=Metrics(), version='', gateway='', headers={},"
        " log=print);"
        "open(); seen = lambda: sorted({n.split('.')[0] for n in sys.modules}"
        " & {'opentelemetry', 'grpc', 'requests'});"
        "print(seen()); open(metrics=True, endpoint='http://127.0.0.1:1'); print(seen())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "['opentelemetry', 'requests']"]
