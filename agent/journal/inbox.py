"""Queue of the journal thread: arrivals in wire order, jobs of other threads."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any

from agent.domain.records import Arrival, LinkDown, LinkUp, Posted
from agent.journal.errors import JournalClosedError, JournalError

Item = Arrival | LinkUp | LinkDown

_ARRIVAL_OVERHEAD = 512  # bytes of the objects around topic and payload
_ENOUGH = 1024  # items that keep the writer busy for some groups: more only take memory


@dataclass(frozen=True, slots=True)
class Job:
    """Work for the writer, inside the group's transaction; it may run again after a rollback.

    One that is ``optional`` is given up instead when the storage refuses its transaction.
    """

    run: Callable[[Any], Any]
    future: Future[Any]
    urgent: bool = False
    optional: bool = False


@dataclass(slots=True)
class Group:
    """The content of one transaction."""

    items: list[Item]
    jobs: list[Job]


class Inbox:
    """A queue capped in bytes, with one condition for everything the journal thread waits for."""

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._condition = threading.Condition(threading.Lock())
        self._items: deque[Item] = deque()
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._hungry = False  # net was refused and waits for room
        self._wake_at = 1  # items that wake the writer
        self._intake = True
        self._links = 0  # LinkUps in the queue
        self._urgent = 0
        self._pending_rows = 0
        self._stopped = False
        self._closed = False

    # ------------------------------------------------------------------------------ other threads

    def offer(self, items: Sequence[Item]) -> int:
        """Queue items up to the first without room; return how many: drop the others, unacknowledged.

        A change of the link always fits, because it decides whose acks are whose.
        """
        with self._condition:
            taken = 0
            for item in items:
                if isinstance(item, Arrival):
                    size = _weigh(item)
                    if self._closed or (self._bytes and self._bytes + size > self.max_bytes):
                        self._hungry = True
                        break
                    self._bytes += size
                elif isinstance(item, LinkUp):
                    self._links += 1
                self._items.append(item)
                taken += 1
            if self._intake and (len(self._items) >= self._wake_at or self._links):
                self._condition.notify()
            return taken

    def offer_posted(self, posted: Posted) -> bool:
        """Queue a posted message; False under pressure or at the end, when its sender must try again.

        Unlike a broker the sender gets an answer: nothing is to be done once there is room.
        """
        with self._condition:
            size = _weigh(posted)
            over = self._closed or self._stopped
            if over or self._hungry or not self._intake or self._bytes + size > self.max_bytes // 2:
                return False
            self._bytes += size
            self._items.append(posted)
            if len(self._items) >= self._wake_at:
                self._condition.notify()
            return True

    def submit(self, job: Job) -> bool:
        """Queue a job; False when the journal is closed."""
        with self._condition:
            if self._closed:
                return False
            self._jobs.append(job)
            self._urgent += job.urgent
            if self._wake_at == 1 or job.urgent:
                self._condition.notify()
            return True

    def consumed(self, rows: int) -> None:
        """Take back rows that the analyst has finished."""
        with self._condition:
            before = self._pending_rows
            self._pending_rows -= rows
            if not self._intake and before > 0:
                self._condition.notify()

    def stop(self) -> None:
        """End every wait; queued items are still taken."""
        with self._condition:
            self._stopped = True
            self._condition.notify()

    # -------------------------------------------------------------------------------- the writer

    @property
    def stopped(self) -> bool:
        """Whether the end was asked for."""
        return self._stopped

    @property
    def depth(self) -> int:
        """Items that wait."""
        return len(self._items)

    @property
    def jobs(self) -> int:
        """Jobs that wait; any thread may ask."""
        return len(self._jobs)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    @property
    def pressed(self) -> bool:
        """Whether more waits than the writer needs, or more than half of the room is used."""
        return len(self._items) > _ENOUGH or self._bytes > self.max_bytes // 2

    @property
    def pending_rows(self) -> int:
        """Rows handed to the analyst and not consumed."""
        return self._pending_rows

    def handed(self, rows: int) -> None:
        """Count rows as handed to the analyst."""
        with self._condition:
            self._pending_rows += rows

    def take(
        self,
        *,
        max_items: int,
        max_jobs: int = 512,
        max_bytes: int,
        wait_s: float,
        idle_s: float,
        intake: bool,
        max_pending_rows: int,
    ) -> Group:
        """Wait for work, then the rest of the interval, and return a group; an empty one after ``idle_s``.

        Arrivals and jobs each have their share of it, so neither starves the other. While more jobs wait than
        the next group takes, a group takes a quarter of the arrivals, for each arrival makes more jobs.
        Without ``intake``, or with too many rows unconsumed, arrivals stay where they are. A group ends
        behind a LinkUp, for its generation must be on disk before anything of it is.
        """
        with self._condition:
            self._intake = intake and self._pending_rows < max_pending_rows
            self._wake_at = 1
            if not self._ready() and not self._stopped:
                self._condition.wait_for(
                    lambda: self._ready(intake=intake, limit=max_pending_rows) or self._stopped, idle_s
                )
            self._wake_at = max_items
            if self._ready():
                self._condition.wait_for(lambda: self._due(max_items, max_jobs), self._left_s(wait_s))
            self._wake_at = 1
            jobs = [self._jobs.popleft() for _ in range(min(max_jobs, len(self._jobs)))]
            self._urgent -= sum(job.urgent for job in jobs)
            if len(self._jobs) > max_jobs:
                max_items = max(1, max_items // 4)
            return Group(self._drain(max_items, max_bytes) if self._intake else [], jobs)

    def put_back(self, group: Group) -> None:
        """Return a group that could not be committed to the heads of the queues."""
        with self._condition:
            self._items.extendleft(reversed(group.items))
            self._jobs.extendleft(reversed(group.jobs))
            self._urgent += sum(job.urgent for job in group.jobs)
            self._bytes += sum(_weigh(item) for item in group.items if isinstance(item, Arrival))
            self._links += sum(isinstance(item, LinkUp) for item in group.items)

    def found_room(self) -> bool:
        """Whether net was refused and everything accepted before is taken now; true once per refusal.

        Only then is all of it acknowledged on its own connection, and not sent again on the next.
        """
        with self._condition:
            if not self._hungry or self._items:
                return False
            self._hungry = False
            return True

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        deadline = monotonic() + seconds
        with self._condition:
            while not self._stopped and (left := deadline - monotonic()) > 0:
                self._condition.wait(left)

    def close(self) -> list[Job]:
        """Refuse everything from now on and return the jobs that nobody will run."""
        with self._condition:
            self._closed = True
            jobs = list(self._jobs)
            self._jobs.clear()
            return jobs

    def _ready(self, *, intake: bool | None = None, limit: int = 0) -> bool:
        if intake is not None:  # rows may have been consumed while we waited
            self._intake = intake and self._pending_rows < limit
        return bool(self._jobs) or (self._intake and bool(self._items))

    def _left_s(self, wait_s: float) -> float:
        """Return the rest of the interval, which began when the oldest message can have come."""
        began = math.inf
        if self._intake and self._items:
            oldest = self._items[0]
            began = oldest.mono - oldest.waited_s if isinstance(oldest, Arrival) else oldest.mono
        return max(0.0, min(wait_s, began + wait_s - monotonic()))

    def _due(self, max_items: int, max_jobs: int) -> bool:
        if self._stopped or self._urgent or len(self._jobs) >= max_jobs:
            return True
        return self._intake and (len(self._items) >= max_items or self._links > 0)

    def _drain(self, max_items: int, max_bytes: int) -> list[Item]:
        taken: list[Item] = []
        size = 0
        while self._items and len(taken) < max_items and size < max_bytes:
            item = self._items.popleft()
            taken.append(item)
            if isinstance(item, LinkUp):
                self._links -= 1
                break
            if isinstance(item, Arrival):
                size += _weigh(item)
        self._bytes -= size
        return taken


def _weigh(arrival: Arrival) -> int:
    return len(arrival.payload) + len(arrival.topic) + _ARRIVAL_OVERHEAD


def answer(future: Future[Any], value: object = None, error: Exception | None = None) -> None:
    """Give a job's caller its result or its error."""
    if not future.running() and not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def refuse(jobs: Iterable[Job], error: JournalError | None = None) -> None:
    """Answer jobs that nobody will run any more, because the journal is closed or with ``error``."""
    for job in jobs:
        answer(job.future, error=error or JournalClosedError("journal: closed"))
