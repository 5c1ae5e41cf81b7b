"""The composition root: the parts of one agent, built and connected, not started."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from agent import __version__
from agent.app.ai import AiService
from agent.app.answers import Answers
from agent.app.lifecycle import Lifecycle
from agent.app.transcripts import Transcripts
from agent.app.watchdog import BEAT_S, Watchdog
from agent.app.web_access import web_auth, web_tls
from agent.budget.periods import find_zone
from agent.config import Config, settings, weaknesses
from agent.config.checks import is_loopback
from agent.config.credentials import push_headers, read_for
from agent.config.series_rules import of_limits
from agent.decode.injection import InjectionScanner
from agent.decode.partition import Partition
from agent.decode.receive import Receiver
from agent.decode.registry import DecodeLimits, Registry
from agent.detect import Detector
from agent.domain.records import Command
from agent.journal.commands import Refusal
from agent.journal.journal import Journal
from agent.journal.writer import Wiring
from agent.mqtt.link import Link
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.push import open_push
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Tracer, open_tracer
from agent.observe.verdict_events import PublishSpans, VerdictEvents
from agent.pipeline.epochs import Epochs
from agent.pipeline.events import CommandDecided, Subscribers
from agent.pipeline.loop import LoopBridge
from agent.pipeline.pipeline import TURN_S, Pipeline
from agent.sinks.discovery import Discovery
from agent.sinks.mqtt import MqttSink
from agent.sinks.receivers import receiver_of
from agent.sinks.worker import NoticeSink
from agent.status.alerts import AlertTopics, Facts
from agent.status.device_history import read_device
from agent.status.health import Health
from agent.status.journal_view import JournalView
from agent.status.metrics_snapshot import MetricsSnapshot
from agent.status.partition_view import PartitionView
from agent.status.problems import Problems, Start
from agent.status.report import Reporter
from agent.status.responses import Freshness, Responses
from agent.status.source_quiet import SourceQuiet
from agent.status.source_view import barren
from agent.testing.time_scale import time_scale_here
from agent.verdict.answer_link import AnswerLinks
from agent.verdict.command import read_command
from agent.verdict.feedback import Feedback, read_feedback
from agent.web.actions import Actions
from agent.web.command_intake import CommandIntake
from agent.web.intake import MAX_CONNECTIONS, ReadingsIntake
from agent.web.notice_answers import NoticeAnswers
from agent.web.server import MAX_SCRAPES, TIMEOUT_S, PostRoute, WebServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The parts of one agent. :class:`agent.app.app.App` gives them threads and stops them."""

    ai: AiService
    bridge: LoopBridge
    detector: Detector
    journal: Journal
    lifecycle: Lifecycle
    link: Link
    metrics: Metrics
    pipeline: Pipeline
    problems: Problems
    watchdog: Watchdog
    web: WebServer

    def heartbeats(self) -> dict[str, float]:
        """Return a number for each loop that changes with each of its turns."""
        return {
            "net": self.link.heartbeat,
            "journal": self.journal.stats.heartbeat,
            "analyst": self.pipeline.heartbeat,
            "web": self.web.heartbeat,
        }

    @property
    def page(self) -> str:
        """The address of the status page."""
        return f"http://{self.web.host}:{self.web.port}/"


def build(
    config: Config,
    *,
    logs: LogWriter,
    loop: asyncio.AbstractEventLoop,
    fail: Callable[[BaseException], None],
) -> Agent:
    """Open the journal and the ledger, and return the parts of an agent.

    Journal, link and pipeline call each other. The journal is built first; its wiring gets the link's
    methods, and the bridge gets the pipeline, as soon as these exist.

    Args:
        config: as it was loaded.
        logs: the log of the process.
        loop: the analyst's loop.
        fail: ends the process with a fault of the analyst.

    Raises:
        AgentError: journal, ledger, a secret or the web port cannot be used, in words for a person.
    """
    start = Start(time.time(), time.monotonic())
    scale = time_scale_here(config.agent.state_dir)
    tracer = _open_tracer(config, logs)
    ai = AiService(config, secrets=logs.secrets)
    metrics = Metrics(
        models=ai.models,
        provider=config.ai.profile,
        version=__version__,
        prompt=ai.prompt,
        categories=config.ai.safety_categories or (),
        sources=[source.label for source in config.sources],
    )
    push = open_push(
        config.otel,
        metrics=metrics,
        version=__version__,
        gateway=config.name,
        headers=push_headers(config, logs.secrets),
        log=logs.bind(room="push"),
    )
    if push is not None and push.lines is not None:
        logs.tap = push.lines.put
    recorder = TelemetryRecorder(logs=logs, metrics=metrics, tracer=tracer, push=push)
    verdict_events = VerdictEvents(metrics=metrics, log=logs.log, guard=recorder.guard)
    events = Subscribers(note=recorder.guard.take)
    verdict_events.subscribe_to(events)
    registry = Registry(sources=config.sources, limits=DecodeLimits(), base_topic=config.base_topic)
    detector = settings.make_detector(config)
    bridge = LoopBridge(loop, fail=fail)
    partition = None if config.partition is None else Partition(config.partition)
    receiver = Receiver[Feedback | Command](
        registry=registry,
        partition=partition,
        own={
            f"{config.base_topic}/feedback": read_feedback,
            f"{config.base_topic}/command": read_command,
        },
        wall_at=scale.wall_at,
        note=recorder.decoder_faulted,
    )
    wiring = Wiring(
        decode=receiver.decode,
        read_plain=receiver.plain,
        families=registry,
        on_rows=bridge.on_rows,
        on_texts=InjectionScanner(recorder.injection_suspected).scan_all,
        on_feedback=verdict_events.on_feedback,
        knows=detector.knows,
        log=logs.bind(room="journal"),
    )
    journal = Journal.open(
        config.agent.state_dir,
        agent_id=config.name,
        settings=settings.of_journal(config),
        wiring=wiring,
        wall=scale.wall,
        mono=time.monotonic,
        stretch=float if scale.speed == 1.0 else scale.stretch,
    )
    transcripts = Transcripts(write=journal.write, log=logs.bind(room="caller"))
    ai.open(recorder, logs.bind(room="caller"), transcripts.add)
    link, broker = _make_link(config, registry, journal, bridge, logs)
    receiver.publish, receiver.incomplete = link.announce, lambda: bool(link.state.refused)
    answers = Answers(
        publish=link.answer,
        base_topic=config.base_topic,
        active=lambda: epochs is None or epochs.active,
    )
    events.subscribe(CommandDecided, answers.decided)

    def refuse(refusals: list[Refusal]) -> None:
        verdict_events.on_refusals(refusals)
        answers.refused(refusals)

    wiring.on_refusals = refuse
    wiring.on_acks, wiring.on_generation, wiring.on_room = link.ack, link.generation_stored, link.room
    links = AnswerLinks(journal.answer_key) if config.web.actions else None
    notice_sinks = _make_notice_sinks(config, journal, links, logs)
    configured = settings.of_pipeline(config, endpoint=ai.caller is not None)
    pipeline = Pipeline(
        settings=configured,
        journal=journal,
        detector=detector,
        caller=ai.caller,
        sinks=[broker, *notice_sinks],
        post=bridge.post,
        trace=PublishSpans(tracer=tracer, guard=recorder.guard, protocol=lambda: link.state.protocol),
        events=events,
        suppressed=lambda reason: recorder.suppressed(reason, 1),
        audits_allowed=ai.audits_allowed,
        clock=journal.clock.now,
        wall=scale.wall,
        turn_s=scale.turn_s(TURN_S),
        log=logs.bind(room="pipeline"),
        spawn=bridge.spawn,
        fail=bridge.fail,
    )
    bridge.connect(pipeline)
    epochs = shares = None
    if partition is not None:
        epochs = _make_epochs(config, partition, link, journal, pipeline, bridge, logs)
        shares = PartitionView(partition=partition, epochs=epochs, queue=pipeline.review_queue)
    ai.paused_to = lambda: pipeline.conclusions.people.paused_to(journal.clock.now())
    watchdog = Watchdog(beat_s=BEAT_S)
    view = JournalView(
        state_dir=config.agent.state_dir,
        outbox=pipeline.outbox,
        sinks=[sink.name for sink in notice_sinks],
        quoted=config.web.quarantine_text,
    )
    quiet = SourceQuiet(find_zone(config.agent.timezone))
    quiet.restore(journal.stats.earlier, [source.label for source in config.sources])
    problems = Problems(
        config=config,
        link=link,
        journal=journal.stats,
        unread=journal.unread,
        outbox=pipeline.outbox,
        detector=detector,
        ai=ai,
        faults=recorder.fault_log,
        view=view,
        idle_s=watchdog.age,
        dropped=recorder.dropped,
        limits=of_limits(config),
        weaknesses=weaknesses(config),
        start=start,
        quiet=quiet,
        partition=shares,
    )
    reporter = Reporter(
        config=config,
        link=link,
        journal=journal.stats,
        pipeline=pipeline,
        conclusions=pipeline.conclusions,
        detector=detector,
        ai=ai,
        problems=problems,
        view=view,
        start=start,
        partition=shares,
    )
    posts = _make_posts(config, journal, logs)
    commands = CommandIntake(
        accept=journal.accept,
        topic=f"{config.base_topic}/command",
        refused=verdict_events.on_refused_post,
    )
    events.subscribe(CommandDecided, lambda event: commands.decided(event.row, event.outcome))
    actions = _make_actions(config, commands) if config.web.actions else None
    replies = None
    if links is not None:
        replies = NoticeAnswers(
            commands=commands,
            links=links,
            find=pipeline.conclusions.find,
            findings=pipeline.conclusions.findings,
            wall=scale.wall,
        )
    snapshot = MetricsSnapshot(
        link=link,
        journal=journal,
        pipeline=pipeline,
        detector=detector,
        outbox_rows=view.outbox_rows,
        heard=problems.heard,
        sources_quiet=lambda: problems.quiet.quiet,
        dropped=recorder.dropped,
        budget=ai.spend,
        sinks=view.sinks_of_notices,
        posts_refused={} if posts is None else posts.refused,
    )
    metrics.read_path(snapshot.take)
    responses = Responses(
        status=Freshness(reporter.status, loop=loop).status,
        token="" if actions is None else actions.token,
        device=partial(read_device, config.agent.state_dir),
        problems=problems,
        render=metrics.render,
        stuck=watchdog.stuck,
        idle_s=watchdog.age,
        note=recorder.telemetry_faulted,
    )
    web = _make_web(config, responses, [one for one in (posts, actions, replies) if one is not None], logs)
    health = Health(
        link=link,
        journal=journal.stats,
        problems=problems,
        reporter=reporter,
        topic=f"{config.own_topic}/health",
        clock=journal.clock.now,
        paused_to=ai.paused_to,
        log=logs.log,
    )
    alerts = AlertTopics(
        link=link,
        facts=lambda: Facts(
            path=snapshot.take(),
            ai=ai.status(),
            barren=list(barren(journal.stats, time.monotonic())),
            fault_age_s=recorder.fault_log.age_s(),
        ),
        base=config.base_topic,
    )
    beside = [health.run] if config.standby else [health.run, alerts.run]
    if config.homeassistant.discovery and not config.standby:
        discovery = Discovery(
            settings=config.homeassistant,
            link=link,
            agent=config.name,
            base=config.base_topic,
            standby=config.partition is not None,
            page=settings.of_page(config),
            devices=detector.devices,
            pause=random.random,
        )
        link.pass_by(config.homeassistant.birth_topic, discovery.take_birth)
        beside.append(discovery.run)
    return Agent(
        ai=ai,
        bridge=bridge,
        detector=detector,
        journal=journal,
        lifecycle=Lifecycle(
            loop=loop,
            journal=journal,
            pipeline=pipeline,
            judging=configured.judging,
            link=link,
            ai=ai,
            web=web,
            tracer=tracer,
            has=(lambda _device: True) if partition is None else partition.has,
            push=push,
            sinks=notice_sinks,
            beside=beside,
            spawn=bridge.spawn,
        ),
        link=link,
        metrics=metrics,
        pipeline=pipeline,
        problems=problems,
        watchdog=watchdog,
        web=web,
    )


def _make_epochs(
    config: Config,
    partition: Partition,
    link: Link,
    journal: Journal,
    pipeline: Pipeline,
    bridge: LoopBridge,
    logs: LogWriter,
) -> Epochs:
    """Return what decides whether this agent publishes, or the other one of its partition."""
    base = config.base_topic
    mqtt = pipeline.outbox.feeds[MqttSink.name]
    epochs = Epochs(
        agent=config.name,
        client=settings.of_link(config).client_id,
        base=base,
        standby=partition.settings.standby,
        takeover_s=partition.settings.takeover_s,
        has=partition.has,
        post=bridge.post,
        link=link,
        keep=pipeline.keep_epochs,
        drained=lambda: not mqtt.in_memory and mqtt.complete,
        changed=pipeline.review_queue.look_again,
        retained=pipeline.conclusions.incident_topics,
        show=pipeline.conclusions.show_incidents,
        clock=time.monotonic,
        wall=time.time,
        log=logs.bind(room="partition"),
    )
    epochs.restore(*journal.epochs)
    pipeline.follow(epochs, partition.elsewhere)
    if not partition.settings.standby:
        pipeline.conclusions.shows = lambda window: epochs.active and partition.has(window.device)
    link.pass_by(epochs.topic, epochs.take_claim)
    link.pass_by_below(f"{base}/verdicts/", epochs.take_verdict)
    if partition.settings.standby:
        link.pass_by(f"{base}/status", epochs.take_first)
    return epochs


def _open_tracer(config: Config, logs: LogWriter) -> Tracer:
    return open_tracer(
        endpoint=config.traces.endpoint,
        protocol=config.traces.protocol,
        sample_ratio=config.traces.sample_ratio,
        content=config.traces.content,
        service_version=__version__,
        gateway=config.name,
        secrets=logs.secrets,
        log=logs.bind(room="traces"),
    )


def _make_posts(config: Config, journal: Journal, logs: LogWriter) -> ReadingsIntake | None:
    """Return the addresses that take readings, None where they are off."""
    if not config.web.intake:
        return None
    return ReadingsIntake(
        accept=journal.accept,
        per_min=config.web.intake_per_min,
        secure=config.web.cert_file is not None,
        log=logs.bind(room="web"),
    )


def _make_actions(config: Config, commands: CommandIntake) -> Actions:
    """Return the address of the page's buttons."""
    web = config.web
    here = socket.gethostname().lower()
    known = {"localhost", web.host.lower(), here, f"{here}.local"}
    if config.notify.page_url is not None:
        known.add((urlsplit(config.notify.page_url).hostname or "").lower())
    return Actions(
        commands=commands, secure=web.cert_file is not None, names=known if web.username is None else None
    )


def _make_web(config: Config, responses: Responses, posts: Sequence[PostRoute], logs: LogWriter) -> WebServer:
    """Return the web server; one that takes readings has slots for clients that wait for the disk."""
    return WebServer(
        host=config.web.host,
        port=config.web.port,
        routes=responses.routes(),
        posts=posts,
        tls=web_tls(config),
        auth=web_auth(config, logs.secrets),
        max_connections=MAX_CONNECTIONS if config.web.intake else MAX_SCRAPES,
        timeout_s=TIMEOUT_S + config.journal.commit_ms / 1000,
        log=logs.bind(room="web"),
    )


def _make_notice_sinks(
    config: Config, journal: Journal, links: AnswerLinks | None, logs: LogWriter
) -> list[NoticeSink]:
    """Return the sinks of notices; each has a thread once it has something to send."""
    log = logs.bind(room="notify")

    def refused(sink: str, receiver: str, code: int) -> None:
        log("mail_receiver_refused", level="warning", sink=sink, receiver=receiver, reason_code=code)

    return [
        NoticeSink(
            one.label,
            receiver_of(
                one,
                read=read_for(logs.secrets),
                local=is_loopback,
                refused=partial(refused, one.label),
                answer=links.link if links is not None and one.answers else lambda _notice: None,
            ),
            clock=journal.clock.now,
        )
        for one in config.notify.sinks
    ]


def _make_link(
    config: Config, registry: Registry, journal: Journal, bridge: LoopBridge, logs: LogWriter
) -> tuple[Link, MqttSink]:
    """Return link and broker sink; each attempt to connect is on disk before CONNECT is written."""

    def store_connection(generation: int) -> None:
        stored = journal.write(lambda store: store.begin_connection(generation), urgent=True)
        stored.add_done_callback(
            lambda done: None if done.exception() else link.connection_stored(generation)
        )

    def acknowledged(outbox_id: int, code: int) -> None:
        broker.acknowledged(outbox_id, code)

    link = Link(
        settings=settings.of_link(config),
        subscriptions=settings.of_subscriptions(config, registry),
        without_identifiers=settings.of_subscriptions(config, registry, identifiers=False),
        first_generation=journal.generation + 1,
        previous_filters=journal.filters,
        store_connection=store_connection,
        offer=journal.inbox.offer,
        on_published=acknowledged,
        on_event=bridge.on_link,
        log=logs.bind(room="mqtt"),
        pressed=lambda: journal.inbox.pressed,
    )
    broker = MqttSink(publish=link.publish, base_topic=config.base_topic)
    return link, broker
