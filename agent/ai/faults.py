"""What the caller does with an exception of its own code: counts it and hands it to the recorder."""

from agent.ai.protocols import Recorder
from agent.ai.state import CallerStats


class Faults:
    """Counts faults and reports each once. Reporting never raises."""

    def __init__(self, *, stats: CallerStats, recorder: Recorder, model: str) -> None:
        self._stats = stats
        self._recorder = recorder
        self._model = model

    def note(self, error: BaseException, *, model: str = "", recorded: bool = False) -> None:
        """Count a fault of the caller's own steps and report it."""
        self._stats.fault(error)
        self.tell(error, model=model, recorded=recorded)

    def tell(self, error: BaseException, *, model: str, recorded: bool) -> None:
        """Report a fault in a call of ``model``, else outside a call.

        Args:
            error: the exception.
            model: as configured; the first one if it is empty.
            recorded: the record of its call has the error type ``internal``, and so counts it.
        """
        try:
            self._recorder.faulted(error, model=model or self._model, recorded=recorded)
        except Exception:  # noqa: BLE001 - a broken recorder must not cost the windows their verdicts
            return
