"""Label values within bounds: an unbounded label costs memory and scrape time without end."""

import hashlib
import re
import threading
from collections.abc import Collection, Iterable

from agent.observe.registry import OTHER

MAX_CHARS = 100
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def label_text(value: str) -> str:
    """Return ``value`` as a label value; with a hash when it had to be cut, so that two stay two."""
    if len(value) <= MAX_CHARS and not _UNFIT.search(value):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{_UNFIT.sub('', value)[: MAX_CHARS - 20]}~{digest}"


class LabelBounds:
    """Which values each label has taken so far, and how many did not fit."""

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        #: Metric -> values that were turned into ``other``; ``metrics`` are shown from the start.
        self.overflow = dict.fromkeys(metrics, 0)

    def bounded(
        self,
        label: str,
        value: str,
        *,
        metric: str,
        allowed: Collection[str] | None = None,
        max_n: int | None = None,
    ) -> str:
        """Return ``value`` fit for ``label``, or ``other`` and count it.

        Args:
            label: The label's name.
            value: The value as it came.
            metric: Family under which an overflow is counted.
            allowed: A closed list; with ``max_n`` its values count as taken.
            max_n: How many values the label may take in all, ``other`` among them.
        """
        value = label_text(value) or OTHER
        if value == OTHER or (allowed is not None and value in allowed):
            return value
        if max_n is None:
            return self._overflowed(metric)
        with self._lock:
            seen = self._seen.setdefault(label, set(allowed or ()))
            if value in seen:
                return value
            if len(seen) < max_n - 1:
                seen.add(value)
                return value
        return self._overflowed(metric)

    def raise_to(self, metric: str, count: int) -> None:
        """Note that at most ``count`` values of ``metric`` did not fit; the counter never falls."""
        with self._lock:
            self.overflow[metric] = max(self.overflow.get(metric, 0), count)

    def _overflowed(self, metric: str) -> str:
        with self._lock:
            self.overflow[metric] = self.overflow.get(metric, 0) + 1
        return OTHER
