"""Counters of the caller, written by the loop and read by any thread."""

from dataclasses import dataclass, field

from agent.caller.protocols import ErrorType
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
    last_failure: str = ""  # what the last failed call met and what to do about it, in words
    failed_in_a_row: int = 0

    def judged(self, *, ok: bool) -> None:
        """Count a completion that came; one that is of no use is a failure."""
        self.succeeded += ok
        self.failed_in_a_row = 0 if ok else self.failed_in_a_row + 1

    def failed(self, message: str, remedy: str) -> None:
        """Count a call that no completion came of."""
        self.failed_in_a_row += 1
        self.last_failure = f"{message}; {remedy}"

    def fault(self, error: Exception) -> None:
        """Count an exception of our own code."""
        self.faults += 1
        self.last_fault = f"{type(error).__name__}: {error}"[:200]
