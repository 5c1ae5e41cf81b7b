"""Notices of findings, made with the verdict, and let go when their time has come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.domain.records import Finding, FindingEvent, FindingState, Kind, Outgoing, Severity, Verdict
from agent.journal.notices import Alone, Released, message_of
from agent.pipeline.journal_writes import Writes
from agent.verdict.incident import Change
from agent.verdict.notice import (
    RANK,
    NoticeRules,
    at_once,
    end_of,
    is_news_again,
    is_wanted,
    key_of,
    news,
    of_end,
    of_finding,
)

MAX_LOOK_S = 60.0  # between two looks while something is held: quiet hours may begin


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink of notices: from which severity, and whether it wants to know that a finding is over."""

    sink: str
    min_severity: Severity
    cleared: bool = False


@dataclass(slots=True)
class NoticeStats:
    """Counters of one sink in this process, in addition to those of its feed."""

    folded: int = 0
    given_up: int = 0


@dataclass(slots=True, kw_only=True)
class Notices:
    """Makes the rows of a change, and asks the journal to release what is due. On the analyst's loop.

    ``wake`` is called with a sink of which rows were released. ``link`` leads people to the status page.
    """

    agent: str
    receivers: Sequence[Receiver]
    rules: NoticeRules
    link: str | None
    write: Writes
    wake: Callable[[str], None]
    clock: Callable[[], float]
    wall: Callable[[], float]
    active: Callable[[], bool] = lambda: True  # else another agent makes the digest
    stats: dict[str, NoticeStats] = field(default_factory=dict)
    _look_at: dict[str, float] = field(default_factory=dict)  # sink -> clock
    _looking: set[str] = field(default_factory=set)
    _digest_at: float = 0.0

    def __post_init__(self) -> None:
        self.stats = {one.sink: NoticeStats() for one in self.receivers}
        self._look_at = dict.fromkeys(self.stats, 0.0)

    def reconfigure(self, rules: NoticeRules, link: str | None) -> None:
        """Take reloaded rules; what is held keeps its time."""
        self.rules, self.link = rules, link
        self._look_at = dict.fromkeys(self.stats, 0.0)
        self._digest_at = 0.0

    def of_change(
        self,
        event: FindingEvent | None,
        finding: Finding,
        verdict: Verdict,
        before: Finding | None,
        changes: Sequence[Change],
        spread_s: float = 0.0,
        *,
        back: bool = False,
    ) -> list[Outgoing]:
        """Return the rows that notify people of a change, for the transaction of its verdict.

        ``changes`` are those of its incident: only the end of it is worth a notice of its own. ``spread_s``
        is the time in which others of its cause may be found, ``back`` whether its device was in the
        incident before.
        """
        clock = self.clock()
        change = news(event, finding, before) if self.receivers else None
        if finding.state is FindingState.FORGOTTEN:  # it is not over, it is given up
            change = None
        if change is None or not is_wanted(finding, before, clock):
            return []
        wall, rules = self.wall(), self.rules
        urgent, over = at_once(finding, before, verdict), None
        if change is FindingEvent.CLEARED:
            over = end_of(finding, changes, clock)
        devices = 1 if over is None else max((one.incident.devices for one in changes), default=1)
        since = self._since(finding, clock, wall)
        notice = of_finding(change, finding, verdict, since=since, link=self.link, devices=devices)
        wait_s = 0.0 if urgent else max(rules.settle_s, spread_s)
        not_before = clock + rules.held_s(wall, finding.severity, wait_s=wait_s)
        rows = []
        for one in self.receivers:
            if RANK[over or finding.severity] >= RANK[one.min_severity]:
                alone = Alone.NEWS
                if change is FindingEvent.CLEARED:
                    alone = Alone.HELD if one.cleared and over is not None else Alone.DROPPED
                elif urgent or (before is not None and is_news_again(finding, before)):
                    alone = Alone.HELD
                elif back and finding.kind is Kind.SILENCE:
                    alone = Alone.AGAIN
                rows.append(message_of(notice, one.sink, key_of(finding), not_before=not_before, alone=alone))
                self._look_at[one.sink] = 0.0  # the look comes behind the transaction
        return rows

    def of_end(self, finding: Finding, words: str, last: Mapping[str, Any] | None) -> list[Outgoing]:
        """Return the rows that notify people of a finding that has outlasted its snooze or maintenance.

        ``words`` name what is over, ``last`` is its last anomaly, as JSON values.
        """
        clock, wall = self.clock(), self.wall()
        if finding.quiet(clock):  # by the other one
            return []
        since = self._since(finding, clock, wall)
        notice = of_end(finding, words, last, agent=self.agent, at=wall, since=since, link=self.link)
        wait_s = self.rules.held_s(wall, finding.severity, wait_s=self.rules.settle_s)
        rows = [
            message_of(notice, one.sink, key_of(finding), not_before=clock + wait_s, alone=Alone.HELD)
            for one in self.receivers
            if RANK[finding.severity] >= RANK[one.min_severity]
        ]
        self._look_at |= dict.fromkeys((row.sink for row in rows), 0.0)
        return rows

    def _since(self, finding: Finding, clock: float, wall: float) -> str:
        return self.rules.clock_words(wall - max(0.0, clock - finding.opened))

    def turn(self, clock: float) -> None:
        """Release what is due."""
        if not self.receivers:
            return
        if self.rules.digest is not None and self.active() and clock >= self._digest_at:
            self._digest_at = clock + MAX_LOOK_S
            self._look_for_digest()
        for sink, at in self._look_at.items():
            if clock >= at and sink not in self._looking:
                self._looking.add(sink)
                self._look_at[sink] = clock + MAX_LOOK_S
                self._look(sink)

    def _look(self, sink: str) -> None:
        rules, wall = self.rules, self.wall()
        self.write(
            lambda store: store.outbox.notices.release(sink, rules, wall=wall), partial(self._released, sink)
        )

    def _released(self, sink: str, found: Released) -> None:
        self._looking.discard(sink)
        self.stats[sink].folded += found.folded
        self.stats[sink].given_up += found.given_up
        if found.due is not None:
            self._look_at[sink] = min(self._look_at[sink], found.due)
        if found.rows:
            self.wake(sink)

    def _look_for_digest(self) -> None:
        rules, wall, sinks = self.rules, self.wall(), [one.sink for one in self.receivers]
        self.write(
            lambda store: store.outbox.notices.digest(sinks, rules, agent=self.agent, wall=wall),
            self._take_digest,
        )

    def _take_digest(self, due: float | None) -> None:
        if due is None:
            return
        self._digest_at = min(self._digest_at, due)
        self._look_at = dict.fromkeys(self.stats, 0.0)
