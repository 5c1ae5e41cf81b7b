"""The records of a model call and its money, for caller, telemetry and ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

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
    reported: tuple[int, int] | None = None  # input and output by the endpoint, where not believed


#: Of the drawings, part of the version of a prompt that has some.
PLOT_VERSION = "plot1"


@dataclass(frozen=True, slots=True)
class Plots:
    """Pictures of windows, sent after the text of a prompt."""

    legend: str  # ours, with the numbers of the windows
    images: Mapping[int, bytes] = field(repr=False)  # number of the window in the prompt -> PNG
    tokens_each: int  # the most that a provider counts for one

    @property
    def tokens(self) -> int:
        """Return an upper guess of the tokens of all, with the legend."""
        return len(self.legend) + self.tokens_each * len(self.images)

    def told(self) -> list[dict[str, int | str]]:
        """Return what logs, traces and the journal hold of the images."""
        return [{"w": place, **fingerprint(image)} for place, image in self.images.items()]


def plotted(version: str) -> str:
    """Return the version of a prompt with plots."""
    return f"{version}+{PLOT_VERSION}"


def fingerprint(image: bytes) -> dict[str, int | str]:
    """Return size and hash of an image."""
    return {"bytes": len(image), "sha256": sha256(image).hexdigest()[:16]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question to a model: in which words, with which parameters, about which windows."""

    request_id: str
    provider: str  # name of the profile
    model: str  # as configured
    system: str  # the constant part of the prompt
    user: str
    plots: Plots | None = None  # after the text; None where there is none, or the endpoint refuses images
    schema: Mapping[str, object]
    max_tokens: int
    max_tokens_field: str = "max_tokens"
    response_format: str = "json_schema"  # a key of `agent.ai.profiles.FORMATS`
    temperature: float | None = None  # None: not sent, as with the two below
    seed: int | None = None
    moderation_model: str | None = None
    timeout_s: float = 0.0  # of one attempt
    prompt_name: str = ""
    text_version: str = ""  # of the prompt without plots
    prompt_hash: str = ""
    server_address: str = ""
    server_port: int = 443
    batch_id: str = ""
    window_ids: tuple[str, ...] = ()  # in the order of the prompt
    devices: tuple[str, ...] = ()  # ids, for the log only
    user_id: str = ""  # the device id, or the agent's for a batch of several
    trigger: str = ""  # of the batch's first window
    traceparents: tuple[str, ...] = ()  # of the readings, for span links

    @property
    def prompt_version(self) -> str:
        """The version of the prompt, with that of its plots if it has some."""
        return plotted(self.text_version) if self.plots else self.text_version

    @property
    def prompt(self) -> str:
        """The full text; the recorder shows it only as far as `logs.content` allows."""
        return f"{self.system}\n{self.user}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A completion, as the endpoint sent it."""

    content: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    response_id: str | None = None
    response_model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    safety_categories: tuple[str, ...] = ()
    provider_request_id: str | None = None  # the provider's own, to name in a complaint

    @property
    def text(self) -> str:
        """The model's words; the recorder shows them only as far as `logs.content` allows."""
        return self.content or self.refusal or ""


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt that failed and is followed by another."""

    attempt: int  # the one that failed, from 1
    error_type: ErrorType
    delay_s: float
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One logical call with its attempts, when it is over.

    ``error_type`` may be set although ``ok`` is true: a reply that was cut off or partly filtered.
    """

    request: Request
    reply: Reply = Reply()  # without text when no completion came
    latency_s: float
    attempts: int
    error_type: ErrorType | None = None
    error_message: str = ""  # ours, bounded, without secrets, prompt or reply
    http_status: int | None = None
    usage: Usage | None = None  # of all attempts whose usage is known, as far as it is believed
    cost_usd: float | None = None  # what was booked, also for a kept reservation
    cost_assumed_usd: float = 0.0  # part of it: reservations kept, because no usage was reported
    priced: bool = True  # false: the model had no price of its own
    validation_failed: bool = False
    repaired: bool | None = None  # None: no repair was needed; else whether it worked
    safety_categories: tuple[str, ...] = ()  # of the reply, those that are counted
    statuses: Mapping[str, int] = field(default_factory=dict)  # verdict status -> windows with an answer
    #: Source, reason and status of the verdicts that follow -> windows.
    verdicts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    grounding: Mapping[Grounding, int] = field(default_factory=dict)
    failed_checks: tuple[Check, ...] = ()
    unsupported: int = 0  # alarms that a "normal" without a reason did not overrule
    budget_remaining_usd: float | None = None
    trace_id: str | None = None

    @property
    def ok(self) -> bool:
        """Whether a completion came, with content or a refusal."""
        return bool(self.reply.text)


@dataclass(frozen=True, slots=True)
class Spend:
    """Money of one period, USD. ``reserved`` counts against the limit too."""

    limit: float
    spent: float
    reserved: float
