"""The answer cache: grounded answers for later windows with the same evidence."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from agent.ai.validate import check
from agent.domain.records import Answer, Grounding, Outcome, Source, Window
from agent.prompt import ALONE, VERSION, Shared
from agent.prompt.section import dump, load

ENTRY_BYTES = 600  # of an entry without its summary, roughly
#: Ids, times and counts, which differ from window to window and show nothing of an anomaly.
_LEFT_OUT = frozenset({"id", "after_s", "ago_s", "span_s", "readings", "n"})
_HOUR = 6  # characters of weekday and hour: what is planned for one hour is not for another


@dataclass(frozen=True, slots=True)
class Entry:
    """A grounded answer: its evidence are the facts that it cites, and the places of candidates."""

    stored: float  # clock
    answer: Answer
    cited: tuple[int, ...]
    model: str | None
    version: str  # of the prompt that was answered

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        return ENTRY_BYTES + 2 * len(self.answer.summary)


class AnswerCache:
    """The least recently used grounded answers, limited in age and bytes.

    A window gets an answer if its evidence is the same to two significant digits, and if each claim of the
    answer holds in this window too.

    Args:
        ttl_s: how long an answer serves; 0 switches the cache off.
        max_bytes: of all answers.
        context: what else shapes an answer, such as model and temperature.
        clock: monotonic seconds.
        version: of the text of the prompt.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        max_bytes: int,
        context: tuple[object, ...],
        clock: Callable[[], float],
        version: str = VERSION,
    ) -> None:
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._context = context
        self._clock = clock
        self._version = version
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def on(self) -> bool:
        """Whether answers are stored."""
        return self._ttl_s > 0

    def get(self, window: Window, shared: Shared = ALONE) -> Outcome | None:
        """Return the outcome of a stored answer if it is grounded in ``window``.

        ``shared`` is the part of a prompt on its device that people wrote.
        """
        key = self._key(window, shared)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._clock() - entry.stored > self._ttl_s:
            self._drop(key)
            return None
        candidates = load(window)["candidates"]
        evidence = tuple(candidates[place]["id"] for place in entry.cited)
        answer = replace(entry.answer, evidence=(*evidence, *entry.answer.evidence))
        outcome = check(answer, window, shared, source=Source.CACHE)
        if outcome.grounding is not Grounding.GROUNDED:
            return None
        self._entries.move_to_end(key)
        return replace(outcome, model=entry.model, prompt_version=entry.version, cost_usd=0.0)

    def put(
        self,
        window: Window,
        answer: Answer,
        model: str | None,
        shared: Shared = ALONE,
        *,
        version: str = VERSION,
    ) -> None:
        """Store an ``answer`` that is grounded in ``window``, in the model's own words."""
        places = {item["id"]: place for place, item in enumerate(load(window)["candidates"])}
        cited = tuple(places[ref] for ref in answer.evidence if ref in places)
        answer = replace(answer, evidence=tuple(ref for ref in answer.evidence if ref not in places))
        key = self._key(window, shared)
        self._drop(key)
        self._entries[key] = entry = Entry(self._clock(), answer, cited, model, version)
        self._bytes += entry.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size

    def _key(self, window: Window, shared: Shared) -> str:
        parts = [self._version, self._context, shared.name, dict(shared.facts), _same(load(window))]
        return sha256(dump(parts).encode()).hexdigest()


def _same(value: Any) -> Any:
    """Return a part of a section without ids, exact times and counts, its numbers to two digits."""
    if isinstance(value, dict):
        hour = {"at": str(value["at"])[:_HOUR]} if "at" in value else {}
        return {name: _same(item) for name, item in value.items() if name not in _LEFT_OUT} | hour
    if isinstance(value, list):
        return [_same(item) for item in value]
    if isinstance(value, float | int) and not isinstance(value, bool):
        return float(f"{value:.2g}")
    return value
