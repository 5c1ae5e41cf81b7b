"""The counters of one scrape, read from the rooms."""

import time
from typing import TYPE_CHECKING

from agent.observe.edge_metrics import EdgeSample

if TYPE_CHECKING:
    from agent.app.rooms import Rooms


def take_sample(rooms: "Rooms") -> EdgeSample:
    """Return the counters for one scrape; plain reads, from any thread."""
    link, journal, pipeline = rooms.link, rooms.journal, rooms.pipeline
    stats, clock = journal.stats, journal.clock.now()
    wall, mono = time.time(), time.monotonic()
    inbox = journal.inbox
    return EdgeSample(
        mqtt_connected=link.state.connected,
        mqtt_reconnects=link.stats.reconnects,
        mqtt_received=dict(stats.sources),
        mqtt_redeliveries=stats.redelivered,
        mqtt_repeats_possible=stats.repeats_possible,
        mqtt_dropped=dict(link.stats.dropped),
        mqtt_publish_failures=link.stats.publish_refused,
        mqtt_broker_dropped=link.stats.broker_drops.total,
        readings=stats.readings,
        quarantined=dict(stats.quarantined),
        windows=dict(pipeline.stats.windows),
        findings_open={str(kind): n for kind, n in pipeline.conclusions.open_by_kind().items()},
        outbox_depth=_outbox_depth(rooms),
        devices=rooms.detector.device_count,
        queues={
            "intake_bytes": (inbox.size, inbox.max_bytes),
            "analyst_rows": (inbox.pending_rows, 4096),
        },
        device_times=rooms.detector.device_times(),
        heartbeats={
            "net": wall - (mono - link.heartbeat),
            "journal": wall - (mono - stats.heartbeat),
            "analyst": wall - (clock - pipeline.heartbeat),
        },
        telemetry_dropped={"logs": rooms.logs.dropped, "traces": rooms.tracer.dropped},
        journal_bytes=stats.bytes_used,
        budget=rooms.asking.spend(),
    )


def _outbox_depth(rooms: "Rooms") -> int:
    """Count what waits for the broker; the journal is looked into only while some of it is on disk alone."""
    outbox = rooms.pipeline.outbox
    if outbox.complete:
        return outbox.in_memory
    rooms.reporter.look_into_journal()
    return max(rooms.reporter.outbox_depth, outbox.in_memory)
