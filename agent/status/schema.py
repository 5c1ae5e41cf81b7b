"""Shape of the status object, as in `status.schema.json`."""

from typing import Literal, TypedDict

MAX_DEVICES = 50
MAX_VERDICTS = 20
MAX_OF_INCIDENT = 6  # findings that are shown of one
MAX_NAMED = 12  # devices of an incident
MAX_ACTED = 50  # broken limits of an incident that one press acknowledges
MAX_QUARANTINE = 10
MAX_SOURCES = 50
MAX_RECENT_VALUES = 30

State = Literal["ok", "degraded", "down"]
#: Whether the model has answered since the start or the last reload; failing: the last three calls failed.
Answering = Literal["not_asked", "yes", "failing", "never"]


class Broker(TypedDict):
    """The link to the broker."""

    connected: bool
    subscribed: bool
    address: str  # host:port
    protocol: str | None  # "5" or "3.1.1"
    since: str | None  # of the connection, or of its loss
    session_present: bool | None
    reconnects: int
    refused: list[str]  # filters that the broker did not grant
    downgraded: list[str]  # filters granted at a lower QoS than asked for
    stalled: bool  # intake is full: messages stay with the broker
    silent_until: str | None  # another client uses our client id
    dropped_by_broker: int | None  # for all its clients, as it reports; null where it cannot be read
    last_error: str | None


class PartitionStatus(TypedDict):
    """One of several agents on a broker."""

    index: int
    of: int
    standby: bool
    phase: str  # away | following | claiming | holding | yielding
    epoch: int | None  # that is published in; null while the other agent of the partition publishes
    highest_epoch: int  # that is known
    others: int  # messages of other partitions, acknowledged and not kept
    waiting: int  # windows without a verdict
    superseded: int  # verdicts that were not published, because the other agent's cover them
    given_up: int  # windows concluded without a message, because too many waited


class Journal(TypedDict):
    """The disk."""

    writable: bool
    seq: int  # last row
    used_bytes: int
    max_bytes: int
    outbox_depth: int
    undeliverable: int
    written_bytes_per_day: int | None  # to the storage, at the pace since the start; null in the first minute


class Money(TypedDict):
    """One budget period, USD."""

    limit_usd: float
    spent_usd: float
    reserved_usd: float
    state: Literal["ok", "soft", "hard"]


class Budget(TypedDict):
    """The three periods."""

    hour: Money
    day: Money
    month: Money


class Ai(TypedDict):
    """The model."""

    mode: str  # suspicious | all | none
    endpoint: str | None  # host, or null without one
    model: str | None
    provider: str | None
    prompt_version: str | None
    breaker: Literal["closed", "half_open", "open"]
    in_flight: int
    calls: int
    answering: Answering
    budget: Budget
    last_error: str | None
    paused_until: str | None  # by a person


class VerdictCounts(TypedDict):
    """Verdicts by source since the start."""

    ai: int
    cache: int
    local: int


class Counters(TypedDict):
    """Totals since the start of the process; findings, devices, series and learning are as of now."""

    messages: int
    readings: int
    windows: int
    verdicts: VerdictCounts
    questions: dict[str, int]  # batches of windows for the model, by purpose
    findings_open: int
    incidents_open: int
    critical_open: int  # of the findings, critical ones that nobody has acknowledged or snoozed
    warning_open: int  # the same of the others
    devices: int
    series: int
    learning: int  # of these, not judged yet
    unreadable: int  # devices that are received, but of which nothing can be read
    unmatched: int  # messages whose topic no source has
    quarantined: int
    dropped: int
    duplicates: int


class LearningView(TypedDict):
    """How many readings were seen of those that are needed before a series is judged."""

    seen: int
    needed: int


class SeriesLearning(LearningView):
    """The same, with its end."""

    until: str | None  # at its pace so far


class VerdictLearning(SeriesLearning):
    """The least learnt series of a verdict's window."""

    metric: str


class MetricLabel(TypedDict):
    """Names and class of one series."""

    name: str
    word: str | None  # what the name means, of listed words: temperature; null where it is not known
    diagnostic: bool  # of the device itself: shown, not judged


class MetricView(MetricLabel):
    """One series."""

    value: float | None
    unit: str | None
    said: str | None  # value and unit as sent, where they were converted, or the word behind the number
    usual: list[float] | None  # low, high
    learning: SeriesLearning | None  # until it can be judged
    recent: list[float]  # at most 30, oldest first


class EvidenceView(TypedDict):
    """A cited reading."""

    reading: str
    metric: str
    at: str
    value: float
    expected: list[float | None] | None


class ModelView(TypedDict):
    """The last answer of the model about a finding."""

    model: str | None
    said: str
    grounded: bool | None  # its claims hold
    cost_usd: float | None
    at: str
    verdict_id: str


class FindingView(TypedDict):
    """An open finding."""

    id: str
    device: str
    kind: str
    severity: str
    opened_at: str
    verdicts: int
    state: str  # open | acknowledged | snoozed
    until: str | None  # the end of a snooze
    maintenance: bool  # its device is under maintenance: nobody is notified
    incident_id: str | None
    summary: str  # of its last verdict that was an anomaly
    advice: str | None
    evidence: list[EvidenceView]
    verdict_id: str | None  # of that last verdict
    reason: str | None  # of that verdict: whether the model was asked, and if not, why
    metric: MetricView | None  # the first series that it cites, as it is now
    model: ModelView | None  # null: it has not answered
    can: list[str]  # commands that would not be refused: ack, snooze, normal_here


class IncidentView(TypedDict):
    """An open incident of which findings are shown."""

    id: str
    severity: str
    cause: str
    since: str
    summary: str
    devices: list[str]  # at most 12 of device_count, ranked
    device_count: int  # ever
    findings_open: int
    unseen: int  # its findings that nobody has acknowledged or snoozed
    limits: list[str]  # at most 50 ids of these, of which each is a broken limit


class UnreadValue(TypedDict):
    """A value that did not become a reading; ``why`` is a word of a closed list."""

    name: str
    why: str


class UnreadOfDevice(UnreadValue):
    """The same with its device, which is empty where the topic names none."""

    device: str


class SourceView(TypedDict):
    """One configured source, since the start of the process, or where nothing came yet of an earlier one."""

    source: str
    messages: int
    outcomes: dict[str, int]  # what became of these messages
    readings: int
    text: int  # messages with nothing but text
    skipped: dict[str, int]  # values by reason, at most 16 of a message
    history: int  # readings at old times: kept, not judged
    times_not_believed: int  # messages
    last_message: str | None
    yields_nothing: bool  # messages come, and for minutes none had a reading
    counted_until: str | None  # the counts are of an earlier run, up to then; null: of this one
    unread: list[UnreadOfDevice]  # at most 8, newest first


class SilenceLearning(LearningView):
    """How far the rhythm of a device is from being known."""

    of: str  # gaps | seconds


class RhythmStatus(TypedDict):
    """How often a device sends."""

    interval_s: float | None  # usual, null until it is known
    patience_s: float | None  # how long it may send nothing
    on_events: bool  # it sends when something happens, rather than at an interval
    learning: SilenceLearning | None  # until its silence is judged


class DeviceView(TypedDict):
    """One device; ``finding`` is the id of its open finding."""

    id: str
    last_seen: str | None  # the last reading; of a device that never had one, the last message
    silent: bool
    rhythm: RhythmStatus | None  # null of a device without readings, or whose silence is not reported
    unreadable: bool  # it is received, but nothing can be read
    missing: list[UnreadValue]  # at most 16, until a reading of that name comes
    metrics: list[MetricView]
    finding: str | None


class VerdictView(TypedDict):
    """The part of a verdict that the page shows."""

    id: str
    device: str
    status: str
    severity: str
    kind: str
    score: float
    summary: str
    source: str
    reason: str
    reason_detail: str | None  # the reason in words, where the word alone would mislead
    learning: VerdictLearning | None
    grounded: bool | None
    cost_usd: float | None
    created_at: str
    evidence: list[EvidenceView]


class QuarantineView(TypedDict):
    """A message that no reading could be made of; never its payload."""

    topic: str
    reason: str
    detail: str
    received_at: str


class Status(TypedDict):
    """The whole object. Times are ISO 8601 in UTC with a ``Z``."""

    schema: Literal[1]
    agent: str
    version: str
    started: str
    now: str
    uptime_s: float
    stale: bool  # the analyst did not answer: this is the last status, with its age
    age_s: float
    state: State
    problems: list[str]  # sentences; empty when ok
    notes: list[str]  # sentences on weaknesses that do not stop the work
    broker: Broker
    partition: PartitionStatus | None
    journal: Journal
    ai: Ai
    counters: Counters
    sources: list[SourceView]  # at most 50, in the order of the configuration
    devices: list[DeviceView]  # at most 50
    devices_found: int  # that match the query; without one, all of them
    incidents: list[IncidentView]  # at most 50 of counters.incidents_open, the worst first
    findings: list[FindingView]  # at most 50 of counters.findings_open and 6 of an incident, in its order
    recent_verdicts: list[VerdictView]  # at most 20, newest first
    quarantine: list[QuarantineView]  # at most 10, newest first
