"""Counters of the caller, written by the loop and read by any thread."""

from dataclasses import dataclass, field

from agent.ai.protocols import ErrorType
from agent.domain.fault import fault_words
from agent.domain.records import Reason


@dataclass(slots=True)
class CallerStats:
    """What happened in this process."""

    calls: int = 0
    succeeded: int = 0
    attempts: int = 0
    cached: int = 0
    suppressed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ErrorType, 0))
    faults: int = 0  # exceptions of our own code: each is a bug
    last_fault: str = ""
    last_error: str = ""
    last_failure: str = ""  # what the last failed call met and what to do about it, in words
    failed_in_a_row: int = 0
    silent: dict[str, int] = field(default_factory=dict)  # model that never answered -> calls that failed
    failures: dict[str, str] = field(default_factory=dict)  # model -> what its last failed call met
    _answered: set[str] = field(default_factory=set)

    def answered(self, model: str) -> None:
        """Count a call with an answer of use."""
        self.succeeded += 1
        self.failed_in_a_row = 0
        self._answered.add(model)
        self.silent.pop(model, None)

    def failed(self, model: str, failure: str) -> None:
        """Count a call that ended without one."""
        self.failed_in_a_row += 1
        self.last_failure = self.failures[model] = failure
        if model not in self._answered:
            self.silent[model] = self.silent.get(model, 0) + 1

    def fault(self, error: BaseException) -> None:
        """Count an exception of our own code."""
        self.faults += 1
        self.last_fault = fault_words(error)
