"""Counters of the caller, and the report of its own faults.

The loop writes them; any thread reads them.
"""

from dataclasses import dataclass, field

from agent.ai.protocols import Recorder
from agent.domain.fault import fault_words


@dataclass(slots=True)
class CallerStats:
    """Calls of this process."""

    calls: int = 0
    succeeded: int = 0
    faults: int = 0  # exceptions of our own code: each is a bug
    last_fault: str = ""
    last_error: str = ""
    last_failure: str = ""  # of the last failed call: the error and what to do about it
    failed_in_a_row: int = 0
    silent: dict[str, int] = field(default_factory=dict)  # model that never answered -> calls that failed
    failures: dict[str, str] = field(default_factory=dict)  # model -> its last failure
    _answered: set[str] = field(default_factory=set)

    def answered(self, model: str) -> None:
        """Count a call with a useful answer."""
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


class Faults:
    """Counts and reports the exceptions of the caller's own code. Never raises."""

    def __init__(self, *, stats: CallerStats, recorder: Recorder, model: str) -> None:
        self._stats = stats
        self._recorder = recorder
        self._model = model

    def note(self, error: BaseException, *, model: str = "", recorded: bool = False) -> None:
        """Count and report an exception of the caller's own steps."""
        self._stats.fault(error)
        self.report(error, model=model, recorded=recorded)

    def report(self, error: BaseException, *, model: str, recorded: bool) -> None:
        """Report an exception in a call of ``model``, or outside a call.

        Args:
            error: the exception.
            model: as configured; the first one if it is empty.
            recorded: the record of its call has the error type ``internal``, and so counts it.
        """
        try:
            self._recorder.faulted(error, model=model or self._model, recorded=recorded)
        except Exception:  # noqa: BLE001 - a broken recorder must not cost the windows their verdicts
            return
