"""The closed word lists of verdicts, findings and counters."""

from enum import StrEnum


class AgentError(Exception):
    """Base of every error that the product raises on purpose."""


class DecodeReason(StrEnum):
    """Why a message went to quarantine."""

    TOO_LARGE = "too_large"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    NOT_FINITE = "not_finite"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    TOO_MANY_KEYS = "too_many_keys"
    STRING_TOO_LONG = "string_too_long"
    BAD_TOPIC = "bad_topic"
    NO_READINGS = "no_readings"
    NO_DEVICE = "no_device"  # the payload does not have what the source makes the device id of
    BAD_TIME = "bad_time"
    DECODER_FAULT = "decoder_fault"
    NEW_DEVICE_LIMIT = "new_device_limit"  # readable, but of one new device too many
    NEW_SERIES_LIMIT = "new_series_limit"  # the same of new metrics
    UNKNOWN_VERDICT = "unknown_verdict"  # feedback on a verdict that is not kept, or on more than one
    BAD_COMMAND = "bad_command"  # JSON, but not a command
    COMMAND_LIMIT = "command_limit"  # a person's command, of too many in a short time


class Handling(StrEnum):
    """Outcome of a message that was not quarantined."""

    READ = "read"
    AVAILABILITY = "availability"  # a state of devices, without readings
    TEXT = "text"  # nothing but text
    NO_VALUE = "no_value"  # no value, or none that the source takes
    EXCLUDED = "excluded"  # by `exclude` of its source
    OVERLAP = "overlap"  # a further copy, of another subscription
    UNMATCHED = "unmatched"  # no source has the topic
    OWN = "own"  # under the agent's own base topic


class DecodeError(AgentError):
    """A payload that no reading can be made of; ``detail`` is bounded and printable.

    ``source`` and ``device`` are those of the topic, where it has them.
    """

    source: str | None = None
    device: str | None = None

    def __init__(self, reason: DecodeReason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail[:200]
        super().__init__(f"{reason}: {self.detail}" if detail else str(reason))


class Status(StrEnum):
    """The judgement of a verdict on its window."""

    NORMAL = "normal"
    ANOMALY = "anomaly"
    UNCERTAIN = "uncertain"


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Source(StrEnum):
    """Whose opinion the verdict is."""

    AI = "ai"
    CACHE = "cache"
    LOCAL = "local"


class Reason(StrEnum):
    """Why the verdict has the source that it has."""

    REVIEWED = "reviewed"
    AUDIT = "audit"
    CACHED = "cached"
    NOT_SUSPICIOUS = "not_suspicious"
    REVIEW_OFF = "review_off"
    NO_ENDPOINT = "no_endpoint"
    OPEN_FINDING = "open_finding"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    BREAKER = "breaker"
    TIMEOUT = "timeout"
    ERROR = "error"
    INVALID = "invalid"
    UNGROUNDED = "ungrounded"
    MODEL_OMITTED = "model_omitted"
    NO_READINGS = "no_readings"
    POISON = "poison"
    SHUTDOWN = "shutdown"


class Purpose(StrEnum):
    """Why the model is asked about a window; a call for several has the first of these."""

    OPENING = "opening"  # an anomaly that nobody knows of yet
    AGAIN = "again"  # an open finding: another kind, a higher severity, or hours later
    SUSPECT = "suspect"  # no anomaly, but close to one
    AUDIT = "audit"  # a calm window, drawn to check the local detector
    EVERY = "every"  # `review.mode: all`


class Trigger(StrEnum):
    """The reason why a window was sealed."""

    SUSPICION = "suspicion"
    COUNT = "count"
    AGE = "age"
    SILENCE = "silence"
    DRAIN = "drain"  # in journals of older versions only


class TimerKind(StrEnum):
    """The meaning of a timer row. Rows are journaled in the same sequence as the messages."""

    TICK = "tick"  # something is due at this row's clock
    CONNECTED = "connected"  # subscribed: silence clocks run
    DISCONNECTED = "disconnected"  # silence clocks are paused
    OFFLINE = "offline"  # the device itself or its last will reported it
    ONLINE = "online"
    HEARD = "heard"  # a message of the device without a value in it
    EXPECTED = "expected"  # the device announced its reporting interval


class Grounding(StrEnum):
    """Whether every claim of an answer was found in the window."""

    GROUNDED = "grounded"
    UNGROUNDED = "ungrounded"
    SKIPPED = "skipped"


class FindingEvent(StrEnum):
    """The effect of a verdict or of a person's word on a finding."""

    OPENED = "opened"
    UPDATED = "updated"
    CLEARED = "cleared"


class FindingState(StrEnum):
    """The state of a finding, after verdicts and people."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # known: no more notices
    SNOOZED = "snoozed"  # no notices until a time
    CLEARED = "cleared"  # by normal windows
    NORMAL_HERE = "normal_here"  # closed by a person: usual for this series
    FORGOTTEN = "forgotten"  # closed by a person: the device is gone

    @property
    def closed(self) -> bool:
        """Whether the finding is over."""
        return self in _CLOSED


_CLOSED = frozenset({FindingState.CLEARED, FindingState.NORMAL_HERE, FindingState.FORGOTTEN})


class Do(StrEnum):
    """A command of a person."""

    ACK = "ack"
    SNOOZE = "snooze"
    NORMAL_HERE = "normal_here"
    FALSE_ALARM = "false_alarm"
    CONFIRMED = "confirmed"
    FORGET = "forget"
    MAINTENANCE = "maintenance"
    PAUSE_MODEL = "pause_model"
    RESUME_MODEL = "resume_model"


class CommandReason(StrEnum):
    """Why a command was accepted or refused."""

    DONE = "done"
    REPEATED = "repeated"  # the answer of the first command with this id
    INVALID = "invalid"  # not a command
    TOO_MANY = "too_many"
    ID_REUSED = "id_reused"  # another command had this id
    UNKNOWN_FINDING = "unknown_finding"
    UNKNOWN_DEVICE = "unknown_device"
    CLOSED = "closed"  # the finding is over
    LIMIT = "limit"  # a configured limit is not a person's to widen
    NOTHING_CITED = "nothing_cited"  # the finding names no value that could be usual
    BAD_TIME = "bad_time"  # in the past, or too far ahead


class Cause(StrEnum):
    """The common ground of the findings of an incident."""

    DEVICE = "device"  # of one device
    LINK = "link"  # offline by one availability topic: a gateway, a bridge, a last will
    SILENCE = "silence"  # a third of a source fell silent together
    TOGETHER = "together"  # values that usually move together, or of a third of a source, moved together


class Way(StrEnum):
    """The way in which a value left its usual range."""

    UP = "up"
    DOWN = "down"
    RESTLESS = "restless"
    STILL = "still"


class IncidentEvent(StrEnum):
    """A change of an incident."""

    OPENED = "opened"
    UPDATED = "updated"
    MERGED = "merged"
    CLOSED = "closed"
