"""Metrics and log lines pushed over OTLP; OpenTelemetry is imported only if on."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from agent.observe.metrics import Metrics
from agent.observe.pausing import Pausing
from agent.observe.telemetry_settings import OtelSettings
from agent.observe.traces import opened, sdk_disabled

if TYPE_CHECKING:
    from agent.observe.otlp_push import Exporters

MAX_QUEUED_BYTES = 1 << 20  # of log lines
MAX_BATCH = 256  # lines
MAX_BATCH_BYTES = 256 << 10
DELAY_S = 5.0  # so long a log line may wait for company
Log = Callable[..., None]


class LineQueue:
    """Log lines that wait for the collector; beyond 1 MiB the oldest go, and are counted."""

    def __init__(self, *, max_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._max = max_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lock = threading.RLock()  # re-entrant for signal handlers
        self.dropped = 0

    def put(self, line: bytes) -> None:
        """Queue one JSON line."""
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line)
            while self._bytes > self._max:
                self._bytes -= len(self._lines.popleft())
                self.dropped += 1

    def take(self) -> list[bytes]:
        """Return the oldest lines that fit one export, and forget them."""
        taken: list[bytes] = []
        size = 0
        with self._lock:
            while self._lines and len(taken) < MAX_BATCH and size < MAX_BATCH_BYTES:
                line = self._lines.popleft()
                size += len(line)
                taken.append(line)
            self._bytes -= size
        return taken

    def __len__(self) -> int:
        return len(self._lines)


class Push:
    """Pushes from a thread for each signal: a slow collector holds up neither the agent nor the other.

    Args:
        exporters: Of the collector.
        metrics: Of the agent, None: they are not pushed.
        logs: Whether log lines are.
        interval_s: Between two pushes of the metrics.
        log: Called once per change of the collector's state.
        delay_s: How long log lines may wait for company.
    """

    def __init__(
        self,
        exporters: "Exporters",
        *,
        metrics: Metrics | None,
        logs: bool,
        interval_s: float,
        log: Log,
        delay_s: float = DELAY_S,
    ) -> None:
        self._exporters = exporters
        self._metrics = metrics
        self.lines = LineQueue() if logs else None
        self._pausing = {
            name: Pausing(event=f"{name}_push", log=log, refused=exporters.rejections[name].take)
            for name in ("metrics", "logs")
        }
        rounds = {"metrics": (self._push_metrics, interval_s), "logs": (self._push_lines, delay_s)}
        self._threads = [
            threading.Thread(target=self._run, args=(name, *rounds[name]), name=f"push-{name}", daemon=True)
            for name, wanted in (("metrics", metrics is not None), ("logs", logs))
            if wanted
        ]
        for thread in self._threads:
            thread.start()

    def dropped(self) -> Mapping[str, int]:
        """Return the log lines, and the pushes of metrics, that never reached the collector."""
        waiting = 0 if self.lines is None else self.lines.dropped
        return {"logs": self._pausing["logs"].lost + waiting, "metrics": self._pausing["metrics"].lost}

    def end(self) -> None:
        """Let each signal be pushed once more, and no more after that; waits for nothing."""
        for pausing in self._pausing.values():
            pausing.hurry()

    def shutdown(self, timeout_s: float) -> None:
        """Push the rest, for at most ``timeout_s``."""
        self.end()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, name: str, push: Callable[[Pausing], None], every_s: float) -> None:
        pausing = self._pausing[name]
        while not pausing.ending.wait(every_s):
            push(pausing)
        push(pausing)

    def _push_metrics(self, pausing: Pausing) -> None:
        metrics = self._metrics
        if metrics is not None:  # read at each attempt: the newest state counts
            pausing.run(lambda: self._exporters.send_metrics(metrics.registry.collect()), 1)

    def _push_lines(self, pausing: Pausing) -> None:
        for lines in self._batches():
            pausing.run(lambda lines=lines: self._exporters.send_lines(lines), len(lines))  # type: ignore[misc]
            if pausing.ending.is_set() and pausing.lost:
                return

    def _batches(self) -> Iterator[list[bytes]]:
        while self.lines is not None and (lines := self.lines.take()):
            yield lines


def open_push(
    settings: OtelSettings,
    *,
    metrics: Metrics,
    version: str,
    gateway: str,
    headers: Mapping[str, str],
    log: Log,
    delay_s: float = DELAY_S,
) -> Push | None:
    """Return the push of the configuration, None where it is off; ``OTEL_SDK_DISABLED`` turns it off too.

    Args:
        settings: Section ``otel``.
        metrics: Of the agent.
        version: Of the agent.
        gateway: Its id.
        headers: For the collector, over those of ``OTEL_EXPORTER_OTLP_HEADERS``.
        log: Called once per change of the collector's state.
        delay_s: How long log lines may wait for company.
    """
    exporters = open_exporters(settings, version=version, gateway=gateway, headers=headers, log=log)
    if exporters is None:
        return None
    return Push(
        exporters,
        metrics=metrics if settings.metrics else None,
        logs=settings.logs,
        interval_s=settings.interval_s,
        log=log,
        delay_s=delay_s,
    )


def open_exporters(
    settings: OtelSettings, *, version: str, gateway: str, headers: Mapping[str, str], log: Log
) -> "Exporters | None":
    """Return the exporters of a push; None where it is off, and where the SDK refuses, with a line."""
    endpoint = settings.endpoint
    if not (settings.metrics or settings.logs) or endpoint is None or sdk_disabled(os.environ):
        return None

    def make() -> "Exporters":
        from agent.observe.otlp_push import Exporters  # noqa: PLC0415 -- 4 to 12 MiB that off must not cost

        return Exporters(
            endpoint=endpoint, protocol=settings.protocol, headers=headers, version=version, gateway=gateway
        )

    return opened(make, "push_not_started", log)
