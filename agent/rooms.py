"""Builds the rooms of one agent and wires them to each other; nothing is global, nothing runs yet."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import islice
from typing import Any

from agent import __version__
from agent.asking import Asking
from agent.config import Config
from agent.credentials import machine_hash, password_reader
from agent.decode.registry import DecodeLimits, Registry, SourceSpec
from agent.desk import BatchSettings
from agent.detect import Detector, DetectSettings, Limit
from agent.journal import Journal, JournalSettings, Wiring
from agent.mqtt import Link, LinkSettings, LinkState, Subscription, encode_device
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Span, open_tracer
from agent.pipeline import Pipeline, PipelineSettings
from agent.records import Arrival, FindingEvent, Row, Status, TimerKind, Verdict
from agent.review import ReviewSettings
from agent.status import Reporter, encode_status
from agent.web import WebServer
from agent.window import WindowSettings

REPLAY_CHUNK = 2000
HEALTH_S = 60.0


class Rooms:
    """The rooms of one agent. :class:`agent.app.App` gives them threads and stops them."""

    def __init__(
        self,
        config: Config,
        *,
        logs: LogWriter,
        loop: asyncio.AbstractEventLoop,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.config = config
        self.logs = logs
        self._loop = loop
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribed_in = 0  # the generation that CONNECTED was journaled for
        self._filters: tuple[str, ...] = ()
        self._registry = Registry(
            sources=[
                SourceSpec(topic=source.topic, format=source.format, retained=source.retained)
                for source in config.sources
            ],
            limits=DecodeLimits(),
            base_topic=config.base_topic,
        )
        self.tracer = open_tracer(
            endpoint=config.traces.endpoint,
            protocol=config.traces.protocol,
            service_version=__version__,
            gateway=config.agent.id,
            secrets=logs.secrets,
            report=logs.reporter(room="traces"),
        )
        self.asking = Asking(config, secrets=logs.secrets)
        self.reporter = Reporter(self, loop=loop)
        self.metrics = Metrics(
            models=self.asking.models,
            provider=config.ai.profile,
            version=__version__,
            prompt=self.asking.prompt,
            sources=[source.topic for source in config.sources],
            read=self.reporter.sample,
        )
        self.recorder = TelemetryRecorder(logs=logs, metrics=self.metrics, tracer=self.tracer)
        self.journal = self._open_journal()
        self.asking.open(self.recorder, logs.reporter(room="caller"))
        self.detector = Detector(
            settings=DetectSettings(),
            limits=[
                Limit(pattern, item.low, item.high, item.unit) for pattern, item in config.limits.items()
            ],
        )
        self.link = self._make_link()
        self.pipeline = self._make_pipeline()
        self.web = WebServer(
            host=config.web.host,
            port=config.web.port,
            routes=self.reporter.routes(),
            report=logs.reporter(room="web"),
        )

    # ----------------------------------------------------------------------------------- building

    def _open_journal(self) -> Journal:
        config = self.config
        return Journal.open(
            config.agent.state_dir,
            agent_id=config.agent.id,
            settings=JournalSettings(
                commit_ms=config.journal.commit_ms,
                max_mib=config.journal.max_mib,
                keep_days=config.journal.keep_days,
                prune=config.journal.prune,
                max_inbox_bytes=config.mqtt.max_intake_mib * 2**20,
            ),
            wiring=Wiring(
                decode=self._decode,
                on_rows=self._on_rows,
                on_acks=lambda acks: self.link.ack(acks),  # noqa: PLW0108 - the link is built later
                on_generation=lambda number: self.link.generation_stored(number),  # noqa: PLW0108
                on_room=lambda: self.link.room(),  # noqa: PLW0108
                report=self.logs.reporter(room="journal"),
            ),
            wall=time.time,
            mono=time.monotonic,
        )

    def _decode(self, arrival: Arrival) -> Any:
        return self._registry.decode(arrival.topic, arrival.payload, arrival.received, arrival.properties)

    def _make_link(self) -> Link:
        config, mqtt = self.config, self.config.mqtt
        return Link(
            settings=LinkSettings(
                host=mqtt.host,
                port=mqtt.port,
                tls=mqtt.tls,
                ca_file=mqtt.ca_file,
                cert_file=mqtt.cert_file,
                key_file=mqtt.key_file,
                username=mqtt.username,
                password=password_reader(mqtt.password_file),
                client_id=mqtt.client_id or f"edge-agent-{config.agent.id}-{machine_hash()}",
                base_topic=config.base_topic,
                version=__version__,
                keepalive_s=mqtt.keepalive_s,
            ),
            subscriptions=[
                Subscription(pattern, source.qos)
                for pattern, source in zip(self._registry.filters, config.sources, strict=True)
            ],
            first_generation=self.journal.generation + 1,
            previous_filters=self.journal.filters,
            offer=self.journal.inbox.offer,
            on_published=self._on_published,
            on_event=self._on_link,
            report=self.logs.reporter(room="mqtt"),
            pressed=lambda: self.journal.inbox.pressed,
        )

    def _make_pipeline(self) -> Pipeline:
        config, review = self.config, self.config.review
        base = config.base_topic
        return Pipeline(
            settings=PipelineSettings(
                agent=config.agent.id,
                verdict_topic=lambda device: f"{base}/verdicts/{encode_device(device)}",
                event_topic=lambda device: f"{base}/events/{encode_device(device)}",
                review=ReviewSettings(
                    mode=review.mode,
                    audits_per_day=review.audits_per_day,
                    endpoint=self.asking.caller is not None,
                ),
                window=WindowSettings(
                    max_age_s=review.window.max_age_s,
                    max_readings=review.window.max_readings,
                    settle_s=review.window.settle_s,
                ),
                batch=BatchSettings(
                    max_windows=review.batch.max_windows,
                    max_wait_s=review.batch.max_wait_s,
                    max_input_tokens=review.batch.max_input_tokens,
                ),
            ),
            journal=self.journal,
            detector=self.detector,
            caller=self.asking.caller,
            publish=self.link.publish,
            trace=self._trace,
            observe=self._observe,
            suppressed=lambda reason: self.recorder.suppressed(reason, 1),
            audits_allowed=self.asking.audits_allowed,
            clock=self.journal.clock.now,
            wall=time.time,
            report=self.logs.reporter(room="pipeline"),
            spawn=self._spawn,
            fail=self._fail,
        )

    # ------------------------------------------------------------------------- between the threads

    def _on_rows(self, rows: list[Row]) -> None:
        self._post(self.pipeline.consume, rows)

    def _on_published(self, outbox_id: int, code: int) -> None:
        self._post(self._published, outbox_id, code)

    def _published(self, outbox_id: int, code: int) -> None:
        self.pipeline.outbox.published(outbox_id, code, self.journal.clock.now())

    def _on_link(self, state: LinkState) -> None:
        self._post(self._link_changed, state)

    def _link_changed(self, state: LinkState) -> None:
        """Let the silence clocks run while subscribed; remember what the session holds."""
        if state.subscribed and state.generation != self._subscribed_in:
            self._subscribed_in = state.generation
            self.pipeline.note(TimerKind.CONNECTED)
        if state.filters != self._filters:
            self._filters = state.filters
            self.pipeline.remember_filters(state.filters)

    def _post(self, work: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(work, *args)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task on the analyst's loop; what it raises ends the process."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def _trace(self, *, trace_id: str | None, destination: str) -> Span:
        protocol = self.link.state.protocol or "5"
        return self.tracer.publish(trace_id=trace_id, destination=destination, protocol=protocol)

    def _observe(self, verdict: Verdict, event: FindingEvent | None, waited_s: float) -> None:
        """Count a verdict, and say what a person would want to read in the log."""
        metrics = self.metrics
        metrics.verdict(verdict.status, verdict.source)
        metrics.reading_to_verdict(waited_s)
        if verdict.grounded and verdict.status is not verdict.local.status:
            metrics.disagreement("ai_only" if verdict.local.status is Status.NORMAL else "local_only")
        if event is not None:
            self.logs.report(
                f"finding_{event}",
                level="warning" if event is FindingEvent.OPENED else "info",
                finding_id=verdict.finding_id,
                verdict_id=verdict.id,
                device=verdict.device,
                kind=verdict.kind,
                severity=verdict.severity,
                score=verdict.score,
                source=verdict.source,
                reason=verdict.reason,
                summary=verdict.summary,
            )

    # ------------------------------------------------------------------------------ start and stop

    async def recover(self, progress: Callable[[int], None]) -> int:
        """Take up where the last process ended, then start the analyst's own tasks; return rows replayed."""
        journal, pipeline = self.journal, self.pipeline
        pipeline.restore(journal.recovered)
        rows, replayed = journal.rows_after(journal.recovered.snapshot_seq), 0
        while chunk := list(islice(rows, REPLAY_CHUNK)):
            pipeline.replay(chunk)
            replayed += len(chunk)
            progress(replayed)
            await asyncio.sleep(0)
        self._spawn(pipeline.run_timers())
        self._spawn(self._publish_health())
        return replayed

    async def _publish_health(self) -> None:
        """Publish the status object, retained, each minute and when the state changes; it may be dropped."""
        told, told_at = "", 0.0
        while True:
            state, now = self.reporter.state(), time.monotonic()
            if self.link.state.connected and (state != told or now - told_at >= HEALTH_S):
                told, told_at = state, now
                payload = encode_status(self.reporter.status())
                topic = f"{self.config.base_topic}/health"
                self.link.announce(topic, payload, retain=True, expiry_s=int(3 * HEALTH_S))
            await asyncio.sleep(1.0)

    def finish_calls(self, limit_s: float) -> bool:
        """Take nothing new in, wait for AI calls in flight, then cancel them; true when all ended."""
        self.link.stop_intake()
        future = asyncio.run_coroutine_threadsafe(self._finish_calls(limit_s), self._loop)
        with suppress(TimeoutError):
            return future.result(limit_s + 1)
        return False

    async def _finish_calls(self, limit_s: float) -> bool:
        self.pipeline.close()
        calls = self.pipeline.desk.calls
        if calls:
            await asyncio.wait(calls, timeout=limit_s)
        for call in list(calls):
            call.cancel()
        if calls:
            await asyncio.wait(calls, timeout=0.5)
        if self.asking.caller is not None:
            await self.asking.caller.aclose()
        return not calls

    def last_snapshot(self, limit_s: float) -> bool:
        """Journal the analyst's state, so that the next start has little to replay."""
        future = asyncio.run_coroutine_threadsafe(self._snapshot(), self._loop)
        with suppress(TimeoutError):
            future.result(limit_s)
            return True
        return False

    async def _snapshot(self) -> None:
        self.pipeline.snapshot()

    def close_telemetry(self, limit_s: float) -> bool:
        """Stop the web server and send the spans that are left."""
        self.web.stop()
        self.tracer.shutdown(limit_s)
        return True

    def stuck(self, limit_s: float) -> str | None:
        """Return the name of a loop that made no turn for ``limit_s``, or None."""
        now, clock = time.monotonic(), self.journal.clock.now()
        if now - self.link.heartbeat > limit_s:
            return "net"
        if now - self.journal.stats.heartbeat > limit_s:
            return "journal"
        return "analyst" if clock - self.pipeline.heartbeat > limit_s else None

    def addresses(self) -> dict[str, str]:
        """Return where this agent can be found, for the log."""
        return {
            "broker": self.config.mqtt.url,
            "web": f"http://{self.web.host}:{self.web.port}/",
            "verdicts": f"{self.config.base_topic}/verdicts/+",
            "model": self.config.ai.model if self.asking.caller is not None else "none",
        }

    def one_line(self) -> str:
        """Return one line for ``systemctl status``."""
        counters = self.journal.stats
        return f"{self.reporter.state()}: {counters.readings} readings, page at port {self.web.port}"
