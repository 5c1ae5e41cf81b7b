"""Keeps faults of the telemetry away from the work that it describes."""

from collections.abc import Callable
from types import TracebackType


class Guard:
    """A reusable context that swallows what goes wrong inside it, counts it and hands it to ``note``."""

    def __init__(self, *, note: Callable[[Exception], None]) -> None:
        self._note = note
        self.faults = 0

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.faults += 1
        self._note(error)
        return True
