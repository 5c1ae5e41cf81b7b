"""The words of the product as types: records that folders pass to each other.

Everything here is frozen and built from the standard library only. Times named ``at``, ``received``
or ``created`` are Unix seconds (UTC, wall clock, data only). Times named ``clock`` are agent time:
seconds that never run backwards, neither on a wall clock step nor over a restart; every duration in
the product is a difference of two ``clock`` values.
"""

from dataclasses import field
from typing import NamedTuple

from agent.domain.enums import (
    AgentError as AgentError,
    Cause as Cause,
    CommandReason as CommandReason,
    DecodeError as DecodeError,
    DecodeReason as DecodeReason,
    Do as Do,
    FindingEvent as FindingEvent,
    FindingState as FindingState,
    Grounding as Grounding,
    Handling as Handling,
    IncidentEvent as IncidentEvent,
    Purpose as Purpose,
    Reason as Reason,
    Severity as Severity,
    Source as Source,
    Status as Status,
    TimerKind as TimerKind,
    Trigger as Trigger,
    Way as Way,
)
from agent.domain.kinds import Kind as Kind
from agent.domain.messages import (
    NOTHING_READ as NOTHING_READ,
    Arrival as Arrival,
    LinkDown as LinkDown,
    LinkUp as LinkUp,
    Outgoing as Outgoing,
    Posted as Posted,
    Receipt as Receipt,
    Reply as Reply,
)
from agent.domain.outcome import Answer as Answer, Check as Check, Outcome as Outcome, Tokens as Tokens
from agent.domain.record import record

# -------------------------------------------------------------------------------- the sequence


@record(frozen=True, slots=True)
class Reading:
    """One value of one metric of one device at one time."""

    device: str
    metric: str
    at: float  # event time: payload, else user property, else receipt
    value: float
    unit: str | None = None
    word: str | None = None  # behind the number, as sent: open, LOW; for people, never for a model

    @property
    def series(self) -> tuple[str, str]:
        """Device and metric."""
        return (self.device, self.metric)


@record(frozen=True, slots=True)
class MessageRow:
    """A journaled message: its readings in payload order, at its place in the sequence."""

    seq: int
    clock: float
    readings: tuple[Reading, ...]
    traceparent: str | None = None
    seed: bool = False  # a retained replay: last value and unit only
    history: tuple[Reading, ...] = ()  # at their own times: in no window, never learnt


@record(frozen=True, slots=True)
class TimerRow:
    """A journaled decision of time or link, at its place in the sequence."""

    seq: int
    clock: float
    kind: TimerKind
    device: str | None = None
    seconds: float | None = None  # an announced interval


@record(frozen=True, slots=True)
class Command:
    """A person's command on a finding or a device. Times are agent time, seconds."""

    do: Do
    id: str = ""  # the sender's own: a repeat is answered and not done again
    finding_id: str | None = None  # or its first characters
    device: str | None = None  # of maintenance a glob
    since: float | None = None
    until: float | None = None
    for_s: float | None = None  # in place of ``until``
    note: str = ""  # one printable line
    incident_id: str | None = None  # in place of one finding: its open findings without a broken limit


class Seen(NamedTuple):
    """The values of one metric and kind that the verdicts on a finding cited: the lowest and the highest."""

    metric: str
    kind: Kind
    low: float
    high: float


class Past(NamedTuple):
    """An earlier anomaly of a series that a person has judged."""

    finding: str  # its id, or that of the verdict
    outcome: Do  # false_alarm or confirmed
    kind: Kind
    low: float
    high: float


@record(frozen=True, slots=True)
class CommandOutcome:
    """The outcome of a command: decided once, journaled with all that it changes in the detector."""

    accepted: bool
    reason: CommandReason
    detail: str = ""  # in words, with advice
    device: str | None = None
    finding_id: str | None = None
    state: FindingState | None = None  # of the finding, afterwards
    until: float | None = None  # of a snooze, maintenance or pause
    allow: tuple[Seen, ...] = ()  # usual from now on
    silence: tuple[float, float | None] | None = None  # the same of a silence: begin, and end if it is over
    forget: bool = False
    series: tuple[str, ...] = ()  # metrics that its finding cites
    ends: float | None = None  # the end of an earlier command that this one ends before its time
    judged: tuple[Seen, ...] = ()  # values that a person called a false alarm, or confirmed


@record(frozen=True, slots=True)
class CommandRow:
    """A journaled command of a person, at its place in the sequence."""

    seq: int
    clock: float
    command: Command
    outcome: CommandOutcome | None = None  # None: to be decided
    reply: Reply | None = None  # of this process only


@record(frozen=True, slots=True)
class SettingsRow:
    """A journaled change of the settings that readings are judged by, at its place in the sequence."""

    seq: int
    clock: float
    body: str  # as ``agent.pipeline.judging`` writes it


Row = MessageRow | TimerRow | CommandRow | SettingsRow

# ------------------------------------------------------------------------------------ detection


class Progress(NamedTuple):
    """How far a series is from being judged."""

    seen: int
    needed: int
    until: float | None = None  # event time at its pace so far, None where that is not known
    of: str = "readings"  # readings | values: a series that never changed needs other values, not more
    # gaps | seconds: of a device's rhythm


@record(frozen=True, slots=True)
class Learning:
    """The least learnt series of a window."""

    metric: str
    progress: Progress


@record(frozen=True, slots=True)
class Partner:
    """Another series of the device with which a series usually goes, and what their last hour was."""

    metric: str
    given: float  # mean of the partner
    unit: str | None  # of the partner
    mean: float  # of the series itself
    since: str  # hour at which they parted, in words


@record(frozen=True, slots=True)
class Score:
    """The local detector's judgement of one reading; 1.0 is the alarm line of every detector."""

    value: float
    kind: Kind = Kind.NONE
    expected: tuple[float, float] | None = None  # usual range at this time, same unit as the reading
    limit: bool = False  # a configured limit was broken
    progress: Progress | None = None  # the reading was not judged: its series is still learning
    unchecked: str | None = None  # the unit of a limit that does not hold for the reading's own unit
    said: tuple[float, str] | None = None  # value and unit as sent, where the reading was converted
    unit_was: str | None = None  # another unit in which the series was learnt, "" for none: it is not judged
    ignored: bool = False  # by the configuration: only a limit is checked
    partner: Partner | None = None  # from which it has parted; ``expected`` is then what is usual with it

    @property
    def alarm(self) -> bool:
        """At or above the alarm line."""
        return self.value >= 1.0


CALM = Score(0.0)
IGNORED = Score(0.0, ignored=True)


@record(frozen=True, slots=True)
class Absence:
    """A series that has fallen away while others of its device go on, by its last reading."""

    metric: str
    at: float
    value: float
    unit: str | None


@record(frozen=True, slots=True)
class Silence:
    """A device without readings for longer than its learnt interval allows, or series that fell away."""

    device: str
    last_at: float | None  # event time of its last reading
    last_metric: str | None
    last_value: float | None
    expected_interval_s: float
    silent_s: float
    score: float
    offline: bool = False  # by its own word
    lacking: bool = False  # it sends, but no value
    usually: str = ""  # its usual silence that is the nearest, in words
    on_events: bool = False  # it sends when something happens, rather than at an interval
    absent: tuple[Absence, ...] = ()  # it is about these series, and the device goes on


@record(frozen=True, slots=True)
class RhythmView:
    """Knowledge of the silence of a device."""

    progress: Progress | None  # while it is not known
    on_events: bool  # it sends when something happens, rather than at an interval
    interval_s: float | None  # usual, None while it is not known
    patience_s: float | None  # how long it may send nothing
    rests: list[str]  # usual silences, in words
    usual_until: float | None  # clock: its silence is usual until then
    announced_s: float | None  # by the device's family
    expected_s: float | None  # by the configuration
    quiet: list[str]  # hours, by the configuration
    muted: bool  # silence is never reported, by the configuration


@record(frozen=True, slots=True)
class SeriesView:
    """The detector's knowledge of one series, for the prompt, the page and ``inspect``."""

    device: str
    metric: str
    unit: str | None
    n: int  # readings seen
    warm: bool  # past the warm-up
    median: float | None
    p01: float | None
    p99: float | None
    spread: float | None  # robust standard deviation
    usual: tuple[float, float] | None  # usual range now
    limits: tuple[float | None, float | None]  # configured low, high
    recent: tuple[float, ...]  # the last values, oldest first, at most 30
    last_at: float | None
    last_value: float | None
    progress: Progress | None = None  # while it is learning
    unchecked: str | None = None  # the unit of its limit, where that is not the readings'
    said: tuple[float, str] | None = None  # last value and its unit as sent, where it was converted
    unit_was: str | None = None  # the unit before it began again, "" for none; while it is learning
    diagnostic: bool = False  # kept and shown, not judged
    word: str | None = None  # behind the last value, as sent
    ignored: bool = False  # by the configuration: only a limit is checked
    sensitivity: str = "normal"
    tuned_by: str | None = None  # the rule of the configuration that holds for it
    past: tuple[Past, ...] = ()  # its last anomalies that people have judged, oldest first
    goes_with: tuple[str, ...] = ()  # metrics of the device with which it is compared


# -------------------------------------------------------------------------------------- windows


@record(frozen=True, slots=True)
class WindowReading:
    """A reading inside a window, with the id that evidence refers to (``r1``, ``r2``, ...)."""

    ref: str
    metric: str
    at: float
    value: float
    unit: str | None
    score: Score
    word: str | None = None  # behind the value, as sent; never sent to a model


@record(frozen=True, slots=True)
class LocalOpinion:
    """The local detector's opinion of a window; it travels in every verdict."""

    status: Status
    score: float
    kind: Kind
    severity: Severity
    evidence: tuple[WindowReading, ...]  # at most 5, highest score first
    summary: str
    learning: Learning | None = None  # what was not judged
    unchecked: bool = False  # a limit did not hold for the unit of a reading


@record(frozen=True, slots=True)
class Window:
    """The readings of one device between two seals. Fixed at sealing, never cut again."""

    id: str  # = verdict id
    device: str
    trigger: Trigger
    lo: int  # first seq
    hi: int  # last seq; every reading of the device in lo..hi is in this window
    count: int  # readings
    start: float  # event time of the earliest reading
    end: float  # event time of the latest reading
    opened: float  # clock of the first row
    sealed: float  # clock of the sealing row
    local: LocalOpinion
    candidates: tuple[WindowReading, ...]  # at most 12, the only readings a model may cite
    section: str  # rendered prompt section, canonical JSON; "" for a silence window
    traceparents: tuple[str, ...] = ()  # at most 8, of its messages
    back: tuple[str, ...] = ()  # metrics in it that had fallen away


@record(frozen=True, slots=True)
class Batch:
    """The windows of one AI call."""

    id: str
    windows: tuple[Window, ...]
    attempt: int = 1  # 1 + times it was in flight when the process died
    audit: frozenset[str] = frozenset()  # ids of windows sent as an audit


# ------------------------------------------------------------------------------ verdict, finding


@record(frozen=True, slots=True)
class Evidence:
    """A reading that a verdict cites."""

    reading: str
    metric: str
    at: float
    value: float
    expected: tuple[float, float] | None


@record(frozen=True, slots=True)
class Verdict:
    """The judgement of one window, schema 1. ``agent.verdict.verdict.to_bytes`` gives its wire form."""

    id: str
    agent: str
    device: str
    status: Status
    severity: Severity
    score: float
    confidence: float | None
    kind: Kind
    summary: str
    advice: str | None
    evidence: tuple[Evidence, ...]
    source: Source
    reason: Reason
    grounded: bool | None
    model: str | None
    prompt_version: str | None
    start: float
    end: float
    readings: int
    trigger: Trigger
    local: LocalOpinion
    tokens: Tokens | None
    cost_usd: float | None
    latency_ms: float | None
    finding_id: str | None
    late: bool
    trace_id: str | None
    created: float
    request_id: str | None = None  # of the call, None when none was made
    reason_detail: str | None = None
    incident_id: str | None = None


class Move(NamedTuple):
    """A value that left its usual range, the way that it went, and the time of its first reading."""

    metric: str
    way: Way
    at: float  # event time
    value: float


class Grounds(NamedTuple):
    """Common ground of a finding with others, as it was when it opened."""

    source: str
    link: str | None  # the availability topic that called its device offline
    interval_s: float  # usual, 0 where it is not known
    move: Move | None = None


@record(frozen=True, slots=True)
class Finding:
    """An anomaly of one device that opens, is updated and clears, by verdicts or by a person's word."""

    id: str
    device: str
    kind: Kind
    severity: Severity
    opened: float  # clock
    last_reviewed: float  # clock of the last review by the model, or of the opening
    normal_streak: int = 0
    verdicts: int = 1
    state: FindingState = FindingState.OPEN
    until: float | None = None  # clock at which a snooze ends
    maintenance: bool = False  # its device was under maintenance at its last anomaly
    limit: bool = False  # a configured limit was broken
    seen: tuple[Seen, ...] = ()  # at most 5
    silent_since: float | None = None  # clock of the last reading before a silence
    silent_to: float | None = None  # of the first window after it
    incident: str | None = None
    grounds: Grounds | None = None
    score: float = 0.0  # the local detector's, the highest so far
    ended: float | None = None  # clock of the normal window that cleared it
    awaits: str | None = None  # window that broke the limit, while its verdict is on its way
    calm_s: float = 0.0  # it clears after so long a calm at the soonest; it has come back
    calm_since: float | None = None  # clock of the first of the normal windows in a row
    absent_since: float | None = None  # of the first window in a row with none of its metrics
    calm: int = 0  # normal windows in a row of its other metrics, while some are away

    def state_at(self, clock: float) -> FindingState:
        """Return the state; a snooze that is over is none."""
        over = self.state is FindingState.SNOOZED and (self.until is None or self.until <= clock)
        return FindingState.OPEN if over else self.state

    def snoozed_to(self, clock: float) -> float | None:
        """Return the end of a snooze that is not over."""
        return self.until if self.state_at(clock) is FindingState.SNOOZED else None

    @property
    def alarm(self) -> Kind:
        """The kind of its alert: a limit that broke is not resolved while the finding is open."""
        return Kind.OUT_OF_RANGE if self.limit else self.kind

    def quiet(self, clock: float) -> bool:
        """Whether people want no notice of it."""
        return self.maintenance or self.state_at(clock) is not FindingState.OPEN


@record(frozen=True, slots=True)
class Place:
    """The origin of a device: its source, and the availability topic that last called it offline."""

    source: str
    link: str | None = None


@record(frozen=True, slots=True)
class Incident:
    """Findings with one cause. Those that are still open name it; a merged one names the older."""

    id: str
    opened: float  # clock
    cause: Cause
    severity: Severity  # the highest so far
    devices: int = 1  # ever
    place: Place | None = None  # of its silences
    merged_into: str | None = None
    closed: bool = False
    reviewed: float | None = None  # clock of the model's last answer about one of its findings


@record(frozen=True, slots=True)
class Recovered:
    """The journal's state at start-up, without the rows to replay."""

    snapshot: bytes | None
    snapshot_seq: int
    pending: tuple[Window, ...]  # sealed without a verdict, oldest first
    overdue: frozenset[str] = frozenset()  # of these, ids too far back to be asked; without their section
    attempts: dict[str, int] = field(default_factory=dict)  # window id -> AI calls in flight at a crash
    batches: tuple[tuple[str, ...], ...] = ()  # ids of pending windows that were to be asked together
    audits: frozenset[str] = frozenset()  # of these, ids of windows that were drawn for an audit
    findings: tuple[Finding, ...] = ()
    sealed_to: dict[str, int] = field(default_factory=dict)  # device -> highest sealed seq
    snapshot_clock: float | None = None  # of the snapshot, else of the first row that is there
    closed: tuple[Finding, ...] = ()  # findings that are over, oldest first, as far as they are kept
    commands: tuple[CommandRow, ...] = ()  # decided ones that are kept, oldest first
    incidents: tuple[Incident, ...] = ()  # open ones, oldest first
    past_incidents: tuple[Incident, ...] = ()  # the last ones that are over, oldest first
    told: dict[str, bytes] = field(default_factory=dict)  # open finding -> last verdict that is an anomaly
    settings: str | None = None  # that readings were judged by at the snapshot; None: not known
    last_settings: str | None = None  # and at the last row
