"""Settings of the folders that need more than one section; pure, for a reload."""

from dataclasses import replace
from ipaddress import ip_address

from agent import __version__
from agent.budget.periods import find_zone
from agent.config.checks import is_loopback
from agent.config.client_id import client_id_of
from agent.config.credentials import password_reader
from agent.config.sections import Config
from agent.config.series_rules import of_limits, of_tuning
from agent.decode.registry import Registry
from agent.decode.subscriptions import Wanted, joined, plan
from agent.detect import Detector
from agent.domain.records import Severity
from agent.journal import JournalSettings
from agent.mqtt import BROKER_DROPS, LinkSettings, Subscription
from agent.pipeline.notices import Receiver
from agent.pipeline.pipeline import PipelineSettings
from agent.pipeline.review_queue import BatchSettings
from agent.prompt import Site, site_tokens
from agent.sinks.mqtt import mqtt_routes


def of_subscriptions(config: Config, registry: Registry, *, identifiers: bool = True) -> list[Subscription]:
    """Return the subscriptions: sources, availability, feedback, commands, messages past the journal.

    ``identifiers``: the broker has identifiers of subscriptions, which MQTT 3.1.1 does not know.
    """
    topics = ("command",) if config.standby else ("feedback", "command")
    people = [Wanted(f"{config.base_topic}/{topic}") for topic in topics]
    wanted = plan([*registry.subscriptions, *people])
    wanted = wanted if identifiers else joined(wanted)
    asked = [Subscription(one.asked, one.qos, identifier=one.identifier) for one in wanted]
    beside = [BROKER_DROPS]
    if config.homeassistant.discovery and all(
        one.filter != config.homeassistant.birth_topic for one in asked
    ):
        beside.append(config.homeassistant.birth_topic)
    asked += [Subscription(topic, qos=0, optional=True) for topic in beside]
    return asked if config.partition is None else [*asked, *_of_epochs(config)]


def _of_epochs(config: Config) -> list[Subscription]:
    """Return what the agents of a partition read of each other."""
    base = config.base_topic
    topics = [f"{base}/epoch", *([f"{base}/status"] if config.standby else [])]
    return [
        *(Subscription(topic, qos=0, optional=True, replay=True) for topic in topics),
        Subscription(f"{base}/verdicts/+", qos=0, optional=True, replay=True, no_local=True),
    ]


def make_detector(config: Config) -> Detector:
    """Return a detector that knows nothing yet."""
    return Detector(limits=of_limits(config), tuning=of_tuning(config), zone=find_zone(config.agent.timezone))


def of_journal(config: Config) -> JournalSettings:
    """Return the journal's pace and bounds."""
    return replace(
        config.journal,
        new_devices_per_min={source.topic: source.new_devices_per_min for source in config.sources},
        max_inbox_bytes=config.mqtt.max_intake_mib * 2**20,
    )


def of_link(config: Config) -> LinkSettings:
    """Return how the broker is reached."""
    mqtt = config.mqtt
    found = LinkSettings.of(
        mqtt,
        client_id=client_id_of(config),
        base_topic=config.own_topic,
        version=__version__,
        password=password_reader(mqtt.password_file),
    )
    return replace(found, fenced=config.partition is not None, commit_s=config.journal.commit_ms / 1000)


def of_pipeline(config: Config, *, endpoint: bool) -> PipelineSettings:
    """Return routes, windows, batches and reviews; ``endpoint``: there is a model to ask."""
    return PipelineSettings(
        agent=config.name,
        routes=mqtt_routes(config.base_topic),
        review=replace(config.review, endpoint=endpoint),
        window=config.review.window,
        batch=of_batch(config),
        limits=of_limits(config),
        tuning=of_tuning(config),
        receivers=[
            Receiver(one.label, Severity(one.min_severity), cleared=one.cleared)
            for one in config.notify.sinks
        ],
        rules=config.notify.rules(find_zone(config.agent.timezone)),
        link=config.notify.page_url,
        coupled=of_site(config).globs,
    )


def of_site(config: Config) -> Site:
    """Return the names and facts that may leave the site."""
    return Site.of(config.ai.share, config.knowledge)


def of_batch(config: Config) -> BatchSettings:
    """Return the bounds of a call's windows; shared names and facts take part of its tokens."""
    batch = config.review.batch
    taken = site_tokens(of_site(config), batch.max_input_tokens, batch.max_windows)
    return replace(batch, max_input_tokens=batch.max_input_tokens - taken)


def of_page(config: Config) -> str | None:
    """Return the address of the status page for other machines, None where there is not one of its own."""
    web = config.web
    if is_loopback(web.host) or ip_address(web.host).is_unspecified:
        return None
    return f"{'https' if web.cert_file else 'http'}://{web.listen}/"
