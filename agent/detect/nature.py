"""What the name of a metric tells of how it behaves, where its values cannot."""

import re

_WORDS = re.compile(r"[a-z]+")
_RESERVES = frozenset({"battery", "batt", "bat", "vbat", "vbatt", "accu", "akku"})


def is_reserve(metric: str) -> bool:
    """Say whether ``metric`` is what is left of a battery: it rests for days and rises at once."""
    return not _RESERVES.isdisjoint(_WORDS.findall(metric.casefold()))
