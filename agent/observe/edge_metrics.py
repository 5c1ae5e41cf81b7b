"""The metrics of the path (``edge_*``, the budget), read at each scrape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agent.domain.records import DecodeReason, Kind, Trigger
from agent.observe.labels import OTHER, LabelBounds, label_text

MAX_DEVICES = 50
MAX_SOURCES = 16
MAX_QUEUES, MAX_LOOPS, MAX_DROP_REASONS = 6, 6, 6
DROP_REASONS = ("intake_full",)
SIGNALS = ("logs", "traces")
PERIODS = ("hour", "day", "month")

_SEEN = "edge_device_last_seen_timestamp_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSample:
    """The state of the path at one scrape. Counts are totals since the start of the process."""

    mqtt_connected: bool = False
    mqtt_reconnects: int = 0
    mqtt_received: Mapping[str, int] = field(default_factory=dict)  # configured subscription -> messages
    mqtt_redeliveries: int = 0
    mqtt_repeats_possible: int = 0
    mqtt_dropped: Mapping[str, int] = field(default_factory=dict)  # reason -> messages
    mqtt_publish_failures: int = 0
    mqtt_broker_dropped: int | None = None  # what the broker says it dropped; None where it cannot be read
    readings: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)  # DecodeReason -> messages
    windows: Mapping[str, int] = field(default_factory=dict)  # Trigger -> windows
    findings_open: Mapping[str, int] = field(default_factory=dict)  # Kind -> findings
    outbox_depth: int = 0
    devices: int = 0
    queues: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # queue -> depth, capacity
    #: device -> wall time of its last reading, learnt interval in seconds or None. Hand over all of them, or
    #: the most recent ones; at most 50 are shown, and a device once shown stays.
    device_times: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    heartbeats: Mapping[str, float] = field(default_factory=dict)  # loop -> wall time of its last turn
    telemetry_dropped: Mapping[str, int] = field(default_factory=dict)  # logs | traces -> lines, spans
    journal_bytes: int = 0
    #: hour | day | month -> limit, spent, reserved (USD).
    budget: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


class EdgeMetrics:
    """A collector over ``read``; it keeps nothing but which devices are shown."""

    def __init__(
        self, *, read: Callable[[], EdgeSample], bounds: LabelBounds, sources: Sequence[str] = ()
    ) -> None:
        self.read = read
        self._bounds = bounds
        self._sources = tuple(label_text(source) for source in sources)[: MAX_SOURCES - 1]
        self._shown: dict[str, None] = {}

    def describe(self) -> Iterable[Metric]:
        """Return nothing: a registration must not read the path."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Read one sample and give its families."""
        sample = self.read()
        yield from self._link(sample)
        yield from self._path(sample)
        yield from self._process(sample)
        yield from self._devices(sample)
        # Last, because the families above may still overflow.
        yield _counter(
            "edge_label_overflow_total",
            "Label values that did not fit their bound, by metric.",
            "metric",
            {**dict.fromkeys(("ai_api_calls_total", _SEEN), 0), **self._bounds.overflow},
        )

    def _link(self, sample: EdgeSample) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "edge_mqtt_connected", "1 while connected to the broker.", sample.mqtt_connected
        )
        yield CounterMetricFamily(
            "edge_mqtt_reconnects_total", "Connections after the first.", sample.mqtt_reconnects
        )
        yield self._labelled(
            "edge_mqtt_messages_received_total",
            "Messages by the configured subscription that they came by.",
            "source",
            sample.mqtt_received,
            self._sources,
            MAX_SOURCES,
        )
        yield CounterMetricFamily(
            "edge_mqtt_redeliveries_total",
            "Messages sent again, recognised and not journaled again.",
            sample.mqtt_redeliveries,
        )
        yield CounterMetricFamily(
            "edge_mqtt_repeats_possible_total",
            "Messages with DUP=1 journaled as new: each may be a duplicate.",
            sample.mqtt_repeats_possible,
        )
        yield self._labelled(
            "edge_mqtt_messages_dropped_total",
            "Messages dropped unacknowledged; the broker sends them again.",
            "reason",
            sample.mqtt_dropped,
            DROP_REASONS,
            MAX_DROP_REASONS,
        )
        yield CounterMetricFamily(
            "edge_mqtt_publish_failures_total",
            "Publishes that the broker refused.",
            sample.mqtt_publish_failures,
        )
        if sample.mqtt_broker_dropped is not None:
            yield CounterMetricFamily(
                "edge_mqtt_broker_dropped_total",
                "Messages that the broker says it dropped, for all its clients.",
                sample.mqtt_broker_dropped,
            )

    def _path(self, sample: EdgeSample) -> Iterable[Metric]:
        yield CounterMetricFamily("edge_readings_total", "Readings journaled.", sample.readings)
        yield _counter(
            "edge_quarantined_total",
            "Messages that no reading could be made of.",
            "reason",
            {reason.value: sample.quarantined.get(reason, 0) for reason in DecodeReason},
        )
        yield _counter(
            "edge_windows_total",
            "Windows sealed.",
            "trigger",
            {trigger.value: sample.windows.get(trigger, 0) for trigger in Trigger},
        )
        findings = GaugeMetricFamily("edge_findings_open", "Findings that are open.", labels=("kind",))
        for kind in Kind:
            if kind is not Kind.NONE:
                findings.add_metric((kind.value,), sample.findings_open.get(kind, 0))
        yield findings
        yield GaugeMetricFamily(
            "edge_outbox_depth", "Messages that the broker has not acknowledged.", sample.outbox_depth
        )
        yield GaugeMetricFamily("edge_devices", "Devices known.", sample.devices)

    def _process(self, sample: EdgeSample) -> Iterable[Metric]:
        depth = GaugeMetricFamily("edge_queue_depth", "Items or bytes in a queue.", labels=("queue",))
        room = GaugeMetricFamily(
            "edge_queue_capacity", "Items or bytes that a queue may hold.", labels=("queue",)
        )
        for name, (used, capacity) in list(sample.queues.items())[:MAX_QUEUES]:
            depth.add_metric((name,), used)
            room.add_metric((name,), capacity)
        yield depth
        yield room
        beats = GaugeMetricFamily(
            "edge_heartbeat_timestamp_seconds", "When each loop last made a turn.", labels=("loop",)
        )
        for name, at in list(sample.heartbeats.items())[:MAX_LOOPS]:
            beats.add_metric((name,), at)
        yield beats
        yield _counter(
            "edge_telemetry_dropped_total",
            "Log lines and spans that were lost.",
            "signal",
            {signal: sample.telemetry_dropped.get(signal, 0) for signal in SIGNALS},
        )
        yield GaugeMetricFamily("edge_journal_bytes", "Bytes used by the journal.", sample.journal_bytes)
        yield from self._budget(sample)

    def _budget(self, sample: EdgeSample) -> Iterable[Metric]:
        words = (
            ("ai_budget_limit_usd", "Cap of the period, USD."),
            ("ai_budget_spent_usd", "Spent in the running period, USD."),
            ("ai_budget_reserved_usd", "Reserved by calls in flight, USD."),
        )
        for place, (name, text) in enumerate(words):
            family = GaugeMetricFamily(name, text, labels=("window",))
            for period in PERIODS:
                family.add_metric((period,), sample.budget.get(period, (0.0, 0.0, 0.0))[place])
            yield family

    def _devices(self, sample: EdgeSample) -> Iterable[Metric]:
        times = sample.device_times
        self._shown = {device: None for device in self._shown if device in times}
        for device in times:
            if len(self._shown) >= MAX_DEVICES:
                break
            self._shown[device] = None
        self._bounds.raise_to(_SEEN, max(len(times), sample.devices) - len(self._shown))
        seen = GaugeMetricFamily(
            _SEEN, "When a device was last heard of; at most 50 devices.", labels=("device",)
        )
        usual = GaugeMetricFamily(
            "edge_device_expected_interval_seconds",
            "Learnt time between the readings of a device; at most 50 devices.",
            labels=("device",),
        )
        for device in self._shown:
            last, interval = times[device]
            name = label_text(device)
            seen.add_metric((name,), last)
            if interval is not None:
                usual.add_metric((name,), interval)
        yield seen
        yield usual

    def _labelled(
        self, name: str, text: str, label: str, counts: Mapping[str, int], allowed: Sequence[str], most: int
    ) -> Metric:
        totals = dict.fromkeys(allowed, 0)
        lost = 0
        for value, count in counts.items():
            fit = label_text(value)
            if fit not in totals and len(totals) >= most - 1:
                fit = OTHER
                lost += 1
            totals[fit] = totals.get(fit, 0) + count
        if lost:
            self._bounds.raise_to(name, lost)
        return _counter(name, text, label, totals)


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family
