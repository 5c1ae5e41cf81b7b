"""The simulator's ``/metrics``: messages sent and acknowledged, connections."""

import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from simulator.outgoing import LinkStats

MAX_CLIENTS = 8
CLIENT_LIMIT_S = 5.0


class FleetCollector(Collector):
    """Reads the counters of a fleet when it is scraped, so that sending costs nothing more."""

    def __init__(self, *, stats: Callable[[], LinkStats], links: int, up: Callable[[], int]) -> None:
        self._stats, self._links, self._up = stats, links, up

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        counters = (
            ("sent", "Messages handed over for sending.", stats.published),
            ("acked", "Messages acknowledged (QoS 1) or written (QoS 0).", stats.acked),
            ("refused", "Messages acknowledged with an error, or too large for the broker.", stats.refused),
            ("dropped", "QoS 0 messages that found no connection.", stats.dropped),
        )
        for name, text, value in counters:
            yield CounterMetricFamily(f"edge_sim_messages_{name}", text, value=value)
        yield GaugeMetricFamily("edge_sim_messages_in_flight", "Sent, not answered yet.", value=stats.unacked)
        yield GaugeMetricFamily(
            "edge_sim_connections", "Connections that should be there.", value=self._links
        )
        yield GaugeMetricFamily("edge_sim_connections_up", "Connections that are there.", value=self._up())
        yield CounterMetricFamily(
            "edge_sim_disconnects", "Connections lost, or cut on purpose.", value=stats.disconnects
        )
        yield CounterMetricFamily(
            "edge_sim_reconnects", "Connections made again.", value=max(0, stats.connects - self._links)
        )


class Exposition:
    """A small HTTP server for ``/metrics``, at most 8 clients at once. Usable as a context manager."""

    def __init__(self, *, host: str, port: int, collector: Collector) -> None:
        """Bind at once.

        Raises:
            OSError: the address is taken or not ours.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        self._server = _Server((host, port), _handler(registry))
        self.url = f"http://{host}:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="edge-sim-metrics", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._places = threading.BoundedSemaphore(MAX_CLIENTS)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would ask the name service for our own name

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that left, or sent nothing for 5 s, is usual."""


def _handler(registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_LIMIT_S

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND, "only /metrics is here")
                return
            body = generate_latest(registry)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
            """Keep the terminal for the requested output."""

    return Handler
