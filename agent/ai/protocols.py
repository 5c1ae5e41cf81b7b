"""The caller's needs: a ledger, a transport, a recorder for telemetry.

The caller imports neither a metrics nor a log library, nor SQLite: it gets objects that satisfy these
protocols.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from agent.domain.model_calls import (
    BreakerState,
    BudgetWindow,
    CallRecord,
    ErrorType,
    Reply,
    Request,
    Retry,
    Spend,
    Usage,
)
from agent.domain.records import Check, Grounding, Reason


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
    """Telemetry of the caller. Never raises, never blocks."""

    def call(self, request: Request) -> CallScope: ...
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
        """Replace a reservation by the cost of the call (may be 0 for one that was never sent)."""
        ...

    def spend(self) -> Mapping[BudgetWindow, Spend]:
        """Return the running periods, without I/O."""
        ...

    async def refresh(self) -> None:
        """Read the periods again: another process may have reset them."""
        ...


class TransportError(Exception):
    """An attempt without a reply; classified, with the facts that a retry depends on."""

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
