"""How spans reach a collector that may be down: losses counted, growing pauses, one word per change."""

import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)

from agent.domain.fault import fault_words

MAX_QUEUE = 256
EXPORT_TIMEOUT_S = 3.0
_FIRST_PAUSE_S = 5.0
_MAX_PAUSE_S = 300.0


def build_exporter(endpoint: str | None, protocol: str) -> SpanExporter:
    """Return the SDK's exporter for ``protocol``; headers come from ``OTEL_EXPORTER_OTLP_HEADERS``."""
    if protocol == "console":
        # stdout belongs to the logs.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 -- 16 MiB on top
            OTLPSpanExporter as GrpcExporter,
        )

        plain = urlsplit(endpoint or "").scheme != "https"
        return GrpcExporter(endpoint=endpoint, insecure=plain, timeout=EXPORT_TIMEOUT_S)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 -- not with console or grpc
        OTLPSpanExporter as HttpExporter,
    )

    url = endpoint or ""
    if urlsplit(url).path in {"", "/"}:
        url = f"{url.rstrip('/')}/v1/traces"
    return HttpExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)


class PausingExporter(SpanExporter):
    """Counts what is lost and leaves a collector that is down alone, 5 s at first and up to 5 min."""

    def __init__(
        self,
        *,
        inner: SpanExporter,
        log: Callable[..., None],
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._log = log
        self._mono = mono
        self._failures = 0
        self._until = 0.0
        self.lost = 0
        self.delivered = 0
        self.taken = 0  # spans that left the queue

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``; raises nothing."""
        self.taken += len(spans)
        if self._mono() < self._until:
            self.lost += len(spans)
            return SpanExportResult.FAILURE
        raised = None
        try:
            result = self._inner.export(spans)
        except Exception as error:  # noqa: BLE001 -- whatever the exporter's libraries raise: it is reported
            result, raised = SpanExportResult.FAILURE, fault_words(error)
        if result is SpanExportResult.SUCCESS:
            self.delivered += len(spans)
            if self._failures:
                self._failures = 0
                self._log("trace_export_recovered", lost=self.lost)
        else:
            self._failed(len(spans), raised)
        return result

    def _failed(self, count: int, raised: str | None) -> None:
        self.lost += count
        self._failures += 1
        pause = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 10))
        self._until = self._mono() + pause * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter
        if self._failures == 1:
            about = {} if raised is None else {"error": raised}
            self._log("trace_export_failed", level="warning", pause_s=pause, **about)

    def shutdown(self) -> None:
        self._inner.shutdown()


class BoundedProcessor(SpanProcessor):
    """Lets at most 256 ended spans wait: the SDK's own queue drops without a count."""

    def __init__(self, *, exporter: PausingExporter, delay_s: float) -> None:
        self._exporter = exporter
        self._inner = BatchSpanProcessor(
            exporter,
            max_queue_size=MAX_QUEUE,
            schedule_delay_millis=delay_s * 1000.0,
            max_export_batch_size=MAX_QUEUE // 2,
        )
        self._lock = threading.Lock()
        self.given = 0
        self.overflowed = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue ``span``, or drop and count it."""
        with self._lock:
            if self.waiting >= MAX_QUEUE:
                self.overflowed += 1
                return
            self.given += 1
        self._inner.on_end(span)

    @property
    def waiting(self) -> int:
        """Spans in the queue."""
        return self.given - self._exporter.taken

    def shutdown(self) -> None:
        self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)
