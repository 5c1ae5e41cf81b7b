"""Start and end of the analyst's side, each step under a limit."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from agent.app.ai import AiService
from agent.journal.journal import Journal
from agent.mqtt.link import Link
from agent.observe.push import Push
from agent.observe.traces import Tracer
from agent.pipeline.judging import Judging
from agent.pipeline.pipeline import Pipeline
from agent.pipeline.review_queue import Spawn
from agent.sinks.worker import NoticeSink
from agent.testing.failpoint import failpoint
from agent.web.server import WebServer

REPLAY_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Restores the state of the last process at the start, and ends the work of this one."""

    loop: asyncio.AbstractEventLoop
    journal: Journal
    pipeline: Pipeline
    judging: Judging  # as configured
    link: Link
    ai: AiService
    web: WebServer
    tracer: Tracer
    has: Callable[[str], bool]  # whether a device is of this agent's partition
    push: Push | None
    sinks: Sequence[NoticeSink]
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]]  # tasks that run until the process ends
    spawn: Spawn

    async def recover(self, progress: Callable[[int], None]) -> int:
        """Restore the pipeline, replay the journal and start the analyst's tasks; return rows replayed."""
        journal, pipeline = self.journal, self.pipeline
        await pipeline.restore(journal.recovered)
        rows, replayed = journal.rows_after(journal.recovered.snapshot_seq), 0
        while chunk := list(islice(rows, REPLAY_CHUNK)):
            failpoint("replay")
            await pipeline.replay(chunk)
            replayed += len(chunk)
            progress(replayed)
        pipeline.forget_others(self.has)
        pipeline.judge_by(self.judging)  # the rows before were judged as configured then
        self.spawn(pipeline.run_timers())
        for task in self.beside:
            self.spawn(task())
        return replayed

    def finish_calls(self, limit_s: float) -> bool:
        """Stop the intake, wait for AI calls and notices in flight, cancel the calls; true if all ended."""
        self.link.stop_intake()
        future = asyncio.run_coroutine_threadsafe(self._finish_calls(limit_s), self.loop)
        with suppress(TimeoutError):
            return future.result(limit_s + 1)
        return False

    async def _finish_calls(self, limit_s: float) -> bool:
        self.pipeline.close()
        calls = self.pipeline.review_queue.calls
        ends = [asyncio.ensure_future(asyncio.to_thread(sink.finish, limit_s)) for sink in self.sinks]
        if calls or ends:
            await asyncio.wait([*calls, *ends], timeout=limit_s)
        for call in list(calls):
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=0.5)
        if self.ai.caller is not None:
            await self.ai.caller.aclose()
        return not calls and all(end.done() and end.result() for end in ends)

    def last_snapshot(self, limit_s: float) -> bool:
        """Journal the analyst's state, so that the next start has little to replay."""
        future = asyncio.run_coroutine_threadsafe(self.pipeline.last_snapshot(), self.loop)
        with suppress(TimeoutError):
            future.result(limit_s)
            return True
        return False

    def close_telemetry(self, limit_s: float) -> bool:
        """Stop the web server, send the remaining spans, metrics and log lines."""
        until = time.monotonic() + limit_s
        self.web.stop()
        if self.push is not None:
            self.push.end()
        self.tracer.shutdown(limit_s)
        if self.push is not None:
            self.push.shutdown(max(0.0, until - time.monotonic()))
        return True
