"""Keeps faults of the telemetry away from the work that it describes."""

from collections.abc import Callable
from types import TracebackType


class Guard:
    """A reusable context that swallows, counts and tells what goes wrong inside it."""

    def __init__(self, *, report: Callable[..., None]) -> None:
        self._report = report
        self.faults = 0

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):
            return False
        self.faults += 1
        try:
            self._report("telemetry_failed", "warning", exc_info=error)
        except Exception:  # noqa: BLE001 -- nothing is left to tell it with
            self.faults += 1
        return True
