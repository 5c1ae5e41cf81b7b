"""All metrics of the agent, one row each.

Exposition, reference page and dashboard follow from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.decode.family import Skip
from agent.detect import DetectStats
from agent.domain.model_calls import BreakerState, BudgetWindow, ErrorType
from agent.domain.records import DecodeReason, Finding, Kind, Severity, Source, Status, Trigger
from agent.journal import JournalStats
from agent.journal.source_tally import INTENDED, MAIN_OUTCOMES, OUTCOMES, total
from agent.mqtt import LinkStats

OTHER = "other"
#: The budget is not used up, one device's part of it is: no verdict's reason, and no alert.
SHARE = "device_share"
LABEL_OVERFLOW = "edge_label_overflow_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSnapshot:
    """The state of the path at one scrape. Counts are totals since the start of the process."""

    link: LinkStats = field(default_factory=LinkStats)
    journal: JournalStats = field(default_factory=JournalStats)
    detect: DetectStats = field(default_factory=DetectStats)
    connected: bool = False
    windows: Mapping[str, int] = field(default_factory=dict)  # Trigger -> windows
    findings: Sequence[Finding] = ()  # that are open
    alarming: Sequence[Finding] = ()  # of these, those of which people want notice, worst first
    sources_quiet: Mapping[str, bool] = field(default_factory=dict)  # of the sources that have sent
    incidents_open: Mapping[str, int] = field(default_factory=dict)  # Severity -> incidents
    outbox_depth: int = 0
    devices: int = 0
    unreadable: int = 0  # devices
    queues: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # queue -> depth, capacity
    #: device -> wall time of its last reading, learnt interval in seconds or None: of all of them, or of the
    #: most recent ones.
    device_times: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    heartbeats: Mapping[str, float] = field(default_factory=dict)  # loop -> wall time of its last turn
    telemetry_dropped: Mapping[str, int] = field(default_factory=dict)  # by signal
    #: hour | day | month -> limit, spent, reserved (USD).
    budget: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    posts_refused: Mapping[str, int] = field(default_factory=dict)  # before the journal, by reason
    notices: Mapping[tuple[str, ...], int] = field(default_factory=dict)  # sink and outcome -> notices
    notices_failing: Mapping[str, float | None] = field(default_factory=dict)  # sink -> since (Unix seconds)
    notices_lost: Mapping[str, int] = field(default_factory=dict)  # sink -> of the last two days
    label_overflow: Mapping[str, int] = field(default_factory=dict)  # metric -> label values


#: A number, numbers by one label value, by source and another one, or by all label values; None where the
#: metric is not to be shown.
Values = float | Mapping[str, float] | Mapping[str, Mapping[str, float]] | Mapping[tuple[str, ...], float]
Read = Callable[[PathSnapshot], Values | None]


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its values.

    Args:
        name: Name of the label.
        values: The values that exist from the start; all of them, unless there is a ``most``.
        most: How many values the label may take, ``other`` among them.
        first: Next to a source, how many of the values each source has; the source `other` has the rest.
    """

    name: str
    values: tuple[str, ...] = ()
    most: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        name: As exposed; a counter ends in ``_total``.
        kind: Its type.
        help: One sentence, exposed and on the reference page.
        labels: Its labels.
        note: A further sentence for the reference page.
        read: Takes the value at a scrape; without it the metric is counted where things happen.
        buckets: Of a histogram.
        panel: Title of a panel of its own on the dashboard; other panels are in `configs/grafana`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[Label, ...] = ()
    note: str = ""
    read: Read | None = None
    buckets: tuple[float, ...] = ()
    panel: str = ""

    def __post_init__(self) -> None:
        if not self.help.endswith("."):
            raise ValueError(f"{self.name}: help is a sentence with its full stop")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter ends in _total, and nothing else does")


def counter(
    name: str, text: str, *labels: Label, note: str = "", read: Read | None = None, panel: str = ""
) -> Metric:
    """Return a row for a counter."""
    return Metric(name, "counter", text, labels, note=note, read=read, panel=panel)


def gauge(
    name: str, text: str, *labels: Label, note: str = "", read: Read | None = None, panel: str = ""
) -> Metric:
    """Return a row for a gauge."""
    return Metric(name, "gauge", text, labels, note=note, read=read, panel=panel)


def histogram(name: str, text: str, *labels: Label, buckets: tuple[float, ...], note: str = "") -> Metric:
    """Return a row for a histogram."""
    return Metric(name, "histogram", text, labels, note=note, buckets=buckets)


MODEL = Label("model", most=4)
PROVIDER = Label("provider", most=2)
CALL = (MODEL, PROVIDER)
CATEGORY = Label("category", ("refusal", "content_filter", "injection_suspected"), most=16)
#: The same for all calls and for the failed ones, so that one can be subtracted from the other.
CALL_SECONDS = tuple(round(0.64 * 2**place, 2) for place in range(8))
MOST_FLAGS = 12  # pairs of a model and a category; each model has `other` in addition
DEVICE = Label("device", most=50)
SOURCE = Label("source", most=16)
#: Groups of `Skip`, the first two for each source; the page and `doctor` have the exact reasons.
SKIPPED = Label("reason", ("text", "unusable", "intended"), first=2)
DIRECTION = Label("direction", ("input", "output"))
ERROR_TYPE = Label("error_type", tuple(ErrorType))
#: The types that are ever retried; the rest ends the call.
RETRIED_TYPE = Label(
    "error_type",
    (
        ErrorType.TIMEOUT, ErrorType.CONNECTION, ErrorType.RATE_LIMITED, ErrorType.BAD_REQUEST,
        ErrorType.SERVER_ERROR, ErrorType.MALFORMED_RESPONSE, ErrorType.OTHER,
    ),
)  # fmt: skip
#: The types that a model without labels of its own has: those that alerts ask for, the rest is `other`.
COARSE = {
    ERROR_TYPE: (ErrorType.QUOTA, ErrorType.AUTH, ErrorType.INTERNAL, ErrorType.OTHER),
    RETRIED_TYPE: (ErrorType.OTHER,),
}
SUPPRESSED = Label(
    "reason",
    (
        "not_suspicious", "review_off", "no_endpoint", "open_finding", "cooldown",
        "cached", "budget", "breaker", "shutdown", SHARE,
    ),
)  # fmt: skip
STATUS = Label("status", tuple(Status))
INJECTION_RULE = Label("rule", ("instruction", "role_marker", "control_chars", "oversize"))
SINK = Label("sink", most=4)
PERIOD = Label("window", tuple(BudgetWindow))
QUEUE = Label("queue", ("intake_bytes", "analyst_rows"))
LOOP = Label("loop", ("net", "journal", "analyst"))
LAST_SEEN = "edge_device_last_seen_timestamp_seconds"
INTERVAL = "edge_device_expected_interval_seconds"
OPENED = "edge_finding_open_timestamp_seconds"
KIND = Label("kind", tuple(kind for kind in Kind if kind is not Kind.NONE))
SEVERITY = Label("severity", (Severity.WARNING, Severity.CRITICAL))


def _group(skipped: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of :class:`Skip` by the values of :data:`SKIPPED`."""
    counts = dict.fromkeys(SKIPPED.values, 0)
    for why, count in skipped.items():
        text = "text" if why in {Skip.TEXT, Skip.UNMAPPED} else "unusable"
        counts["intended" if why in INTENDED else text] += count
    return counts


def _count_findings(now: PathSnapshot) -> dict[tuple[str, ...], float]:
    counts: dict[tuple[str, ...], float] = {}
    for one in now.findings:
        key = (str(one.alarm), str(one.severity))
        counts[key] = counts.get(key, 0) + 1
    return counts


def _opened(now: PathSnapshot) -> dict[tuple[str, ...], float]:
    return {(one.device, str(one.alarm), str(one.severity)): one.opened for one in now.alarming}


METRICS = (
    # ---------------------------------------------------------------------------- calls of the model
    counter(
        "ai_api_calls_total",
        "AI calls; retries belong to their call.",
        *CALL,
        Label("status", ("success", "failure")),
    ),
    histogram(
        "ai_api_call_duration_seconds",
        "Duration of an AI call with its retries.",
        *CALL,
        buckets=CALL_SECONDS,
    ),
    histogram(
        "ai_api_failed_call_duration_seconds",
        "Duration of the AI calls that failed, of all models together.",
        note="The rest of `ai_api_call_duration_seconds` is the duration of the successful ones.",
        buckets=CALL_SECONDS,
    ),
    counter(
        "ai_tokens_processed_total",
        "Tokens; input holds the cached ones, output those of reasoning.",
        *CALL,
        DIRECTION,
    ),
    counter("ai_estimated_cost_usd_total", "Cost of AI calls by the configured prices, USD.", *CALL),
    counter("ai_validation_failures_total", "Replies not of the asked form after local repair.", MODEL),
    counter(
        "ai_content_safety_flags_total",
        "Refusals, content filters and moderation flags.",
        MODEL,
        CATEGORY,
        note="Suspected injections too.",
    ),
    gauge("ai_active_conversations", "AI calls in flight."),
    counter(
        "ai_api_errors_total",
        "Failed AI calls by cause.",
        *CALL,
        ERROR_TYPE,
        note="`internal` is a fault of the agent itself, in its telemetry too.",
    ),
    counter("ai_api_retries_total", "Failed attempts that were retried.", *CALL, RETRIED_TYPE),
    counter(
        "ai_cached_input_tokens_total", "Input tokens from the provider's cache, part of the input.", *CALL
    ),
    counter("ai_reasoning_tokens_total", "Output tokens spent on reasoning, part of the output.", *CALL),
    counter(
        "ai_tokens_estimated_total",
        "Tokens that we estimated: no usage was given, or one that cannot be.",
        *CALL,
        DIRECTION,
        note="The log event `ai_usage_not_believed` names a usage that cannot be true.",
    ),
    counter(
        "ai_cost_assumed_usd_total",
        "Part of the cost that was assumed: reservations kept, because no usage was reported, USD.",
        *CALL,
    ),
    counter("ai_cost_unpriced_calls_total", "Calls to a model without a price, at the dearest one.", *CALL),
    counter(
        "ai_calls_suppressed_total",
        "Windows that no AI call was made for.",
        SUPPRESSED,
        note="`device_share` is one device's own share of the money, `budget` the budget.",
    ),
    counter(
        "ai_cache_requests_total", "Look-ups in the answer cache.", Label("result", ("hit", "miss", "bypass"))
    ),
    gauge(
        "ai_budget_limit_usd",
        "Cap of the period, USD.",
        PERIOD,
        read=lambda now: {name: money[0] for name, money in now.budget.items()},
    ),
    gauge(
        "ai_budget_spent_usd",
        "Spent in the running period, USD.",
        PERIOD,
        read=lambda now: {name: money[1] for name, money in now.budget.items()},
    ),
    gauge(
        "ai_budget_reserved_usd",
        "Reserved by calls in flight, USD.",
        PERIOD,
        read=lambda now: {name: money[2] for name, money in now.budget.items()},
    ),
    gauge("ai_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", PROVIDER),
    counter(
        "ai_breaker_transitions_total",
        "Changes of the circuit breaker.",
        PROVIDER,
        Label("to", tuple(BreakerState)),
    ),
    # ------------------------------------------------------------------------- answers and verdicts
    counter(
        "ai_grounding_checks_total",
        "Answers whose claims were looked up.",
        Label("result", ("grounded", "ungrounded", "skipped")),
    ),
    counter("ai_repairs_total", "Replies whose text needed repair.", Label("result", ("ok", "failed"))),
    counter(
        "ai_verdicts_total", "Verdicts by whose opinion they are.", STATUS, Label("source", tuple(Source))
    ),
    counter(
        "ai_disagreements_total",
        "Windows whose anomaly only one side saw.",
        Label("kind", ("ai_only", "local_only")),
    ),
    counter(
        "ai_verdict_feedback_total",
        "Feedback of people on verdicts.",
        STATUS,
        Label("outcome", ("confirmed", "false_alarm")),
    ),
    counter(
        "edge_commands_total",
        "Commands of people, messages among them that are not one.",
        Label("outcome", ("accepted", "refused")),
        note="Over MQTT and HTTP; a post without the right token, origin or signature is `refused`.",
    ),
    counter("ai_injection_suspected_total", "Payload texts that look like instructions.", INJECTION_RULE),
    gauge(
        "ai_prompt_info",
        "The prompt in use.",
        Label("name"),
        Label("version"),
        Label("hash"),
        note="The value is 1.",
    ),
    # -------------------------------------------------------------------------------------- the path
    gauge(
        "edge_build_info",
        "Version of the agent and of Python.",
        Label("version"),
        Label("python"),
        note="The value is 1.",
    ),
    gauge("edge_mqtt_connected", "1 while connected to the broker.", read=lambda now: now.connected),
    counter(
        "edge_mqtt_reconnects_total", "Connections after the first.", read=lambda now: now.link.reconnects
    ),
    counter(
        "edge_mqtt_messages_received_total",
        "Messages by source; use edge_messages_total, this one goes with the next release.",
        SOURCE,
        read=lambda now: {
            source: total(tally.messages) for source, tally in list(now.journal.sources.items()) if source
        },
    ),
    counter(
        "edge_messages_total",
        "Messages by source and by outcome.",
        SOURCE,
        Label("outcome", OUTCOMES, first=MAIN_OUTCOMES),
        note="The source `other` holds the messages of no source and every message that holds no value by"
        " intent, such as an availability message.",
        read=lambda now: {
            source or OTHER: tally.messages for source, tally in list(now.journal.sources.items())
        },
    ),
    counter(
        "edge_values_skipped_total",
        "Values that became no reading, by source and reason.",
        SOURCE,
        SKIPPED,
        note="At most 16 of a message are counted. `text` needs a number under `metrics.values`, `intended`"
        " needs nothing and is counted under the source `other`; the page and `doctor` have the exact"
        " reasons.",
        read=lambda now: {
            source or OTHER: _group(dict(tally.skipped))
            for source, tally in list(now.journal.sources.items())
        },
    ),
    counter(
        "edge_mqtt_redeliveries_total",
        "Messages sent again, recognised and not journaled again.",
        read=lambda now: now.journal.redelivered,
    ),
    counter(
        "edge_mqtt_repeats_possible_total",
        "Messages with DUP=1 journaled as new: each may be a duplicate.",
        read=lambda now: now.journal.repeats_possible,
    ),
    counter(
        "edge_posts_refused_total",
        "Readings over HTTP that were refused before the journal.",
        Label("reason", ("request", "rate", "busy")),
        note="`request`: not a readings message; `rate`: above `web.intake_per_min`; `busy`: the journal"
        " takes no more. Refusals by the journal are outcomes of edge_messages_total; edge_commands_total has"
        " the commands.",
        read=lambda now: now.posts_refused,
    ),
    counter(
        "edge_mqtt_messages_dropped_total",
        "Messages dropped unacknowledged; the broker sends them again.",
        Label("reason", ("intake_full", "stopping", "qos2", "announcement")),
        read=lambda now: now.link.dropped,
    ),
    counter(
        "edge_mqtt_publish_failures_total",
        "Publishes that the broker refused.",
        read=lambda now: now.link.publish_refused,
    ),
    counter(
        "edge_mqtt_broker_dropped_total",
        "Messages that the broker dropped for all its clients, by its own count.",
        note="Absent where it cannot be read, and until it changes where it had not changed for a minute"
        " when the agent connected.",
        read=lambda now: now.link.broker_drops.total,
    ),
    counter(
        "edge_mqtt_takeovers_total",
        "Pauses because another client uses the same client id.",
        read=lambda now: now.link.takeovers,
        panel="Client id taken over",
    ),
    counter("edge_readings_total", "Readings journaled.", read=lambda now: now.journal.readings),
    counter(
        "edge_quarantined_total",
        "Messages that no reading could be made of.",
        Label("reason", tuple(DecodeReason)),
        read=lambda now: now.journal.quarantined,
    ),
    counter(
        "edge_windows_total",
        "Windows sealed.",
        Label("trigger", tuple(one for one in Trigger if one is not Trigger.DRAIN)),
        read=lambda now: now.windows,
    ),
    gauge(
        "edge_findings_open",
        "Findings that are open, by kind and severity.",
        KIND,
        SEVERITY,
        read=_count_findings,
    ),
    gauge(
        OPENED,
        "When an open finding was opened; at most 50 findings, the worst and newest.",
        DEVICE,
        KIND,
        SEVERITY,
        note="Without those that are acknowledged, snoozed or under maintenance; edge_findings_open counts"
        " all.",
        read=_opened,
    ),
    gauge(
        "edge_source_quiet",
        "1 while a source has sent nothing for longer than it usually does, 0 otherwise.",
        SOURCE,
        note="Learnt from the messages that came while connected, and kept over a restart.",
        read=lambda now: now.sources_quiet,
    ),
    gauge(
        "edge_all_sources_quiet",
        "1 while no source has sent anything for longer than usual, 0 otherwise.",
        read=lambda now: bool(now.sources_quiet) and all(now.sources_quiet.values()),
    ),
    gauge(
        "edge_incidents_open",
        "Incidents that are open: findings with one cause, by the highest severity of these.",
        SEVERITY,
        read=lambda now: now.incidents_open,
    ),
    histogram(
        "edge_reading_to_verdict_seconds",
        "From a window's last reading to its committed verdict.",
        buckets=(1, 2, 5, 10, 30, 60, 120, 300, 900),
    ),
    gauge(
        "edge_outbox_depth",
        "Messages that the broker has not acknowledged.",
        read=lambda now: now.outbox_depth,
    ),
    counter(
        "edge_notices_total",
        "Attempts to deliver notices to people, by sink and outcome.",
        SINK,
        Label("outcome", ("delivered", "retried", "refused", "folded", "given_up")),
        note="`retried`: the receiver could not be reached or was busy; `refused`: it rejects the notice;"
        " `folded`: into the summary of an hour; `given_up`: more than 10,000 waited. Those that failed for"
        " 24 h are in the status.",
        read=lambda now: now.notices,
    ),
    gauge(
        "edge_notices_failing",
        "1 while a notice that waits has failed before, 0 otherwise.",
        SINK,
        read=lambda now: {sink: since is not None for sink, since in now.notices_failing.items()},
    ),
    gauge(
        "edge_notices_lost",
        "Notices that failed first within the last two days and are given up.",
        SINK,
        read=lambda now: now.notices_lost,
    ),
    gauge("edge_devices", "Devices known.", read=lambda now: now.devices),
    gauge(
        "edge_devices_unreadable",
        "Devices that send messages in which nothing can be read.",
        read=lambda now: now.unreadable,
    ),
    # ----------------------------------------------------------------------------------- the process
    gauge(
        "edge_queue_depth",
        "Items or bytes in a queue.",
        QUEUE,
        read=lambda now: {queue: used for queue, (used, _) in now.queues.items()},
    ),
    gauge(
        "edge_queue_capacity",
        "Items or bytes that a queue may hold.",
        QUEUE,
        read=lambda now: {queue: most for queue, (_, most) in now.queues.items()},
    ),
    gauge(
        "edge_heartbeat_timestamp_seconds",
        "When each loop last made a turn.",
        LOOP,
        read=lambda now: now.heartbeats,
    ),
    counter(
        "edge_telemetry_dropped_total",
        "Log lines, spans and pushes of metrics that were lost.",
        Label("signal", ("logs", "traces", "metrics")),
        note="`logs` counts those that stdout did not take and those that the collector did not.",
        read=lambda now: now.telemetry_dropped,
    ),
    gauge("edge_journal_bytes", "Bytes used by the journal.", read=lambda now: now.journal.bytes_used),
    counter(
        "edge_journal_commit_failures_total",
        "Commits that the disk refused; they are tried again, and nothing is acknowledged before.",
        read=lambda now: now.journal.commit_failures,
        panel="Commits that failed",
    ),
    counter(
        "edge_journal_pruned_early_total",
        "Verdicts, calls and quarantined messages removed before journal.keep_days, for lack of room.",
        read=lambda now: now.journal.pruned_early,
        panel="Removed for lack of room",
    ),
    counter(
        "edge_series_evicted_total",
        "Series forgotten because too many are known; each is learnt again when it returns.",
        read=lambda now: now.detect.evicted,
        panel="Series forgotten",
    ),
    gauge(
        LAST_SEEN,
        "Time of the last reading of a device; at most 50 devices.",
        DEVICE,
        read=lambda now: {device: last for device, (last, _) in now.device_times.items()},
    ),
    gauge(
        INTERVAL,
        "Learnt time between the readings of a device; at most 50 devices, one less for each finding shown.",
        DEVICE,
        read=lambda now: {
            device: every for device, (_, every) in now.device_times.items() if every is not None
        },
    ),
    # Last, because the metrics above may still overflow.
    counter(
        LABEL_OVERFLOW,
        "Label values that did not fit their bound, by metric.",
        Label("metric"),
        read=lambda now: now.label_overflow,
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}
if len(BY_NAME) < len(METRICS):
    raise ValueError("two metrics have one name")
