"""Counters of the caller, written by the loop and read by any thread."""

from dataclasses import dataclass, field

from agent.caller.protocols import ErrorType
from agent.fault import fault_words
from agent.records import Reason


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

    def fault(self, error: BaseException) -> None:
        """Count an exception of our own code."""
        self.faults += 1
        self.last_fault = fault_words(error)
