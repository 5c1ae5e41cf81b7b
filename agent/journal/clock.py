"""Agent time: seconds that never run backwards."""

from collections.abc import Callable


class AgentClock:
    """Unix seconds at start, at least the last journaled clock, then the monotonic clock's pace.

    A wall clock that steps while the agent runs changes nothing. One that is behind at start (no RTC)
    continues where the journal ended. ``stretch`` makes it pass faster than the monotonic clock in a trial.
    """

    def __init__(
        self,
        *,
        last: float,
        wall: Callable[[], float],
        mono: Callable[[], float],
        stretch: Callable[[float], float] = float,
    ) -> None:
        self._mono = mono
        self._stretch = stretch
        self._offset = max(wall(), last) - stretch(mono())

    def now(self) -> float:
        """Return agent time."""
        return self._offset + self._stretch(self._mono())

    def at(self, mono: float) -> float:
        """Return the agent time of a monotonic time of this process."""
        return self._offset + self._stretch(mono)
