"""One life of journal and pipeline with four sinks, ended by a kill or when done.

Reads a plan from stdin (JSON): the folder, the number of readings, and whether the file sink answers
early. The broker's place has a sink that delivers at once, one sink refuses everything, and one never
answers: the file sink must not notice.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from agent.detect import Detector, DetectSettings
from agent.domain.messages import Outgoing
from agent.journal import JournalSettings
from agent.observe.traces import Span
from agent.pipeline.events import Subscribers
from agent.pipeline.pipeline import Pipeline, PipelineSettings
from agent.pipeline.review_queue import BatchSettings
from agent.pipeline.window import WindowSettings
from agent.sinks import Answer, Delivered
from agent.sinks.mqtt import mqtt_routes
from agent.verdict.review_policy import ReviewSettings
from tests.journal.rig import Rig, arrival, link_up
from tests.sinks.file_sink import FileSink, RefusingSink, routes_to

LIMIT_S = 60.0
BURST = 20


class PromptSink:
    """A broker that acknowledges at once."""

    name = "mqtt"
    title = "the broker"
    pipelined = True

    def send(self, _message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Acknowledge."""
        answer(Delivered())


class SilentSink:
    """A receiver that hangs."""

    name = "silent"
    title = "the silent sink"
    pipelined = True

    def send(self, _message: Outgoing, _answer: Callable[[Answer], object]) -> None:
        """Do nothing."""


def fail(error: BaseException) -> None:
    """End the process."""
    print(repr(error), file=sys.stderr)
    os._exit(70)


def spawn(work: Coroutine[Any, Any, None]) -> object:
    """Run a task of the pipeline."""
    return asyncio.ensure_future(work)


async def live(plan: dict[str, Any]) -> None:
    """Journal readings and deliver verdicts until the file sink has everything."""
    loop = asyncio.get_running_loop()
    folder = Path(plan["folder"])
    settings = JournalSettings(commit_ms=2, ballast_bytes=0, prune=False)
    rig = Rig(folder, settings=settings, auto_consume=False)
    journal = rig.open()
    file = FileSink(folder / "file", early=plan["early"])
    pipeline = Pipeline(
        settings=PipelineSettings(
            agent="gw1",
            routes=[
                *mqtt_routes("edge-agent/gw1"),
                *routes_to("file"),
                *routes_to("refusing"),
                *routes_to("silent"),
            ],
            review=ReviewSettings(mode="none", endpoint=False),
            window=WindowSettings(max_readings=3),
            batch=BatchSettings(),
        ),
        journal=journal,
        detector=Detector(DetectSettings()),
        caller=None,
        sinks=[PromptSink(), file, RefusingSink(), SilentSink()],
        post=loop.call_soon_threadsafe,
        trace=lambda **_: Span(),
        events=Subscribers(note=fail),
        suppressed=lambda _reason: None,
        asked=lambda _purpose: None,
        audits_allowed=lambda: False,
        clock=journal.clock.now,
        wall=time.time,
        turn_s=0.01,
        log=lambda *_, **__: None,
        spawn=spawn,
        fail=fail,
    )
    await pipeline.restore(journal.recovered)
    await pipeline.replay(journal.rows_after(journal.recovered.snapshot_seq))
    rig.start_thread()
    timers = asyncio.ensure_future(pipeline.run_timers())
    rig.offer([link_up(journal.generation + 1)])
    taken, offered, deadline = 0, 0, time.monotonic() + LIMIT_S
    feed = pipeline.outbox.feeds["file"]
    while offered < plan["count"] or taken < len(rig.rows) or feed.in_memory or not feed.complete:
        if time.monotonic() > deadline:
            raise AssertionError(f"{feed.in_memory} messages are not delivered")
        if offered < plan["count"]:
            rig.offer(arrival(number, mono=time.monotonic()) for number in range(offered, offered + BURST))
            offered += BURST
        if rows := rig.rows[taken:]:
            taken += len(rows)
            pipeline.consume(rows)
        await asyncio.sleep(0.005)
        if offered >= plan["count"]:
            await asyncio.to_thread(rig.settle)
    pipeline.outbox.note_delivered()
    await asyncio.to_thread(rig.settle)
    timers.cancel()
    file.close()


if __name__ == "__main__":
    asyncio.run(live(json.load(sys.stdin)))
    os._exit(0)  # the journal's thread still runs
