"""A recorder that collects call records, for the calls of a command."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from agent.domain.model_calls import BreakerState, BudgetWindow, CallRecord, Request, Retry
from agent.domain.records import Check, Grounding, Reason


class CollectingScope:
    """One call; its record goes to ``records``."""

    trace_id: str | None = None
    span_id: str | None = None

    def __init__(self, records: list[CallRecord]) -> None:
        self._records = records

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def retried(self, retry: Retry) -> None:
        pass

    def finish(self, record: CallRecord) -> None:
        self._records.append(record)


@dataclass(slots=True)
class CollectingRecorder:
    """Collects the records of all calls and counts the results of grounding; ignores the rest."""

    calls: list[CallRecord] = field(default_factory=list)
    grounding: dict[Grounding, int] = field(default_factory=lambda: dict.fromkeys(Grounding, 0))

    def call(self, request: Request) -> CollectingScope:
        del request
        return CollectingScope(self.calls)

    def grounding_checked(self, result: Grounding, checks: tuple[Check, ...]) -> None:
        del checks
        self.grounding[result] += 1

    def suppressed(self, reason: Reason, windows: int) -> None:
        pass

    def share_used_up(self, device: str) -> None:
        pass

    def cache_looked_up(self, result: str) -> None:
        pass

    def breaker_changed(self, provider: str, state: BreakerState, why: str, open_s: float) -> None:
        pass

    def budget_changed(self, window: BudgetWindow, state: str, spent: float, limit: float) -> None:
        pass

    def injection_suspected(self, rule: str, origin: str) -> None:
        pass

    def faulted(self, error: BaseException, *, model: str, recorded: bool) -> None:
        pass
