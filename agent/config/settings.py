"""Turns the configuration into the settings of each room; pure, so that a reload makes the same ones."""

from agent import __version__
from agent.config import Config
from agent.config.credentials import machine_hash, password_reader
from agent.decode.registry import Registry, SourceSpec
from agent.detect import Limit
from agent.journal import JournalSettings
from agent.mqtt import BROKER_DROPS, LinkSettings, Subscription
from agent.pipeline.pipeline import PipelineSettings
from agent.pipeline.review_queue import BatchSettings
from agent.pipeline.window import WindowSettings
from agent.prompt.words import unit_spellings
from agent.sinks.mqtt import mqtt_routes
from agent.verdict.review_policy import ReviewSettings


def of_sources(config: Config) -> list[SourceSpec]:
    """Return what the registry reads."""
    return [
        SourceSpec(
            topic=source.topic,
            format=source.format,
            retained=source.retained,
            availability=None if source.availability is None else source.availability.spec,
            dedupe=source.dedupe,
        )
        for source in config.sources
    ]


def of_subscriptions(config: Config, registry: Registry) -> list[Subscription]:
    """Return what the broker is asked for: sources, availability topics, feedback, its own losses."""
    sources = [
        Subscription(pattern, source.qos)
        for pattern, source in zip(registry.filters, config.sources, strict=True)
    ]
    further = (*registry.watched, f"{config.base_topic}/feedback")
    drops = Subscription(BROKER_DROPS, qos=0, optional=True)
    return [*sources, *(Subscription(pattern) for pattern in further), drops]


def of_limits(config: Config) -> list[Limit]:
    """Return what series must not leave."""
    return [
        Limit(pattern, item.low, item.high, item.unit, unit_spellings(item.unit))
        for pattern, item in config.limits.items()
    ]


def of_journal(config: Config) -> JournalSettings:
    """Return the journal's pace and bounds."""
    return JournalSettings(
        commit_ms=config.journal.commit_ms,
        max_mib=config.journal.max_mib,
        keep_days=config.journal.keep_days,
        prune=config.journal.prune,
        new_devices_per_min={source.topic: source.new_devices_per_min for source in config.sources},
        max_inbox_bytes=config.mqtt.max_intake_mib * 2**20,
    )


def of_link(config: Config) -> LinkSettings:
    """Return how the broker is reached."""
    mqtt = config.mqtt
    return LinkSettings(
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
    )


def of_pipeline(config: Config, *, endpoint: bool) -> PipelineSettings:
    """Return routes, windows, batches and who reviews; ``endpoint`` says that there is a model to ask."""
    review = config.review
    return PipelineSettings(
        agent=config.agent.id,
        routes=mqtt_routes(config.base_topic),
        review=ReviewSettings(mode=review.mode, audits_per_day=review.audits_per_day, endpoint=endpoint),
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
    )
