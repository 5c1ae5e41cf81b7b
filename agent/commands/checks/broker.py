"""The broker, by its behaviour: login, rights, session, limits."""

import time
from collections.abc import Iterator
from dataclasses import replace

from agent.commands.checks.line import Line, fail, ok, warn
from agent.commands.printing import DAY, printable, span
from agent.config import Config, overlaps, settings
from agent.decode.registry import Registry
from agent.decode.subscriptions import plain
from agent.mqtt import BROKER_COUNTS, Subscription
from agent.mqtt.group_probe import Dealt, probe_group
from agent.mqtt.probe import Examined, examine
from agent.mqtt.settings import BrokerLimits
from agent.sinks.homeassistant import DOCTOR

REFUSED = 0x80
WEEK_S = 7 * DAY
SMALL_PACKET = 65_536
SHIPPED = "see configs/mosquitto/edge-agent.conf"
RIGHTS = "see configs/mosquitto/edge-agent.acl"
READ_RIGHT = "a SUBACK does not reveal a missing read right"


def look_at_broker(config: Config, *, listen_s: float) -> list[Line]:
    """Connect, subscribe and publish as the agent would, under the client id ``<id>-doctor``.

    Messages that show a right to read are listened for during ``listen_s``.
    """
    registry = Registry(sources=config.sources, base_topic=config.base_topic)
    # In a group this probe would be dealt messages of the agents: it asks for the plain filter.
    wanted = [
        replace(one, filter=plain(one.filter))
        for one in settings.of_subscriptions(config, registry)
        if not one.optional or one.replay  # of the other agent of a partition
    ]
    link = replace(settings.of_link(config), client_id=f"{config.name}-doctor")
    home = config.homeassistant
    trial = [home.config_topic(DOCTOR)] if home.discovery else []
    if home.discovery:
        wanted.append(Subscription(home.birth_topic, qos=0))
    found = examine(link, wanted, busy=registry.filters, listen_s=listen_s, empty=trial)
    if found.trouble is not None:
        remedy = found.trouble.remedy or "correct the mqtt section"
        return [fail("mqtt.connect", printable(found.trouble.what), remedy)]
    lines = [ok("mqtt.connect", f"{link.address} lets {link.client_id} in"), _protocol(found)]
    if found.protocol != "5":
        lines += [warn(weak.key, printable(weak.what), weak.remedy) for weak in overlaps(config)]
    lines += _tls(config, found, time.time())
    lines += [_granted(one, found, busy=one.filter in registry.filters) for one in wanted]
    if found.limits.max_qos:
        lines.append(_publish(config, found))
        lines += [_announce(topic, code, found) for topic, code in found.removed.items()]
    if found.lost is not None:
        lines.append(fail("mqtt.connection", printable(found.lost.what), found.lost.remedy))
    lines.append(_session(found))
    lines += _limits(found.limits, v5=found.protocol == "5")
    lines.append(_dropped(found))
    if any(source.group is not None for source in config.sources):
        lines.append(_group(probe_group(link), found))
    return lines


def _group(dealt: Dealt, found: Examined) -> Line:
    """Judge whether a device would stay with one agent of a group."""
    check = "mqtt.group"
    remedy = "use partition, which works on any broker"
    if found.protocol != "5":
        return fail(check, "the broker has no shared subscriptions: it does not speak MQTT 5", remedy)
    if dealt.trouble is not None:
        return fail(check, printable(dealt.trouble.what), dealt.trouble.remedy or remedy)
    if dealt.refused >= REFUSED:
        right = "allow this user to read and write <base>/doctor/group/+ to try it, or use partition"
        return fail(check, f"refused (0x{dealt.refused:02x})", right)
    if not dealt.received:
        return warn(check, f"nothing came back, and {READ_RIGHT}", f"give this user the right; {RIGHTS}")
    if not dealt.kept:
        return fail(
            check,
            f"the broker deals one topic to several members ({_dealt(dealt)}): a device would have several"
            " agents, and none of them all of its readings",
            f"{remedy}; or let the broker choose by the topic (EMQX: hash_topic)",
        )
    if not dealt.complete:
        return warn(check, f"messages are missing ({_dealt(dealt)})", "try again; is the link overloaded?")
    if dealt.members == 1:
        return warn(check, "one member gets all topics, so that the others would have nothing to do", remedy)
    return ok(check, f"each of {len(dealt.received)} topics stays with one of {dealt.members} members")


def _dealt(dealt: Dealt) -> str:
    """Return how the messages of the first topic were dealt."""
    topic, counts = next(iter(dealt.received.items()))
    shares = ", ".join(str(count) for _, count in sorted(counts.items()))
    return f"topic {topic.rpartition('/')[2]}: {shares} messages"


def _protocol(found: Examined) -> Line:
    if found.protocol == "5":
        return ok("mqtt.protocol", "MQTT 5")
    return warn(
        "mqtt.protocol",
        "MQTT 3.1.1 only: a publish that the broker refuses is not noticed, limits are not reported",
        "update the broker to one that speaks MQTT 5 (Mosquitto 2)",
    )


def _tls(config: Config, found: Examined, now: float) -> Iterator[Line]:
    if not found.tls:
        if config.mqtt.host not in {"127.0.0.1", "::1", "localhost"}:
            yield warn("mqtt.tls", "the link is not encrypted", "use mqtts:// and mqtt.ca_file")
        return
    if found.expires is None:
        yield ok("mqtt.tls", found.tls)
    elif found.expires - now < 14 * DAY:
        left = span(found.expires - now)
        yield warn("mqtt.tls", f"{found.tls}; the broker's certificate ends in {left}", "renew it")
    else:
        yield ok("mqtt.tls", f"{found.tls}; certificate valid for {span(found.expires - now)}")


def _granted(wanted: Subscription, found: Examined, *, busy: bool) -> Line:
    """Judge one SUBACK; ``busy``: messages are expected on it at any time."""
    check, code = f"mqtt.subscribe {wanted.filter}", found.granted.get(wanted.filter)
    if code is None:
        return fail(check, "no SUBACK came", "look at the broker's log")
    if code >= REFUSED:
        return fail(check, f"refused (0x{code:02x})", f"give this user the right to read it; {RIGHTS}")
    if code < wanted.qos:
        return fail(check, f"granted QoS {code} only: messages may be lost", "let the broker grant QoS 1")
    heard = found.heard.get(wanted.filter, 0)
    if heard:
        return ok(check, f"granted QoS {code}, messages arrive")
    if not busy:
        return ok(check, f"granted QoS {code}; {READ_RIGHT}")
    return warn(
        check,
        f"granted QoS {code}, but nothing arrived while looking, and {READ_RIGHT}",
        f"make sure that something is published and that this user may read it; {RIGHTS}",
    )


def _publish(config: Config, found: Examined) -> Line:
    check, code = f"mqtt.publish {config.base_topic}/#", found.published
    if code is None:
        return fail(check, "no PUBACK came", "look at the broker's log")
    if code >= REFUSED:
        return fail(
            check,
            f"refused (0x{code:02x}): no verdict would arrive",
            f"give this user the right to write below {config.base_topic}/; {RIGHTS}",
        )
    if found.protocol != "5":
        return warn(check, "acknowledged, which proves nothing under MQTT 3.1.1", "look at the broker's ACL")
    return ok(check, "allowed")


def _announce(topic: str, code: int | None, found: Examined) -> Line:
    """Judge the right to announce devices to Home Assistant."""
    check = f"homeassistant {topic.replace(DOCTOR, '+')}"
    if code is None:
        return fail(check, "no PUBACK came", "look at the broker's log")
    if code >= REFUSED:
        remedy = f"give this user the right to write it, or switch homeassistant.discovery off; {RIGHTS}"
        return fail(check, f"refused (0x{code:02x}): no device would be announced", remedy)
    if found.protocol != "5":
        return warn(check, "acknowledged, which proves nothing under MQTT 3.1.1", "look at the broker's ACL")
    return ok(check, "allowed")


def _session(found: Examined) -> Line:
    check = "mqtt.session"
    if found.session_kept:
        return ok(check, "kept over a reconnect (a restart of the broker is not tried)")
    if found.session_kept is None:
        return warn(
            check,
            f"could not be tried: {printable(found.session_trouble)}",
            "allow client ids that end in -doctor-session, if the broker checks them",
        )
    return fail(
        check,
        "forgotten at the disconnect: what is published while the agent is away is lost",
        f"let the broker keep sessions (Mosquitto: persistent_client_expiration unset); {SHIPPED}",
    )


def _limits(limits: BrokerLimits, *, v5: bool) -> Iterator[Line]:
    if not v5:
        return
    check, size = "mqtt.limits", limits.max_packet_size
    told = [
        f"packets up to {size} bytes" if size else "packets of any size",
        f"{limits.receive_maximum} publishes in flight",
    ]
    if limits.session_expiry_s is not None and limits.session_expiry_s < WEEK_S:
        yield warn(
            check,
            f"the broker keeps a session for {span(limits.session_expiry_s)} only",
            "raise persistent_client_expiration, so that a longer absence loses nothing",
        )
    if size is not None and size < SMALL_PACKET:
        yield warn(
            check, f"packets above {size} bytes end the connection", "raise max_packet_size to 1048576"
        )
    if not limits.retain_available:
        yield fail(check, "retained messages are switched off", "set retain_available true")
    if limits.max_qos < 1:
        yield fail(check, "only QoS 0 is allowed", "set max_qos 2: without QoS 1 nothing is promised")
    yield ok(check, ", ".join(told))


def _dropped(found: Examined) -> Line:
    check = "mqtt.dropped"
    if found.dropped is None and found.counts_heard:
        return ok(check, "the broker has dropped nothing in the last minute")
    if found.dropped is None:
        return warn(
            check,
            f"nothing was received on {BROKER_COUNTS}: what the broker drops stays unseen",
            f"allow topic read {BROKER_COUNTS} for this user; {RIGHTS}",
        )
    if found.dropped:
        return warn(
            check,
            f"the broker has dropped {found.dropped} messages since its start, for any of its clients",
            f"raise max_queued_messages (1000 by default); {SHIPPED}",
        )
    return ok(check, "the broker has dropped nothing since its start")
