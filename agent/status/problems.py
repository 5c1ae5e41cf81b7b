"""Problems and notes of a running agent, and its state in one word."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from agent.config import Config, Weakness, overlaps
from agent.detect import Detector, DetectSettings, Limit, UnitChange
from agent.journal import JournalStats
from agent.journal.clocks import FAULTS
from agent.journal.opening import moved_aside
from agent.journal.unread import Unread
from agent.mqtt.link import Link
from agent.pipeline.outbox_feed import OutboxFeed
from agent.status.journal_view import JournalView
from agent.status.limits import LimitFault, judge_patterns, judge_tuning_use, judge_uses
from agent.status.schema import State
from agent.status.sentences import (
    aside_words,
    backlog_words,
    clock_words,
    evicted_words,
    given_up_words,
    intake_words,
    journal_words,
    learning_words,
    link_notes,
    link_problems,
    many_metrics_words,
    notices_lost_words,
    notices_words,
    quarantine_words,
    refused_words,
    telemetry_words,
    unit_change_words,
)
from agent.status.source_quiet import SourceQuiet
from agent.status.source_view import Heard, barren, barren_remedy, barren_words, find_heard, heard_words

WEB_STUCK_S = 20.0
BACKLOG, BACKLOG_S = 1000, 60.0  # messages that wait for the broker, and for how long, before it is a problem
LIMITS_EVERY_S = 5.0
HEARD_EVERY_S = 5.0
SPOKEN_S = 600.0  # after a start the series of a limit may not have sent a reading yet
NEWCOMERS_S = 600.0
MAX_METRICS = 64  # of a device that are shown


class Start(NamedTuple):
    """When the process began."""

    wall: float  # Unix seconds
    mono: float


class HasProblems(Protocol):
    """A part of the agent that describes its own problems, in sentences."""

    def problems(self) -> list[str]: ...


class HasNotes(HasProblems, Protocol):
    """A part that describes its weaknesses as well."""

    def notes(self) -> list[str]: ...


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collects the problems of all parts, from any thread.

    ``config`` is the one at start: a reload changes nothing of it that is read here, except the limits.
    ``idle_s`` gives for how long a loop has made no turn, ``dropped`` the lost telemetry by signal.
    """

    config: Config
    link: Link
    journal: JournalStats
    unread: Unread
    outbox: OutboxFeed
    detector: Detector
    ai: HasNotes
    faults: HasProblems
    view: JournalView
    idle_s: Callable[[str], float]
    dropped: Callable[[], Mapping[str, int]]
    limits: Sequence[Limit]
    weaknesses: Sequence[Weakness]
    start: Start
    quiet: SourceQuiet = field(default_factory=SourceQuiet)
    partition: HasNotes | None = None
    learning: int = 0  # series
    _relearning: list[UnitChange] = field(default_factory=list)
    _since: dict[str, float] = field(default_factory=dict)  # state -> since when it holds
    _limit_faults: list[LimitFault] = field(default_factory=list)
    _limits_due: float = -math.inf
    _heard: Heard = field(default_factory=Heard)
    _heard_due: float = -math.inf
    _largest: tuple[str, int] = ("", 0)  # the device with the most metrics

    def reconfigure(self, limits: Sequence[Limit]) -> None:
        """Take reloaded limits."""
        self.limits, self._limits_due = limits, -math.inf

    def state(self) -> State:
        """Return the state in one word."""
        if not self.working:
            return "down"
        return "degraded" if self.problems() else "ok"

    @property
    def working(self) -> bool:
        """Whether readings come in: subscribed, and the journal takes them."""
        return self.link.state.subscribed and self.journal.state != "full"

    def problems(self) -> list[str]:
        """Return the problems, in sentences; none when all is well."""
        now = time.monotonic()
        found = link_problems(self.link.state, self.link.stats, url=self.config.mqtt.url, now=now)
        found += self._held_back()
        found += _newcomer_problems(self.journal, now=now)
        found += [
            f"{barren_words(source, tally.as_json(now))}: {barren_remedy(tally.skipped)}."
            for source, tally in barren(self.journal, now).items()
        ]
        found += self.quiet.problems()
        if self.partition is not None:
            found += self.partition.problems()
        if lost := self.heard().lost:
            found.append(heard_words(lost))
        if self.idle_s("web") > WEB_STUCK_S:
            found.append("The web server hangs, the rest goes on: restart the agent.")
        found += [str(fault) for fault in self._judge_limits() if self._is_problem(fault)]
        return found + self.ai.problems() + self.faults.problems()

    def _held_back(self) -> list[str]:
        """Return which work waits in journal and outbox, since when, and what helps."""
        journal, view = self.journal, self.view
        refusing = [
            feed for name, feed in self.outbox.feeds.items() if feed.refused and name not in view.sinks
        ]
        stalled = self.link.state.stalled
        since = self._note_since(
            {
                f"journal {journal.state}": bool(journal.problem),
                "intake": stalled,
                "refused": bool(refusing),
                "backlog": view.outbox_depth > BACKLOG,
            }
        )
        found = []
        if journal.problem:
            found.append(journal_words(journal.problem, since[f"journal {journal.state}"]))
        if stalled:
            found.append(intake_words(since["intake"]))
        for feed in refusing:
            oldest = view.refused_since or since["refused"]  # as journaled, once that was read
            refused = dict(feed.refused)
            _, why = next(iter(refused.values()))
            found.append(
                refused_words(
                    feed.sink.title, list(refused), reason=why.reason, remedy=why.remedy, since=oldest
                )
            )
        if time.time() - since.get("backlog", math.inf) > BACKLOG_S:
            found.append(backlog_words(view.outbox_depth, since["backlog"]))
        if view.undeliverable and view.given_up is not None:
            topic, at = view.given_up
            found.append(
                given_up_words(
                    view.undeliverable, topic=topic, since=at, keep_days=self.config.journal.keep_days
                )
            )
        for sink, notices in view.notices.items():
            feed = self.outbox.feeds[sink]
            if notices.failing_since is not None and notices.reason is not None:
                remedy = next((why.remedy for _, why in list(feed.refused.values())), None)
                found.append(
                    notices_words(
                        feed.sink.title,
                        notices.waiting,
                        reason=notices.reason,
                        since=notices.failing_since,
                        remedy=remedy,
                    )
                )
            if notices.given_up:
                found.append(notices_lost_words(feed.sink.title, notices.given_up))
        return found

    def _note_since(self, states: Mapping[str, bool]) -> dict[str, float]:
        """Return since when each state holds; states that are over are forgotten."""
        now = time.time()
        since = {name: self._since.get(name, now) for name, holds in states.items() if holds}
        self._since = since
        return since

    def _judge_limits(self) -> list[LimitFault]:
        """Return the limits without effect, judged every five seconds.

        Or less often where there are many: it takes at most a 50th of the time.
        """
        now = time.monotonic()
        if now >= self._limits_due:
            self._limits_due = now + LIMITS_EVERY_S
            self._limit_faults = judge_patterns(self.limits) + judge_uses(self.detector.limit_use())
            self._limit_faults += judge_tuning_use(self.detector.tuning_use())
            self.learning = self.detector.learning_count()
            self._relearning = self.detector.relearning()
            self._largest = self.detector.largest()
            ended = time.monotonic()
            self._limits_due = ended + max(LIMITS_EVERY_S, 50.0 * (ended - now))
        return self._limit_faults

    def heard(self) -> Heard:
        """Return who is received but not read, as of the last five seconds."""
        now = time.monotonic()
        if now >= self._heard_due:
            self._heard = find_heard(self.detector, self.unread, time.time())
            self._heard_due = now + HEARD_EVERY_S
        return self._heard

    def _is_problem(self, fault: LimitFault) -> bool:
        """Return whether a fault is certain: after a start a device may not have sent a reading yet."""
        return fault.sure or time.monotonic() - self.start.mono > SPOKEN_S

    def notes(self) -> list[str]:
        """Return the weaknesses that do not stop the work, in sentences."""
        journal, detector = self.journal, self.detector
        found = link_notes(self.link.state, ids_reused=journal.ids_reused) + self.ai.notes()
        if aside := moved_aside(self.config.agent.state_dir):
            found.append(aside_words(aside[-1]))
        found += [str(fault) for fault in self._judge_limits() if not self._is_problem(fault)]
        if self.partition is not None:
            found += self.partition.notes()
        if self.learning:
            found.append(learning_words(self.learning, detector.stats.series))
        if self._relearning:
            found.append(unit_change_words(self._relearning))
        device, metrics = self._largest
        if metrics > MAX_METRICS:
            found.append(many_metrics_words(device, metrics, MAX_METRICS))
        if never := self.heard().never:
            found.append(heard_words(never))
        for fault in FAULTS:
            if faulty := [one for one in journal.clocks if one.fault is fault]:
                found.append(f"{clock_words(faulty, fault)}; {FAULTS[fault].remedy}.")
        if (evicted := detector.stats.evicted) > 0:
            found.append(evicted_words(evicted, DetectSettings().max_series))
        quarantined = sum(journal.quarantined.values())
        if quarantined and self.view.quarantine:
            last = self.view.quarantine[0]
            at = datetime.fromisoformat(last["received_at"]).timestamp()
            found.append(quarantine_words(quarantined, topic=last["topic"], reason=last["reason"], at=at))
        dropped = self.dropped()
        if any(dropped.values()):
            found.append(telemetry_words(dropped, self.start.wall))
        twice = overlaps(self.config) if self.link.state.protocol == "3.1.1" else []
        return [*found, *map(_sentence, (*self.weaknesses, *twice))]

    def one_line(self, page: str) -> str:
        """Return one line for ``systemctl status``; ``page`` is the address of the status page."""
        problems = self.problems()
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"{self.state()}: {problems[0] + more if problems else f'page at {page}'}"


def _sentence(weak: Weakness) -> str:
    return f"{weak.what[:1].upper()}{weak.what[1:]}: {weak.remedy} ({weak.key})."


def _newcomer_problems(stats: JournalStats, *, now: float) -> list[str]:
    """Return which sources have sent more new device ids than they may, in the last ten minutes."""
    if stats.new_refused_at is None or now - stats.new_refused_at > NEWCOMERS_S:
        return []
    return [
        f"Source {source} has sent {count} messages of too many new devices or metrics "
        "(new_device_limit, new_series_limit): raise its new_devices_per_min if the devices are yours."
        for source, count in list(stats.new_refused.items())
    ]
