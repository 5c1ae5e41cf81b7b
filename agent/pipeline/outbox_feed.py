"""Outbox feed: at most 400 rows of a sink in memory, the rest waits on disk.

From there rows are read in their order. For a pipelined sink some of the devices whose turn it is come
first, each with its oldest rows: in a flood of new devices the known ones keep their verdicts. The order
of a device's rows, and for other sinks that of a key's rows, is never changed.

A key whose delivery fails is left alone for a while; its rows stay on disk and the other keys go on.
After 24 h a failing row is set aside as undeliverable, with its row kept. Sinks do not wait for each
other: each has a feed of its own.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from agent.domain.records import Outgoing
from agent.pipeline.fair_turns import Turns
from agent.pipeline.journal_writes import Writes
from agent.sinks import Answer, Careful, Delivered, Refused, Retry, Sink

MAX_HANDED = 400
MAX_AHEAD = 80  # devices whose turn comes with one load
PER_DEVICE = 2  # rows of each of them
MAX_DONE = 200  # delivered rows in one job of the journal
FIRST_BACKOFF_S = 30.0
MAX_BACKOFF_S = 3600.0
ORPHANS_INTERVAL_S = 3600.0


@dataclass(slots=True)
class SinkStats:
    """Counters of one sink in this process."""

    delivered: int = 0
    retried: int = 0
    refused: int = 0


class SinkFeed:
    """Knows which rows a sink has, and which keys are left alone. All on the analyst's loop.

    Args:
        sink: gets the messages.
        load: reads waiting rows with an id above the given one, at most so many and without the given
            keys, and the oldest rows of some devices; ends in :meth:`loaded`.
        done: removes delivered rows.
        failed: notes a failed delivery and its reason.
        supersede: clears the retain flag of a key's rows below an id.
        settled: gets the id of each row that was answered.
        post: runs a callable on this loop, from any thread.
        seniority: the number of devices that were known before one, or None.
        clock: agent time.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        load: Callable[[int, int, Collection[str], Sequence[str]], None],
        done: Callable[[Sequence[int]], None],
        failed: Callable[[int, str], None],
        supersede: Callable[[str, int], None],
        settled: Callable[[int], None],
        post: Callable[..., object],
        seniority: Callable[[str], int | None],
        clock: Callable[[], float],
        log: Callable[..., None],
    ) -> None:
        self.sink = sink
        self._load = load
        self._done = done
        self._failed = failed
        self._supersede = supersede
        self._settled = settled
        self._post = post
        self._clock = clock
        self._log = log
        self._turns = Turns(seniority)
        self._handed: dict[int, Outgoing] = {}
        self._queues: dict[str, deque[Outgoing]] = {}  # key with an unanswered message -> its next ones
        self._blocked: dict[str, float] = {}  # key -> clock at which it is tried again
        self._backoffs: dict[str, float] = {}  # key -> last backoff, until a delivery
        self._failing: dict[str, int] = {}  # key -> first row that failed, until a delivery
        self.refused: dict[str, tuple[int, Refused]] = {}  # key -> the same of a refusal, and its answer
        self._retrying = False  # since the last delivery, so that an outage is one line of the log
        self._loaded_to = 0  # highest id that was in memory
        self._more = True  # rows above it may be on disk
        self._loading = self._woken = False
        self._delivered: list[int] = []
        self._crossed: set[int] = set()  # delivered while rows are being loaded: they may be among them
        self.stats = SinkStats()

    @property
    def in_memory(self) -> int:
        """Rows that the sink has not answered."""
        return len(self._handed)

    @property
    def complete(self) -> bool:
        """Whether no row waits on disk alone: then ``in_memory`` is all that waits."""
        return not self._more and not self._blocked

    def add(self, items: Iterable[Outgoing], device: str) -> None:
        """Take a device's rows, just committed; those that do not fit stay on disk until there is room.

        A row that is held until its time is read from disk when it has been released.
        """
        for item in items:
            if item.not_before:
                continue
            if self._more or len(self._handed) >= MAX_HANDED:
                self._more = True
                self._ask_turn(device)
                continue
            self._hand([item])
            self._loaded_to = item.outbox_id

    def _ask_turn(self, device: str) -> None:
        """Ask for a turn of a device's rows; for a strict sink they might overtake another device's."""
        if self.sink.pipelined:
            self._turns.ask(device)

    def _hand(self, items: Iterable[Outgoing]) -> None:
        for item in items:
            if item.key in self._blocked or item.outbox_id in self._handed:
                continue
            self._handed[item.outbox_id] = item
            if item.key in self._queues:
                self._queues[item.key].append(item)
            else:
                self._send(item)

    def _send(self, item: Outgoing) -> None:
        if not self.sink.pipelined:
            self._queues.setdefault(item.key, deque())
        self.sink.send(item, partial(self._post, self.answered, item.outbox_id))

    def loaded(
        self, ahead: Mapping[str, Sequence[Outgoing]], items: Sequence[Outgoing], read_to: int
    ) -> None:
        """Take the rows that ``load`` asked for, and the id up to which it has read, 0 for the end.

        ``ahead`` has the devices' own; a device that had any asks for another turn.
        """
        self._loading = False
        crossed, self._crossed = self._crossed, set()
        for device, rows in ahead.items():
            self._hand(item for item in rows if item.outbox_id not in crossed)
            if rows:
                self._ask_turn(device)
        self._hand(item for item in items if item.outbox_id not in crossed)
        if read_to:
            self._loaded_to = read_to
        else:
            self._more = False
            self._turns.clear()
        if self._woken:
            self._woken = False
            self.wake()

    def answered(self, outbox_id: int, answer: Answer) -> None:
        """Take the sink's answer to a row."""
        item = self._handed.pop(outbox_id, None)
        if item is None:
            return
        self._settled(outbox_id)
        match answer:
            case Delivered():
                self._take_delivery(item)
            case Retry():
                self.stats.retried += 1
                self._fail(item, answer.reason)
                self._block(item.key, answer.after_s)
                self._note_retry(answer)
            case Refused():
                self.stats.refused += 1
                self._fail(item, answer.reason)
                self.refused.setdefault(item.key, (outbox_id, answer))
                self._back_off(item.key, answer)

    def _take_delivery(self, item: Outgoing) -> None:
        key, outbox_id = item.key, item.outbox_id
        self.stats.delivered += 1
        self._retrying = False
        self._backoffs.pop(key, None)
        self.refused.pop(key, None)
        if self._failing.pop(key, outbox_id) < outbox_id and item.retain:
            self._supersede(key, outbox_id)  # or the receiver would keep the late one
        self._delivered.append(outbox_id)
        if self._loading:
            self._crossed.add(outbox_id)
        if isinstance(self.sink, Careful):
            self.note_delivered()
        if queue := self._queues.get(key):
            self._send(queue.popleft())
        else:
            self._queues.pop(key, None)
        self._refill()

    def _fail(self, item: Outgoing, reason: str) -> None:
        """Note a failed delivery, and leave the rows behind it on disk."""
        self._failed(item.outbox_id, reason)
        self._failing.setdefault(item.key, item.outbox_id)
        for waiting in self._queues.pop(item.key, ()):
            del self._handed[waiting.outbox_id]

    def _block(self, key: str, delay_s: float) -> bool:
        """Leave a key alone for a while; false if it is already: this message was on its way then."""
        if key in self._blocked:
            return False
        self._blocked[key] = self._clock() + delay_s
        return True

    def _back_off(self, key: str, answer: Refused) -> None:
        backoff_s = min(MAX_BACKOFF_S, 2 * self._backoffs.get(key, FIRST_BACKOFF_S / 2))
        if not self._block(key, backoff_s):
            return
        self._backoffs[key] = backoff_s
        self._log(
            "verdict_publish_refused" if self.sink.pipelined else "sink_message_refused",
            level="warning",
            sink=self.sink.name,
            reason_code=answer.code,
            reason=answer.reason,
            retry_s=backoff_s,
            remedy=answer.remedy,
        )

    def _note_retry(self, answer: Retry) -> None:
        if not self._retrying:
            self._retrying = True
            self._log(
                "sink_delivery_failed",
                level="warning",
                sink=self.sink.name,
                reason=answer.reason,
                retry_s=answer.after_s,
            )

    def wake(self) -> None:
        """Read the rows on disk again: some that were held have been released."""
        if self._loading:
            self._woken = True  # they may be before the rows that are being read
        else:
            self._loaded_to, self._more = 0, True

    def turn(self, clock: float) -> None:
        """Note deliveries on disk, take up keys that were left alone, and refill from disk."""
        self.note_delivered()
        # Not before all others were read: reading from the start each time would never reach the end.
        again = [] if self._more else [key for key, until in self._blocked.items() if until <= clock]
        if again:
            for key in again:
                del self._blocked[key]
            self.wake()
        self._refill()

    def note_delivered(self) -> None:
        """Have the delivered rows removed from disk, so that no later process sends them again."""
        delivered, self._delivered = self._delivered, []
        for start in range(0, len(delivered), MAX_DONE):
            self._done(delivered[start : start + MAX_DONE])

    def _refill(self) -> None:
        if self._more and not self._loading and len(self._handed) < MAX_HANDED // 2:
            self._loading = True
            self.note_delivered()  # some rows of a device's turn may be ahead of the rows read now
            ahead = self._turns.take(MAX_AHEAD)
            limit = MAX_HANDED - PER_DEVICE * len(ahead)
            self._load(self._loaded_to, limit, frozenset(self._blocked), ahead)


class OutboxFeed:
    """Hands rows to the feeds of their sinks by name.

    Rows of a sink that is not configured any more stay on disk, hold up nothing, and are reported.
    """

    def __init__(
        self,
        sinks: Iterable[Sink],
        *,
        write: Writes,
        settled: Callable[[int], None],
        post: Callable[..., object],
        seniority: Callable[[str], int | None],
        clock: Callable[[], float],
        log: Callable[..., None],
    ) -> None:
        self._write = write
        self._log = log
        self._orphans: dict[str, int] = {}
        self._orphans_at = 0.0
        self.feeds: dict[str, SinkFeed] = {}
        for sink in sinks:
            self.feeds[sink.name] = SinkFeed(
                sink,
                load=partial(self._load, sink.name),
                done=partial(self._done, sink),
                failed=lambda row, reason: write(lambda store: store.outbox.fail(row, reason)),
                supersede=partial(self._supersede, sink.name),
                settled=settled,
                post=post,
                seniority=seniority,
                clock=clock,
                log=log,
            )

    @property
    def in_memory(self) -> int:
        """Rows that the sinks have not answered."""
        return sum(feed.in_memory for feed in self.feeds.values())

    @property
    def complete(self) -> bool:
        """Whether no row waits on disk alone: then ``in_memory`` is all that waits."""
        return not self._orphans and all(feed.complete for feed in self.feeds.values())

    def add(self, items: Sequence[Outgoing], device: str) -> None:
        """Take a device's rows, just committed."""
        for name, feed in self.feeds.items():
            feed.add([item for item in items if item.sink == name], device)

    def turn(self, clock: float) -> None:
        """Let each feed do what is due, and look for rows of sinks that are not configured."""
        for feed in self.feeds.values():
            feed.turn(clock)
        if clock >= self._orphans_at:
            self._orphans_at = clock + ORPHANS_INTERVAL_S
            names = tuple(self.feeds)
            self._write(lambda store: store.outbox.orphans(names), self._report_orphans)

    def wake(self, sink: str) -> None:
        """Read the rows of a sink again: some were released."""
        self.feeds[sink].wake()

    def note_delivered(self) -> None:
        """Have all delivered rows removed from disk."""
        for feed in self.feeds.values():
            feed.note_delivered()

    def _done(self, sink: Sink, ids: Sequence[int]) -> None:
        noted = sink.noted if isinstance(sink, Careful) else None
        self._write(lambda store: store.outbox.finish(ids), None if noted is None else lambda _none: noted())

    def _load(self, sink: str, after: int, limit: int, skip: Collection[str], ahead: Sequence[str]) -> None:
        self._write(
            lambda store: (
                store.outbox.of_devices(sink, ahead, limit=PER_DEVICE, skip=skip),
                *store.outbox.pending(sink, after=after, limit=limit, skip=skip),
            ),
            lambda got: self.feeds[sink].loaded(*got),
        )

    def _supersede(self, sink: str, key: str, outbox_id: int) -> None:
        self._write(lambda store: store.outbox.supersede(sink, key, outbox_id))

    def _report_orphans(self, found: Mapping[str, int]) -> None:
        for sink, messages in found.items():
            if sink not in self._orphans:
                self._log(
                    "outbox_sink_unknown",
                    level="warning",
                    sink=sink,
                    messages=messages,
                    remedy="configure this sink again, or let its messages go: they are given up after 24 h",
                )
        self._orphans = dict(found)
