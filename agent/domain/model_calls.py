"""One call of a model and its money, as records: made by the caller, read by telemetry and ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.domain.enums import Grounding
from agent.domain.outcome import Check


class ErrorType(StrEnum):
    """Why a call or an attempt failed (label ``error_type``)."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    SERVER_ERROR = "server_error"
    MALFORMED_RESPONSE = "malformed_response"
    TRUNCATED = "truncated"
    CONTENT_FILTER = "content_filter"
    INTERNAL = "internal"  # a fault of our own code, never the provider's
    OTHER = "other"


class BreakerState(StrEnum):
    """State of a circuit breaker; the gauge's value is its place here."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class BudgetWindow(StrEnum):
    """The periods that money is capped by."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider reported them, or our estimate when it did not."""

    input: int
    output: int
    cached_input: int = 0  # part of input
    reasoning: int = 0  # part of output
    estimated: bool = False
    cache_write: int = 0  # part of input that the provider put into its cache
    reported: tuple[int, int] | None = (
        None  # what the endpoint said of input and output, where it is not believed
    )


@dataclass(frozen=True, slots=True)
class CallStart:
    """What is known before the first byte is sent."""

    request_id: str
    batch_id: str
    user_id: str  # the device id, or the agent's for a batch of several
    devices: tuple[str, ...]  # ids, for the log only
    windows: int
    trigger: str  # of the batch's first window
    model: str  # as configured
    provider: str  # the profile's name
    prompt: str  # full text: the recorder shows it only as far as `logs.content` allows
    prompt_name: str
    prompt_version: str
    server_address: str
    server_port: int
    temperature: float | None
    max_tokens: int
    seed: int | None
    traceparents: tuple[str, ...] = ()  # of the readings, for span links
    system: str = ""  # the part of the prompt that never changes; it begins with it


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt that failed and is followed by another."""

    attempt: int  # the one that failed, from 1
    error_type: ErrorType
    delay_s: float
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One logical call, over. ``ok``: a well-formed completion came, with content or a refusal.

    ``error_type`` may stand beside ``ok``: a reply that was cut off (truncated) or partly filtered.
    """

    ok: bool
    latency_s: float
    attempts: int
    error_type: ErrorType | None = None
    error_message: str = ""  # ours, bounded, without secrets, prompt or reply
    http_status: int | None = None
    usage: Usage | None = None
    cost_usd: float | None = None  # what was booked, also for a kept reservation
    cost_assumed_usd: float = 0.0  # part of it: reservations kept, because no usage was reported
    priced: bool = True  # false: the model had no price of its own
    response: str = ""  # reply text, shown as `logs.content` allows
    response_id: str | None = None
    response_model: str | None = None
    provider_request_id: str | None = None  # the provider's own, to name in a complaint
    finish_reason: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    validation_failed: bool = False
    repaired: bool | None = None  # None: no repair was needed; else whether it worked
    safety_categories: tuple[str, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)  # verdict status -> windows with an answer
    #: Source, reason and status of the verdicts that follow -> windows.
    verdicts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    grounding: Mapping[Grounding, int] = field(default_factory=dict)
    failed_checks: tuple[Check, ...] = ()
    budget_remaining_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """Money of one period, USD. ``reserved`` is part of what counts against the limit."""

    limit: float
    spent: float
    reserved: float
