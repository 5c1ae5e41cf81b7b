"""Collectors that refuse, hang, drip, babble or have the wrong certificate."""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent.observe.metrics import Metrics
from agent.observe.otlp import MAX_QUEUE, build_exporter
from agent.observe.otlp_session import BoundedSession
from agent.observe.push import MAX_QUEUED_BYTES, open_push
from agent.observe.telemetry_settings import OtelSettings
from agent.observe.traces import Tracer, open_tracer
from tests.mqtt.brokers import Authority
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process  # grpc has threads of its own

SPANS = 3 * MAX_QUEUE


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def babble(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        while True:
            client.sendall(os.urandom(65_536))


def goaway(client: socket.socket) -> None:
    """End each connection as HTTP/2 does it, with an empty SETTINGS frame before."""
    frames = bytes(3) + b"\x04" + bytes(5)
    frames += (8).to_bytes(3, "big") + b"\x07" + bytes(5) + bytes(4) + (11).to_bytes(4, "big")
    with client, contextlib.suppress(OSError):
        while client.recv(65_536):
            client.sendall(frames)


def drip(client: socket.socket) -> None:
    """Send the head of a reply byte by byte, for ever."""
    with client, contextlib.suppress(OSError):
        client.recv(65_536)
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            client.sendall(b"a: b\r\n"[number % 6 : number % 6 + 1])
            time.sleep(0.05)


def drip_body(client: socket.socket) -> None:
    """Send a good head, and the body behind it byte by byte."""
    with client, contextlib.suppress(OSError):
        client.recv(65_536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        for _ in range(4000):
            client.sendall(b"x")
            time.sleep(0.05)


def say_nothing(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        while client.recv(65_536):
            pass


@contextlib.contextmanager
def accepting(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the address of a server that does ``handle`` to each connection."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=handle, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def serving(answer: Callable[[Any], Any], certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Yield the address of a gRPC collector whose reply to all is ``answer`` of the call's context."""
    import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 -- a second that few tests pay
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc  # noqa: PLC0415 -- as above
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc  # noqa: PLC0415 -- as above
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc  # noqa: PLC0415 -- as above

    class Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's name
            del request
            return answer(context)

    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]
    if certificate is None:
        port, scheme = server.add_insecure_port("127.0.0.1:0"), "http"
    else:
        pair = (certificate[1].read_bytes(), certificate[0].read_bytes())
        port, scheme = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair])), "https"
    server.start()
    try:
        yield f"{scheme}://localhost:{port}"
    finally:
        server.stop(0).wait(5)


def long_reply(_context: Any) -> Any:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 -- as above
        ExportTraceServiceResponse,
    )

    reply = ExportTraceServiceResponse()
    reply.partial_success.error_message = "x" * 1_000_000
    return reply


def short_reply(_context: Any) -> Any:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 -- as above
        ExportTraceServiceResponse,
    )

    return ExportTraceServiceResponse()


def exhausted(context: Any) -> None:
    import grpc  # noqa: PLC0415 -- as above

    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "x" * 4000)


def bad_advice(context: Any) -> None:
    import grpc  # noqa: PLC0415 -- as above

    context.set_trailing_metadata((("google.rpc.retryinfo-bin", b"\xff\xff"),))
    context.abort(grpc.StatusCode.UNAVAILABLE, "later")


def trace(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Tracer, list[str]]:
    """Start and end more spans than may wait; return the tracer and the events of its log."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    events: list[str] = []
    tracer = open_tracer(
        endpoint=endpoint, protocol="grpc", delay_s=0.05, log=lambda event, **_: events.append(event)
    )
    for _ in range(SPANS):
        tracer.start("edge.batch").end()
    return tracer, events


def check_all_lost(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()
    tracer, events = trace(endpoint, monkeypatch)
    try:
        wait_for(lambda: bool(events), 15, "a failed export")
    finally:
        tracer.shutdown(0.2)
    assert tracer.dropped == SPANS
    assert events == ["trace_export_failed"]
    wait_for(lambda: threading.active_count() <= before + 2, 30, "the threads of the export to end")


@pytest.mark.slow
@pytest.mark.parametrize("handle", [reset, babble, say_nothing, goaway])
def test_a_connection_that_is_no_collector(
    handle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each span is counted as lost, the failure is logged once, and no thread stays."""
    with accepting(handle) as endpoint:
        check_all_lost(endpoint, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [exhausted, bad_advice, long_reply])
def test_a_collector_that_does_not_take_spans(
    answer: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full one, one whose advice cannot be read, and one whose reply would fill the memory."""
    with serving(answer) as endpoint:
        check_all_lost(endpoint, monkeypatch)


def check_pushes_lost(endpoint: str, protocol: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push metrics and twenty queues of lines; expect them lost or waiting, in bounded memory and threads."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setattr("agent.observe.pausing._FIRST_PAUSE_S", 0.05)
    before, events = threading.active_count(), []
    settings: dict[str, Any] = {"metrics": True, "logs": True, "interval_s": 0.1}
    push = open_push(
        OtelSettings(**settings, endpoint=endpoint, protocol=protocol),
        metrics=Metrics(),
        version="",
        gateway="",
        headers={},
        log=lambda event, **_: events.append(event),
        delay_s=0.05,
    )
    assert push is not None
    assert push.lines is not None
    try:
        line = json.dumps({"timestamp": "2026-05-01T00:00:00Z", "event": "e", "text": "x" * 1000}).encode()
        wait_for(lambda: set(events) == {"metrics_push_failed"}, 20, "a failed push of metrics")
        threads = threading.active_count()
        for _ in range(20 * MAX_QUEUED_BYTES // len(line)):
            push.lines.put(line)
        wait_for(lambda: push.dropped()["metrics"] > 0, 20, "pushes that were given up")
        wait_for(lambda: "logs_push_failed" in events, 20, "a failed push of lines")
        assert len(push.lines) * len(line) <= MAX_QUEUED_BYTES
        assert push.dropped()["logs"] >= 18 * MAX_QUEUED_BYTES // len(line)
        assert threading.active_count() <= threads + 2
    finally:
        push.shutdown(0.2)
    assert sorted(events) == ["logs_push_failed", "metrics_push_failed"]
    wait_for(lambda: threading.active_count() <= before + 2, 30, "the threads of the push to end")


@pytest.mark.slow
@pytest.mark.parametrize("handle", [reset, babble, say_nothing, goaway])
def test_pushes_to_a_connection_that_is_no_collector(
    handle: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and logs fail apart, each logs it once, and the rest that waits is bounded."""
    with accepting(handle) as endpoint:
        check_pushes_lost(endpoint, "grpc", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [exhausted, bad_advice, long_reply])
def test_pushes_to_a_collector_that_does_not_take_them(
    answer: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full, with advice that cannot be read, and with a reply that would fill the memory."""
    with serving(answer) as endpoint:
        check_pushes_lost(endpoint, "grpc", monkeypatch)


def resident_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


@pytest.mark.slow
def test_a_collector_that_ends_each_connection_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library tried again by itself, without a pause: hundreds of MiB in seconds."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "4")
    with accepting(goaway) as endpoint:
        exporter = build_exporter(endpoint, "grpc")
        before = resident_mib()
        exporter.export([])
        grown = resident_mib() - before
        exporter.shutdown()
    assert grown < 64


@pytest.mark.slow
def test_the_head_of_a_reply_that_drips_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the whole does not: the push fails instead of waiting for hours."""
    with accepting(drip) as endpoint:
        check_pushes_lost(endpoint, "http", monkeypatch)


@pytest.mark.slow
def test_a_body_that_drips_is_not_waited_for() -> None:
    """The status counts, and the connection is given up."""
    with accepting(drip_body) as endpoint:
        taken: list[bytes] = []
        begun = time.monotonic()
        reply = BoundedSession(taken.append).request("POST", f"{endpoint}/v1/logs", data=b"x", timeout=0.5)
        assert time.monotonic() - begun < 60  # 200 s of bytes
        assert (reply.status_code, taken) == (200, [b""])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alt", "days", "known", "held"),
    [
        ("DNS:localhost", 1, True, True),  # the control
        ("DNS:localhost", 1, False, False),
        ("DNS:localhost", -1, True, False),
        ("DNS:elsewhere", 1, True, False),
    ],
)
def test_only_a_collector_with_a_valid_certificate_gets_spans(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, alt: str, days: int, *, known: bool, held: bool
) -> None:
    """Not one of an unknown authority, with another name, or out of date."""
    if known:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(authority.ca))
    certificate = authority.issue(f"collector{days}{alt[4:]}", alt, days=days)
    with serving(short_reply, certificate) as endpoint:
        if not held:
            check_all_lost(endpoint, monkeypatch)
            return
        tracer = open_tracer(endpoint=endpoint, protocol="grpc", delay_s=0.05)
        tracer.start("edge.batch").end()
        tracer.shutdown(30.0)
        assert tracer.dropped == 0


def test_the_end_of_an_export_is_by_a_monotonic_clock() -> None:
    """The SDK still looks at the clock by the name that is ours now; set back, it would wait for hours."""
    from opentelemetry.exporter.otlp.proto.grpc import exporter  # noqa: PLC0415 -- as above

    build_exporter("http://127.0.0.1:1", "grpc").shutdown()
    export: Any = exporter.OTLPExporterMixin._export
    assert "time" in export.__code__.co_names
    assert vars(exporter)["time"] is time.monotonic
