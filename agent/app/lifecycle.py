"""How the analyst's side begins after the last process, and how it ends: each step under a limit."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from agent.app.rooms import Rooms
from agent.status.report import encode_status
from agent.testing.failpoint import failpoint

REPLAY_CHUNK = 256
HEALTH_S = 60.0


class Lifecycle:
    """Takes the rooms up where the last process left them, and down again."""

    def __init__(self, rooms: Rooms, *, loop: asyncio.AbstractEventLoop) -> None:
        self._rooms = rooms
        self._loop = loop

    # -------------------------------------------------------------------------------------- start

    async def recover(self, progress: Callable[[int], None]) -> int:
        """Take up where the last process ended, then start the analyst's own tasks; return rows replayed."""
        rooms = self._rooms
        journal, pipeline = rooms.journal, rooms.pipeline
        await pipeline.restore(journal.recovered)
        rows, replayed = journal.rows_after(journal.recovered.snapshot_seq), 0
        while chunk := list(islice(rows, REPLAY_CHUNK)):
            failpoint("replay")
            await pipeline.replay(chunk)
            replayed += len(chunk)
            progress(replayed)
        rooms.crossings.spawn(pipeline.run_timers())
        rooms.crossings.spawn(self._publish_health())
        return replayed

    async def _publish_health(self) -> None:
        """Publish the status object, retained, each minute and when the state changes; it may be dropped."""
        rooms = self._rooms
        told, told_at = "", 0.0
        while True:
            state, now = rooms.reporter.state(), time.monotonic()
            self._tell_losses(now)
            if rooms.link.state.connected and (state != told or now - told_at >= HEALTH_S):
                told, told_at = state, now
                payload = encode_status(rooms.reporter.status())
                topic = f"{rooms.config.base_topic}/health"
                rooms.link.announce(topic, payload, retain=True, expiry_s=int(3 * HEALTH_S))
            await asyncio.sleep(1.0)

    def _tell_losses(self, now: float) -> None:
        if dropped := self._rooms.link.stats.broker_drops.unreported(now):
            self._rooms.logs.log(
                "mqtt_broker_dropped",
                level="warning",
                messages=dropped,
                consequence="for some of the broker's clients these are lost, perhaps for this agent",
                remedy="raise the broker's max_queued_messages; see configs/mosquitto",
            )

    # --------------------------------------------------------------------------------------- stop

    def finish_calls(self, limit_s: float) -> bool:
        """Take nothing new in, wait for AI calls in flight, then cancel them; true when all ended."""
        self._rooms.link.stop_intake()
        future = asyncio.run_coroutine_threadsafe(self._finish_calls(limit_s), self._loop)
        with suppress(TimeoutError):
            return future.result(limit_s + 1)
        return False

    async def _finish_calls(self, limit_s: float) -> bool:
        rooms = self._rooms
        rooms.pipeline.close()
        calls = rooms.pipeline.desk.calls
        if calls:
            await asyncio.wait(calls, timeout=limit_s)
        for call in list(calls):
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=0.5)
        if rooms.asking.caller is not None:
            await rooms.asking.caller.aclose()
        return not calls

    def last_snapshot(self, limit_s: float) -> bool:
        """Journal the analyst's state, so that the next start has little to replay."""
        future = asyncio.run_coroutine_threadsafe(self._rooms.pipeline.last_snapshot(), self._loop)
        with suppress(TimeoutError):
            future.result(limit_s)
            return True
        return False

    def close_telemetry(self, limit_s: float) -> bool:
        """Stop the web server and send the spans that are left."""
        self._rooms.web.stop()
        self._rooms.tracer.shutdown(limit_s)
        return True
