"""Whether the configured limits find the series that they are meant for, in a unit that they know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from agent.detect.limits import Limit

MAX_COMPARED = 200  # names that the nearest one is sought among
MAX_NEAREST = 5  # limits that it is sought for

Known = tuple[str, str, str | None, Limit | None]  # device, metric, unit, the limit that holds for it


@dataclass(slots=True)
class LimitUse:
    """What one limit holds for."""

    limit: Limit
    covered: int = 0  # series that its pattern covers
    unfit: int = 0  # series that it should hold for, whose unit it does not know
    example: tuple[str, str] | None = None  # one of these, as device/metric, and its unit
    nearest: str | None = None  # of a limit that covers nothing: the series with the most similar name


def find_use(limits: Sequence[Limit], series: Iterable[Known]) -> list[LimitUse]:
    """Return how each limit fares with the known series; nothing while none is known."""
    every = list(series)
    if not every:
        return []
    uses = {limit.pattern: LimitUse(limit) for limit in limits}
    for device, metric, unit, limit in every:
        use = None if limit is None else uses.get(limit.pattern)
        if limit is None or use is None:
            continue
        use.covered += 1
        if not limit.speaks_of(unit):
            use.unfit += 1
            use.example = use.example or (f"{device}/{metric}", unit or "")
    sought = 0
    for use in uses.values():
        if not use.covered:  # another limit may hold for all that it covers
            use.covered = sum(use.limit.covers(device, metric) for device, metric, _, _ in every)
        if not use.covered and sought < MAX_NEAREST:
            sought += 1
            names = [f"{device}/{metric}" for device, metric, _, _ in every[:MAX_COMPARED]]
            use.nearest = next(iter(get_close_matches(use.limit.pattern, names, n=1, cutoff=0.5)), None)
    return list(uses.values())
