"""Builds the rooms of one agent and wires them to each other; nothing is global, nothing runs yet."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from agent import __version__
from agent.app.ai import Asking
from agent.app.loop_bridge import Crossings
from agent.app.transcripts import Transcripts
from agent.app.watchdog import Watchdog, read_waits
from agent.config import Config, settings
from agent.config.credentials import web_auth, web_tls
from agent.decode.injection import InjectionScanner
from agent.decode.registry import DecodeLimits, Registry
from agent.detect import Detector, DetectSettings
from agent.domain.records import Arrival, DecodeError, DecodeReason
from agent.journal import Journal, Wiring
from agent.mqtt import Link
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import open_tracer
from agent.pipeline.pipeline import TURN_S, Pipeline
from agent.status.report import Reporter
from agent.status.sample import take_sample
from agent.testing.time_scale import pace_here
from agent.verdict.feedback import read_feedback
from agent.web import WebServer

BEAT_S = 0.5  # how often the main thread looks at the others


class Rooms:
    """The rooms of one agent. :class:`agent.app.app.App` gives them threads and stops them."""

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
        self._pace = pace_here(config.agent.state_dir)
        self.crossings = Crossings(self, loop=loop, fail=fail)
        self._feedback_topic = f"{config.base_topic}/feedback"
        self._registry = Registry(sources=config.sources, limits=DecodeLimits(), base_topic=config.base_topic)
        self.tracer = open_tracer(
            endpoint=config.traces.endpoint,
            protocol=config.traces.protocol,
            sample_ratio=config.traces.sample_ratio,
            content=config.traces.content,
            service_version=__version__,
            gateway=config.agent.id,
            secrets=logs.secrets,
            log=logs.bind(room="traces"),
        )
        self.asking = Asking(config, secrets=logs.secrets)
        self.reporter = Reporter(self, loop=loop)
        self.metrics = Metrics(
            models=self.asking.models,
            provider=config.ai.profile,
            version=__version__,
            prompt=self.asking.prompt,
            categories=config.ai.safety_categories or (),
            sources=[source.topic for source in config.sources],
            read=lambda: take_sample(self),
        )
        self.recorder = TelemetryRecorder(logs=logs, metrics=self.metrics, tracer=self.tracer)
        self._watchdog = Watchdog(beat_s=BEAT_S)
        self._injection = InjectionScanner(self.recorder.injection_suspected)
        self.journal = self._open_journal()
        transcripts = Transcripts(write=self.journal.write, log=logs.bind(room="caller"))
        self.asking.open(self.recorder, logs.bind(room="caller"), transcripts.add)
        self.detector = Detector(settings=DetectSettings(), limits=settings.of_limits(config))
        self.link = self._make_link()
        self.pipeline = self._make_pipeline()
        self.web = WebServer(
            host=config.web.host,
            port=config.web.port,
            routes=self.reporter.routes(),
            tls=web_tls(config),
            auth=web_auth(config, logs.secrets),
            log=logs.bind(room="web"),
        )

    # ----------------------------------------------------------------------------------- building

    def _open_journal(self) -> Journal:
        return Journal.open(
            self.config.agent.state_dir,
            agent_id=self.config.agent.id,
            settings=settings.of_journal(self.config),
            wiring=Wiring(
                decode=self._decode,
                on_rows=self.crossings.on_rows,
                on_acks=lambda acks: self.link.ack(acks),  # noqa: PLW0108 - the link is built later
                on_generation=lambda number: self.link.generation_stored(number),  # noqa: PLW0108
                on_room=lambda: self.link.room(),  # noqa: PLW0108
                log=self.logs.bind(room="journal"),
                on_texts=self._injection.scan_all,
                on_feedback=self.crossings.on_feedback,
                knows=lambda device: self.detector.knows(device),  # noqa: PLW0108 - the detector is built later
            ),
            wall=self._pace.wall,
            mono=time.monotonic,
            stretch=self._pace.stretch,
        )

    def _decode(self, arrival: Arrival) -> Any:
        """Decode a message; a fault of ours is reported, and the message goes into quarantine."""
        try:
            return self._read(arrival)
        except (DecodeError, UnicodeEncodeError, MemoryError) as error:
            if isinstance(error, DecodeError) and error.reason is DecodeReason.DECODER_FAULT:
                self._stumbled(error.__cause__ or error, arrival)
            raise
        except Exception as error:
            self._stumbled(error, arrival)
            raise

    def _stumbled(self, error: BaseException, arrival: Arrival) -> None:
        self.recorder.fault_log.note("decoder", error, counted=True, topic=arrival.topic)

    def _read(self, arrival: Arrival) -> Any:
        if arrival.topic == self._feedback_topic:
            return read_feedback(arrival.payload)
        received = self._pace.wall_at(arrival.mono, arrival.received)
        identifiers = arrival.identifiers
        if identifiers and self.link.state.refused:
            identifiers = ()  # a filter that was refused brings no copy: any other counts
        return self._registry.decode(
            arrival.topic, arrival.payload, received, arrival.properties, identifiers
        )

    def _make_link(self) -> Link:
        return Link(
            settings=settings.of_link(self.config),
            subscriptions=settings.of_subscriptions(self.config, self._registry),
            without_identifiers=settings.of_subscriptions(self.config, self._registry, identifiers=False),
            first_generation=self.journal.generation + 1,
            previous_filters=self.journal.filters,
            store_connection=self._store_connection,
            offer=self.journal.inbox.offer,
            on_published=self.crossings.on_published,
            on_event=self.crossings.on_link,
            log=self.logs.bind(room="mqtt"),
            pressed=lambda: self.journal.inbox.pressed,
        )

    def _store_connection(self, generation: int) -> None:
        """Have an attempt to connect on disk before the link goes on with it."""
        stored = self.journal.write(lambda store: store.begin_connection(generation), urgent=True)
        stored.add_done_callback(
            lambda done: None if done.exception() else self.link.connection_stored(generation)
        )

    def _make_pipeline(self) -> Pipeline:
        return Pipeline(
            settings=settings.of_pipeline(self.config, endpoint=self.asking.caller is not None),
            journal=self.journal,
            detector=self.detector,
            caller=self.asking.caller,
            publish=self.link.publish,
            trace=self.crossings.trace,
            observe=self.crossings.observe,
            suppressed=lambda reason: self.recorder.suppressed(reason, 1),
            audits_allowed=self.asking.audits_allowed,
            clock=self.journal.clock.now,
            wall=self._pace.wall,
            turn_s=self._pace.turn_s(TURN_S),
            log=self.logs.bind(room="pipeline"),
            spawn=self.crossings.spawn,
            fail=self.crossings.fail,
        )

    # ---------------------------------------------------------------------------- how they are doing

    def look(self) -> None:
        """Age the heartbeats; the main thread does so at each of its beats."""
        beats = {
            "net": self.link.heartbeat,
            "journal": self.journal.stats.heartbeat,
            "analyst": self.pipeline.heartbeat,
            "web": self.web.heartbeat,
        }
        self._watchdog.look(time.monotonic(), read_waits(), beats)

    def stuck(self, limit_s: float) -> str | None:
        """Return the name of a loop that made no turn for ``limit_s`` of the process's time, or None."""
        return self._watchdog.stuck(limit_s, ("net", "journal", "analyst"))

    def idle_s(self, loop: str) -> float:
        """Return for how long a loop has made no turn, in time that the process got to run."""
        return self._watchdog.age(loop)

    def web_hangs(self, limit_s: float) -> bool:
        """Say that the web server made no turn for ``limit_s``; readings and verdicts do not depend on it."""
        return self.idle_s("web") > limit_s

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
        problems = self.reporter.problems()
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        what = problems[0] + more if problems else f"page at http://{self.web.host}:{self.web.port}/"
        return f"{self.reporter.state()}: {what}"
