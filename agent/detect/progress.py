"""How far a series is from being judged."""

from agent.detect.settings import DetectSettings
from agent.detect.state import AT, BORN, TOTAL, UPKEEP_AT, State
from agent.domain.records import Progress

SECOND_KIND = 2.0
#: The first other value of a series that had never changed: there is nothing to compare it with.
FIRST_CHANGE = Progress(2, 3, None, "values")


def count_readings(state: State, settings: DetectSettings) -> Progress:
    """Return the progress of a series that is warming up.

    The warm-up ends at the next turn of the upkeep, up to 16 readings late; no more than what is needed is
    said to be seen.
    """
    total, needed = int(state[TOTAL]), settings.warm_readings
    seen = max(0, total - int(state[BORN]))
    until, span = None, state[AT] - state[UPKEEP_AT]
    if not state[BORN] and total > 1 and span > 0.0:  # since its first reading
        until = state[AT] + max(0, needed - seen) * span / (total - 1)
    return Progress(min(seen, needed), needed, until)
