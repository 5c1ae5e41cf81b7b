"""Health topic: the status object, retained, each minute and at changes."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.journal import JournalStats
from agent.mqtt.link import Link
from agent.status.problems import Problems
from agent.status.report import Reporter, encode_status

HEALTH_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Publishes the status, looks for quiet sources, logs the messages that the broker reports as dropped."""

    link: Link
    journal: JournalStats
    problems: Problems
    reporter: Reporter
    topic: str
    clock: Callable[[], float]
    paused_to: Callable[[], float | None]  # of the model
    log: Callable[..., None]

    async def run(self) -> None:
        """Publish until the process ends; a message may be dropped while there is no connection."""
        published: tuple[str, float | None] | None = None
        published_at = 0.0
        while True:
            self.problems.quiet.look(
                self.journal.sources, subscribed=self.link.state.subscribed, clock=self.clock()
            )
            state, now = (self.problems.state(), self.paused_to()), time.monotonic()
            self._log_drops(now)
            if self.link.state.connected and (state != published or now - published_at >= HEALTH_S):
                published, published_at = state, now
                payload = encode_status(self.reporter.status())
                self.link.announce(self.topic, payload, retain=True, expiry_s=int(3 * HEALTH_S))
            await asyncio.sleep(1.0)

    def _log_drops(self, now: float) -> None:
        if dropped := self.link.stats.broker_drops.unreported(now):
            self.log(
                "mqtt_broker_dropped",
                level="warning",
                messages=dropped,
                consequence="for some of the broker's clients these are lost, perhaps for this agent",
                remedy="raise the broker's max_queued_messages; see configs/mosquitto",
            )
