"""The counters of the path for one scrape of the metrics."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.detect import Detector
from agent.journal.journal import Journal
from agent.journal.reader import NoticesRecord
from agent.mqtt.link import Link
from agent.observe.registry import PathSnapshot
from agent.pipeline.pipeline import Pipeline
from agent.status.journal_view import worst_first
from agent.status.source_view import Heard

MAX_ROWS = 4096  # that the journal hands to the analyst before it waits


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """Takes the counters by plain reads, from any thread.

    Args:
        outbox_rows: how many messages wait for the broker.
        dropped: lost log lines and spans.
        ``heard``: devices that speak without a value that can be read.
        ``sources_quiet``: of each source that has sent, whether it has stopped.
        budget: limit, spent and reserved of each period, USD.
        sinks: how the notices of each sink go.
        posts_refused: requests of the HTTP intake that were refused before the journal, by reason.
    """

    link: Link
    journal: Journal
    pipeline: Pipeline
    detector: Detector
    outbox_rows: Callable[[], int]
    heard: Callable[[], Heard]
    sources_quiet: Callable[[], Mapping[str, bool]]
    dropped: Callable[[], Mapping[str, int]]
    budget: Callable[[], Mapping[str, tuple[float, float, float]]]
    posts_refused: Mapping[str, int]
    sinks: Callable[[], Mapping[str, NoticesRecord]]

    def take(self) -> PathSnapshot:
        """Return the counters as of now."""
        link, pipeline, detector = self.link, self.pipeline, self.detector
        stats, inbox = self.journal.stats, self.journal.inbox
        wall, mono, clock = time.time(), time.monotonic(), self.journal.clock.now()
        findings, sinks = pipeline.conclusions.findings(), self.sinks()
        return PathSnapshot(
            link=link.stats,
            journal=stats,
            detect=detector.stats,
            connected=link.state.connected,
            windows=dict(pipeline.stats.windows),
            findings=findings,
            alarming=worst_first(one for one in findings if not one.quiet(clock)),
            sources_quiet=self.sources_quiet(),
            incidents_open={str(one): n for one, n in pipeline.conclusions.incidents.by_severity().items()},
            outbox_depth=self.outbox_rows(),
            devices=detector.device_count,
            unreadable=len(self.heard()),
            queues={
                "intake_bytes": (inbox.size, inbox.max_bytes),
                "analyst_rows": (inbox.pending_rows, MAX_ROWS),
            },
            device_times=detector.device_times(),
            heartbeats={
                "net": wall - (mono - link.heartbeat),
                "journal": wall - (mono - stats.heartbeat),
                "analyst": wall - (clock - pipeline.heartbeat),
            },
            telemetry_dropped=self.dropped(),
            budget=self.budget(),
            posts_refused=self.posts_refused,
            notices_failing={sink: one.failing_since for sink, one in sinks.items()},
            notices_lost={sink: one.lost for sink, one in sinks.items()},
            notices={
                (sink, outcome): number
                for sink in pipeline.notices.stats
                for outcome, number in self._notices(sink).items()
            },
        )

    def _notices(self, sink: str) -> dict[str, int]:
        feed, notices = self.pipeline.outbox.feeds[sink].stats, self.pipeline.notices.stats[sink]
        return {
            "delivered": feed.delivered,
            "retried": feed.retried,
            "refused": feed.refused,
            "folded": notices.folded,
            "given_up": notices.given_up,
        }
