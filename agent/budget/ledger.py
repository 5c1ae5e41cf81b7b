"""The AI budget on disk, booked before a call and settled after it.

The worst case is booked, and the difference given back. A booking is part of the periods' sums from the
moment it commits, so a process that dies in between has spent it. Money is counted in nano-USD. The file is
apart from the journal: a journal that is moved aside does not reset the spend. It uses a rollback journal,
not WAL, so that readers leave nothing behind.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import tzinfo
from pathlib import Path
from typing import TypeVar

from agent.budget.periods import KINDS, Anchor, Period, jumped, roll, spend_of
from agent.budget.pricing import nano
from agent.budget.store import LedgerFile
from agent.domain.model_calls import BudgetWindow, Spend
from agent.journal.errors import JournalError

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

T = TypeVar("T")


def boot_id() -> str:
    """Name this boot, which the monotonic clock counts from."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return f"process-{os.getpid()}"


class BudgetLedger:
    """Implements :class:`agent.ai.protocols.Ledger` on ``budget.sqlite``.

    Opening reads the file; after that all I/O runs in one thread of its own, and :meth:`spend` does none.

    Args:
        path: of the SQLite file.
        limits: USD for hour, day and month.
        zone: time zone whose hours, days and months count.
        wall: Unix seconds.
        mono: monotonic seconds of this boot.
        log: logs ``budget_file_lost``, ``budget_clock_jumped`` and ``budget_write_failed``.
        boot: names the boot that ``mono`` counts from.
        shared: the agent may have the file open and bookings under way; they are kept.

    Raises:
        JournalNewerError: the file is of a newer agent; nothing was touched.
        JournalError: the file cannot be opened or created.
    """

    def __init__(
        self,
        path: Path,
        *,
        limits: Mapping[BudgetWindow, float],
        zone: tzinfo,
        wall: Callable[[], float],
        mono: Callable[[], float],
        log: Callable[..., None] | None = None,
        boot: str | None = None,
        shared: bool = False,
    ) -> None:
        self._zone = zone
        self._wall = wall
        self._mono = mono
        self._log = log or (lambda _event, **_fields: None)
        self._boot = boot or boot_id()
        self._limits = {kind: nano(limits[BudgetWindow(kind)]) for kind in KINDS}
        self._failing = False
        self._lock = threading.Lock()  # the view below is swapped by the ledger's thread, read by any
        self._file = LedgerFile(path)
        self.lost = self._file.open(self._now(), self._zone, shared=shared)
        self._periods, self._anchor, self._bookings = *self._file.load(), self._file.bookings()
        if self.lost:
            self._log(
                "budget_file_lost",
                level="warning",
                path=str(path),
                remedy="the caps count as spent until the next period; or run edge-agent budget reset",
            )
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="budget")

    # --------------------------------------------------------------------------------- any thread

    def reconfigure(self, limits: Mapping[BudgetWindow, float]) -> None:
        """Take new limits, USD; what is booked stays."""
        self._limits = {kind: nano(limits[BudgetWindow(kind)]) for kind in KINDS}

    def spend(self) -> Mapping[BudgetWindow, Spend]:
        """Return limit, spent and reserved of the running periods, USD; without I/O."""
        with self._lock:
            stored, anchor, bookings = self._periods, self._anchor, self._bookings
        return spend_of(stored, anchor, bookings, limits=self._limits, now=self._now(), zone=self._zone)

    # ------------------------------------------------------------------------------- on the loop

    async def reserve(self, amount_usd: float, purpose: str) -> int | None:
        """Book ``amount_usd`` in all three periods, or nothing and return None when a cap would be passed.

        When the awaiting task is cancelled the booking is given back as soon as it is on disk.

        Raises:
            JournalError: the file cannot be written; nothing may be spent then.
        """
        job = self._executor.submit(self._book, nano(amount_usd), purpose)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if not job.cancel():
                job.add_done_callback(self._release)
            raise

    async def settle(self, reservation: int, actual_usd: float) -> None:
        """Replace a booking by the cost of the call, USD; it may be nothing.

        Raises:
            JournalError: the file cannot be written; the booking remains.
        """
        await asyncio.shield(
            asyncio.wrap_future(self._executor.submit(self._settle, reservation, nano(actual_usd)))
        )

    async def refresh(self) -> None:
        """Read the file again: ``edge-agent budget reset`` may have changed it."""
        await asyncio.wrap_future(self._executor.submit(self._refresh))

    async def reset(self) -> None:
        """Forget all spend of the running periods."""
        await asyncio.wrap_future(self._executor.submit(self._reset))

    def close(self) -> None:
        """Finish what was handed in and close the file. Bookings that were not settled stay spent."""
        self._executor.shutdown(wait=True)
        self._file.close()

    # ------------------------------------------------------------------------ the ledger's thread

    def _now(self) -> Anchor:
        return Anchor(self._wall(), self._mono(), self._boot)

    def _roll(self) -> dict[str, Period]:
        """Bring the periods to this moment; what changed is stored with the transaction under way."""
        stored, anchor = self._file.load()
        now = self._now()
        periods, moved = roll(stored, anchor, now, self._zone)
        if jumped(anchor, now):
            self._log("budget_clock_jumped", level="warning", wall=now.wall, before=anchor.wall)
            self._file.move({kind: (stored[kind].start, one.start) for kind, one in periods.items()})
        if moved != anchor or periods != stored:
            self._file.store(periods, moved)
        return periods

    def _book(self, amount: int, purpose: str) -> int | None:
        booking = None
        with self._transaction():
            periods = self._roll()
            if all(self._fits(kind, periods[kind], amount) for kind in KINDS):
                self._file.book({kind: one.booked + amount for kind, one in periods.items()})
                starts = {kind: one.start for kind, one in periods.items()}
                booking = self._file.add(amount, purpose, self._wall(), starts)
        self._view()
        return booking

    def _fits(self, kind: str, period: Period, amount: int) -> bool:
        limit = self._limits[kind]
        return amount == 0 or (not period.lost and period.booked + amount <= limit)

    def _settle(self, booking: int, actual: int) -> None:
        with self._transaction():
            periods = self._roll()
            found = self._file.take(booking)
            sums = {}
            for kind, one in periods.items():
                if found is None:  # a reset came in between: the cost is new to these periods
                    change = actual
                else:
                    amount, starts = found
                    change = actual - amount if starts[kind] == one.start else 0
                sums[kind] = max(0, one.booked + change)
            self._file.book(sums)
        self._view()

    def _refresh(self) -> None:
        with self._transaction():
            self._roll()
        self._view()

    def _reset(self) -> None:
        with self._transaction():
            self._file.reset(self._now(), self._zone)
        self._view()

    def _view(self) -> None:
        (periods, anchor), bookings = self._file.load(), self._file.bookings()
        with self._lock:
            self._periods, self._anchor, self._bookings = periods, anchor, bookings

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._file.transaction():
                yield
            self._failing = False
        except sqlite3.Error as error:
            if not self._failing:
                self._failing = True
                self._log("budget_write_failed", level="error", error=str(error))
            raise JournalError(
                f"budget: cannot write {self._file.path}: {error}; free space or correct the rights, "
                "no model call is made until then"
            ) from error

    def _release(self, job: Future[int | None]) -> None:
        """Give back a booking that nobody waits for any more."""
        if job.cancelled() or job.exception() is not None:
            return
        booking = job.result()
        if booking is not None:
            with contextlib.suppress(RuntimeError):  # closed: it stays spent
                self._executor.submit(self._settle, booking, 0)
