"""What the caller needs from outside: a ledger for money, a transport to the model, a recorder for telemetry.

The caller imports neither a metrics nor a log library, nor SQLite: it is handed objects that satisfy
these protocols. One :class:`CallRecord` describes one logical call (with its retries) when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from agent.domain.model_calls import (
    BreakerState as BreakerState,
    BudgetWindow as BudgetWindow,
    CallRecord as CallRecord,
    CallStart as CallStart,
    ErrorType as ErrorType,
    Retry as Retry,
    Spend as Spend,
    Usage as Usage,
)
from agent.domain.records import Check, Grounding, Reason


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of one logical call, for the journal and ``show`` only: never for logs, metrics or spans."""

    batch_id: str
    request_id: str
    model: str
    prompt_version: str
    prompt_hash: str
    system: str
    user: str
    reply: str  # empty when none came
    error_type: ErrorType | None
    attempts: int
    cost_usd: float
    windows: tuple[str, ...] = ()  # ids, in the order of the prompt
    error_message: str = ""  # ours
    finish_reason: str | None = None
    usage: Usage | None = None  # of all attempts whose usage is known
    latency_s: float = 0.0
    trace_id: str | None = None


class CallScope(Protocol):
    """One call while it runs; closing it without ``finish`` counts as a failure of type other."""

    trace_id: str | None
    span_id: str | None

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def retried(self, retry: Retry) -> None: ...
    def finish(self, record: CallRecord) -> None: ...


class Recorder(Protocol):
    """Where the caller tells what happens. Never raises, never blocks."""

    def call(self, start: CallStart) -> CallScope: ...
    def suppressed(self, reason: Reason, windows: int) -> None: ...
    def share_used_up(self, device: str) -> None: ...  # one window of it is not asked about
    def cache_looked_up(self, result: str) -> None: ...  # hit | miss | bypass
    def grounding_checked(self, result: Grounding, checks: tuple[Check, ...]) -> None: ...  # per window
    def breaker_changed(self, provider: str, state: BreakerState, why: str, open_s: float) -> None: ...
    def budget_changed(self, window: BudgetWindow, state: str, spent: float, limit: float) -> None: ...
    def injection_suspected(self, rule: str, origin: str) -> None: ...  # a topic or a device
    def faulted(self, error: BaseException, *, model: str, recorded: bool) -> None:
        """Take an exception of our own code; ``recorded``: the record of its call counts it already."""


class Ledger(Protocol):
    """Money on disk. Reservations survive the process; one that was never settled stays spent."""

    async def reserve(self, amount_usd: float, purpose: str) -> int | None:
        """Book the worst case before the call; None when a cap would be passed."""
        ...

    async def settle(self, reservation: int, actual_usd: float) -> None:
        """Replace a reservation by what the call cost (may be 0 for one that was never sent)."""
        ...

    def spend(self) -> Mapping[BudgetWindow, Spend]:
        """Return the running periods, without I/O."""
        ...

    async def refresh(self) -> None:
        """Read the periods again: somebody else may have reset them."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt, as the transport needs it."""

    model: str
    system: str
    user: str
    schema: Mapping[str, object]
    response_format: str  # json_schema | json_object | none
    max_tokens: int
    max_tokens_field: str  # max_tokens | max_completion_tokens
    temperature: float | None
    seed: int | None
    timeout_s: float
    request_id: str
    moderation_model: str | None = None  # ask the provider to moderate (openai only)


@dataclass(frozen=True, slots=True)
class Reply:
    """A well-formed completion."""

    content: str | None
    refusal: str | None
    finish_reason: str | None
    usage: Usage | None
    response_id: str | None = None
    response_model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    safety_categories: tuple[str, ...] = ()
    provider_request_id: str | None = None


class TransportError(Exception):
    """An attempt that brought no reply; classified, with what a retry needs to know."""

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
        refused: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.error_type = error_type
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.sent = sent  # false: no byte of the request reached the endpoint, so it cost nothing
        self.refused = refused  # the Request field that the endpoint does not take
        self.usage = usage  # of a reply that came but is of no use
        self.provider_request_id: str | None = None
        super().__init__(message)


class Transport(Protocol):
    """One attempt at one endpoint. Raises :class:`TransportError`."""

    async def complete(self, request: Request) -> Reply: ...
    async def aclose(self) -> None: ...
