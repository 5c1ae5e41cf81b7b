"""Feeds the outbox to the broker: at most 400 rows in memory, the rest waits on disk.

From there rows are read in their order, but first some of the devices whose turn it is, each one's oldest: in
a flood of new devices the known ones keep their verdicts. The order of a device's rows is never changed.

A topic that the broker refuses is left alone for a while, doubling up to an hour; its rows stay on disk and
the other topics go on. After 24 h a refused row is set aside as undeliverable, with its row kept.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.domain.records import Outgoing
from agent.pipeline.fair_turns import Turns

MAX_HANDED = 400
MAX_AHEAD = 80  # devices whose turn comes with one load
PER_DEVICE = 2  # rows of each of them
MAX_DONE = 200  # acknowledged rows in one job of the journal
FIRST_BACKOFF_S = 30.0
MAX_BACKOFF_S = 3600.0
REFUSED = 0x80


@dataclass(slots=True)
class OutboxStats:
    """Counters of the feeder."""

    published: int = 0
    refused: int = 0
    undeliverable: int = 0


class Outbox:
    """Knows which rows are with the net thread, and which topics are left alone.

    ``publish`` hands rows to the net thread, ``load`` reads pending rows with an id above the given one, at
    most so many and without the given topics, from the journal, and the oldest ones of some devices; ``done``
    and ``refuse`` note the result there, ``settled`` hears of both. ``supersede`` has the rows of a topic
    below an id published without the retain flag. All on the analyst's loop.
    """

    def __init__(
        self,
        *,
        publish: Callable[[Sequence[Outgoing]], None],
        load: Callable[[int, int, Collection[str], Sequence[str]], None],
        done: Callable[[Sequence[int]], None],
        refuse: Callable[[int, int], None],
        supersede: Callable[[str, int], None],
        settled: Callable[[int], None],
        seniority: Callable[[str], int | None],
        log: Callable[..., None],
    ) -> None:
        self._publish = publish
        self._load = load
        self._done = done
        self._refuse = refuse
        self._supersede = supersede
        self._settled = settled
        self._log = log
        self._turns = Turns(seniority)
        self._handed: dict[int, Outgoing] = {}
        self._blocked: dict[str, float] = {}  # topic -> clock at which it is tried again
        self._backoffs: dict[str, float] = {}  # topic -> last backoff, until it is accepted
        self._refused: dict[str, tuple[int, int]] = {}  # topic -> row and code, until it is accepted
        self._loaded_to = 0  # highest id that was in memory
        self._more = True  # rows above it may be on disk
        self._loading = False
        self._acked: list[int] = []
        self._beside: set[int] = set()  # acknowledged while rows are being loaded: they may be among them
        self.stats = OutboxStats()

    @property
    def in_memory(self) -> int:
        """Rows that are with the net thread."""
        return len(self._handed)

    @property
    def complete(self) -> bool:
        """Whether no row waits on disk alone: then ``in_memory`` is all that waits."""
        return not self._more and not self._blocked

    @property
    def blocked_topics(self) -> tuple[str, ...]:
        """Topics that the broker refused and that are left alone for now."""
        return tuple(self._blocked)

    @property
    def refused(self) -> dict[str, tuple[int, int]]:
        """The topics that the broker refuses, with the first refused row of each and its reason code."""
        return dict(self._refused)

    def add(self, items: Sequence[Outgoing], device: str) -> None:
        """Take a device's rows, just committed; what does not fit stays on disk until there is room."""
        for item in items:
            if self._more or len(self._handed) >= MAX_HANDED:
                self._more = True
                self._turns.ask(device)
                continue
            self._hand([item])
            self._loaded_to = item.outbox_id

    def _hand(self, items: Sequence[Outgoing]) -> None:
        ready = [
            item for item in items if item.topic not in self._blocked and item.outbox_id not in self._handed
        ]
        if ready:
            self._handed.update((item.outbox_id, item) for item in ready)
            self._publish(ready)

    def loaded(
        self, ahead: Mapping[str, Sequence[Outgoing]], items: Sequence[Outgoing], read_to: int
    ) -> None:
        """Take the rows that ``load`` asked for, and the id up to which it has read, 0 for the end.

        ``ahead`` has the devices' own; a device that had any asks for another turn.
        """
        self._loading = False
        beside, self._beside = self._beside, set()
        for device, rows in ahead.items():
            self._hand([item for item in rows if item.outbox_id not in beside])
            if rows:
                self._turns.ask(device)
        if not read_to:
            self._more = False
            self._turns.clear()
            return
        self._hand([item for item in items if item.outbox_id not in beside])
        self._loaded_to = read_to

    def published(self, outbox_id: int, reason_code: int, clock: float) -> None:
        """Note the broker's PUBACK (or the net thread's refusal to send) of a row."""
        item = self._handed.pop(outbox_id, None)
        if item is None:
            return
        self._settled(outbox_id)
        if reason_code < REFUSED:
            self.stats.published += 1
            self._backoffs.pop(item.topic, None)
            first, _ = self._refused.pop(item.topic, (outbox_id, reason_code))
            if item.retain and first < outbox_id:
                self._supersede(item.topic, outbox_id)  # or the late one would be what the topic holds
            self._acked.append(outbox_id)
            if self._loading:
                self._beside.add(outbox_id)
            self._refill()
            return
        self.stats.refused += 1
        self._refuse(outbox_id, reason_code)
        self._refused.setdefault(item.topic, (outbox_id, reason_code))
        if item.topic in self._blocked:
            return  # was on its way when the topic was refused
        backoff_s = min(MAX_BACKOFF_S, 2 * self._backoffs.get(item.topic, FIRST_BACKOFF_S / 2))
        self._backoffs[item.topic] = backoff_s
        self._blocked[item.topic] = clock + backoff_s
        self._log(
            "verdict_publish_refused",
            level="warning",
            reason_code=reason_code,
            retry_s=backoff_s,
            remedy="allow the agent to write below its base topic, or raise the broker's packet limit",
        )

    def turn(self, clock: float) -> None:
        """Note what was acknowledged, take up refused topics again, and refill from disk."""
        self.note_acked()
        # Not before all others were read: whoever begins anew each time never gets to the end.
        again = [] if self._more else [topic for topic, until in self._blocked.items() if until <= clock]
        if again:
            for topic in again:
                del self._blocked[topic]
            self._loaded_to, self._more = 0, True  # their rows were left on disk: read on from the start
        self._refill()

    def note_acked(self) -> None:
        """Have the acknowledged rows removed from disk, so that no later process sends them again."""
        acked, self._acked = self._acked, []
        for start in range(0, len(acked), MAX_DONE):
            self._done(acked[start : start + MAX_DONE])

    def _refill(self) -> None:
        if self._more and not self._loading and len(self._handed) < MAX_HANDED // 2:
            self._loading = True
            self.note_acked()  # of a device's turn some may lie ahead of what is read now
            ahead = self._turns.take(MAX_AHEAD)
            limit = MAX_HANDED - PER_DEVICE * len(ahead)
            self._load(self._loaded_to, limit, frozenset(self._blocked), ahead)
