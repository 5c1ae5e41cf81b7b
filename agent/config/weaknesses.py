"""Security weaknesses of a valid configuration, for all reports."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent.config.checks import is_loopback
from agent.config.errors import one_line
from agent.config.sections import PREFIX, Config, variables
from agent.decode.subscriptions import Wanted, joined, plan
from agent.decode.topics import TopicPattern, overlap
from agent.observe.redact import Secrets
from agent.observe.traces import content_asked
from agent.prompt.site import NAMES, facts_of
from agent.testing import failpoint, time_scale

MAX_QUOTED = 80
_OTHERS = 0o077
_OTHER_VARIABLES = frozenset({failpoint.VARIABLE, time_scale.VARIABLE})
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
_PUSH_HEADERS = tuple(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "METRICS_", "LOGS_"))
#: Variables of OpenTelemetry's SDK for parts of it that are not used here.
_NO_EFFECT = re.compile(
    r"OTEL_(?:PYTHON_(?!EXPORTER_OTLP_GRPC_|CONTEXT$)\w+|(?:BSP|BLRP|METRIC_EXPORT|EXPORTER_ZIPKIN"
    r"|EXPORTER_JAEGER|EXPORTER_PROMETHEUS)_\w+|METRICS_EXEMPLAR_FILTER|PROPAGATORS"
    r"|EXPORTER_OTLP_(?:\w+_)?INSECURE|EXPORTER_OTLP_(?:METRICS|LOGS)_(?:ENDPOINT|PROTOCOL)"
    r"|EXPORTER_OTLP_METRICS_(?:TEMPORALITY_PREFERENCE|DEFAULT_HISTOGRAM_AGGREGATION))"
)


@dataclass(frozen=True, slots=True)
class Weakness:
    """One setting that is allowed but weak: its key, the consequence, and the remedy."""

    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}; {self.remedy}"


def weaknesses(config: Config, environ: Mapping[str, str] | None = None) -> list[Weakness]:
    """Return the settings that should be changed although the agent works with them.

    Only the mode of the state directory is read.
    """
    environ = os.environ if environ is None else environ
    return [
        *_variables(environ),
        *_broker(config),
        *_sources(config),
        *_shadowed(config),
        *_intake(config),
        *_actions(config),
        *_notify(config),
        *_traces(config, environ),
        *_push(config, environ),
        *_without_effect(config, environ),
        *_knowledge(config),
        *_state_dir(config),
    ]


def overlaps(config: Config) -> list[Weakness]:
    """Return the sources of which one message may come twice if the broker does not speak MQTT 5."""
    filters = joined(plan([Wanted(TopicPattern(source.topic).filter) for source in config.sources]))
    return [
        Weakness(
            f"sources {one.filter} and {other.filter}",
            "overlap in part; a broker without MQTT 5 may send a message that both match twice",
            "use a broker that speaks MQTT 5, or begin both with the same fixed level",
        )
        for place, one in enumerate(filters)
        for other in filters[place + 1 :]
        if overlap(one.filter, other.filter)
    ]


def _variables(environ: Mapping[str, str]) -> Iterator[Weakness]:
    """Name the variables that look like ours and set nothing; loading refuses those of a known section."""
    for name in sorted(environ):
        if not name.startswith(PREFIX) or "__" in name or name in _OTHER_VARIABLES:
            continue
        keys = {known.removeprefix(PREFIX): known for known in variables()}
        from difflib import get_close_matches  # noqa: PLC0415 - for a wrong name

        near = get_close_matches(name.removeprefix(PREFIX).upper(), keys, n=1)
        remedy = f"write {keys[near[0]]}, or unset it" if near else "unset it"
        yield Weakness(one_line(name), "this variable is unknown and has no effect", remedy)


def _broker(config: Config) -> Iterator[Weakness]:
    mqtt = config.mqtt
    if mqtt.password_file is not None and not mqtt.tls and not is_loopback(mqtt.host):
        yield Weakness(
            "mqtt.url",
            f"the password goes to {mqtt.host} unencrypted",
            "write mqtts:// and mqtt.ca_file, and set mqtt.require_tls: true",
        )


def _sources(config: Config) -> Iterator[Weakness]:
    own = f"{config.base_topic}/#"
    for source in config.sources:
        pattern = TopicPattern(source.topic).filter
        key = f"sources {pattern}"
        first, *others = pattern.split("/")
        shapeless = all(level in {"#", "+"} for level in others) or overlap(pattern, own)
        if first in {"#", "+"} and shapeless:
            yield Weakness(
                key,
                "reads topics of everybody, other agents' verdicts and commands included",
                "begin the topic with a fixed level, such as sensors/",
            )
        elif overlap(pattern, own):
            yield Weakness(
                key,
                f"overlaps {own}, where this agent publishes; a message there is never a reading",
                "read and write below different first levels, or change mqtt.base_topic",
            )


def _shadowed(config: Config) -> Iterator[Weakness]:
    """Name sources that never get a message."""
    filters = [TopicPattern(source.topic) for source in config.sources]
    for place, (source, own) in enumerate(zip(config.sources, filters, strict=True)):
        for earlier, other in zip(config.sources[:place], filters[:place], strict=True):
            if other.takes_all_of(own):
                yield Weakness(
                    f"sources[{place}].topic {source.topic!r}",
                    f"never gets a message: {earlier.topic!r} before it takes all of its topics",
                    "move it before that source, or remove it",
                )
                break


def _intake(config: Config) -> Iterator[Weakness]:
    web = config.web
    if web.intake and web.username is None and not is_loopback(web.host):
        yield Weakness(
            "web.intake",
            f"every client that reaches {web.listen} can post readings of any device",
            "set web.username and web.password_file, with TLS",
        )


def _actions(config: Config) -> Iterator[Weakness]:
    web = config.web
    if web.actions and not is_loopback(web.host):
        who = f"every client that reaches {web.listen}"
        if web.username is not None:
            who += f" with the password of {web.username}"
        yield Weakness(
            "web.actions",
            f"{who} can acknowledge, snooze and close findings, and forget devices",
            "set web.actions: false if that is too much",
        )


def _notify(config: Config) -> Iterator[Weakness]:
    for sink in config.notify.sinks:
        parts = urlsplit(sink.url or "")
        if is_loopback(parts.hostname):
            continue
        if parts.scheme == "http":
            sent = "notices and the token go" if sink.token_file else "notices go"
            yield Weakness(
                f"notify.sinks {sink.label}", f"{sent} to {parts.hostname} unencrypted", "write https://"
            )
        elif not sink.require_tls:
            yield Weakness(
                f"notify.sinks {sink.label}",
                "mail goes out unencrypted where the server has no STARTTLS",
                "remove require_tls: false, or write smtps://",
            )


def _traces(config: Config, environ: Mapping[str, str]) -> Iterator[Weakness]:
    traces = config.traces
    address = urlsplit(traces.endpoint or "")
    if traces.protocol == "console" or address.scheme != "http" or is_loopback(address.hostname):
        return
    content = content_asked(environ) if traces.content is None else traces.content
    sent = "prompts and replies" if content else ""
    if any(environ.get(name) for name in _HEADERS):
        sent = f"{sent} and the collector's token" if sent else "the collector's token"
    if sent:
        yield Weakness(
            "traces.endpoint",
            f"{sent} go to {address.hostname} unencrypted",
            "write https://, or set traces.content: false",
        )


def _push(config: Config, environ: Mapping[str, str]) -> Iterator[Weakness]:
    otel = config.otel
    address = urlsplit(otel.endpoint or "")
    if not (otel.metrics or otel.logs) or address.scheme != "http" or is_loopback(address.hostname):
        return
    sent = ["log lines"] if otel.logs else []
    if otel.logs and config.logs.content in {"redacted", "full"}:
        sent.append("prompts and replies")
    if otel.headers_file or any(environ.get(name) for name in _PUSH_HEADERS):
        sent.append("the collector's token")
    if sent:
        yield Weakness(
            "otel.endpoint", f"{', '.join(sent)} go to {address.hostname} unencrypted", "write https://"
        )


def _without_effect(config: Config, environ: Mapping[str, str]) -> Iterator[Weakness]:
    """Name the variables of OpenTelemetry that others of its programs obey."""
    traces, otel = config.traces, config.otel
    if not (traces.endpoint or traces.protocol == "console" or otel.metrics or otel.logs):
        return
    for name in sorted(environ):
        if environ[name].strip() and _NO_EFFECT.fullmatch(name):
            yield Weakness(
                name,
                "this variable has no effect on the agent",
                "unset it; docs/traces.md names those that do",
            )


def _knowledge(config: Config) -> Iterator[Weakness]:
    """Name the sentences of the knowledge that are never sent, and those that hold a secret."""
    for fact in facts_of(config.knowledge):
        if config.ai.share == NAMES and not fact.suspicions and Secrets().mask(fact.text) != fact.text:
            yield Weakness(
                f"knowledge.{one_line(fact.glob)}",
                f"sentence {fact.id} looks like a password or a key, and the model gets it",
                "describe the equipment alone",
            )
        if fact.suspicions:
            rules = " and ".join(fact.suspicions)
            yield Weakness(
                f"knowledge.{one_line(fact.glob)}",
                f"sentence {fact.id} looks like text to a model ({rules}), so it is not sent:"
                f" {one_line(fact.text)[:MAX_QUOTED]}",
                "describe the equipment in other words",
            )


def _state_dir(config: Config) -> Iterator[Weakness]:
    folder = config.agent.state_dir
    try:
        found = folder.stat().st_mode
    except OSError:
        return  # it is not there yet, or not ours to look at
    mode = stat.S_IMODE(found)
    if mode & _OTHERS and stat.S_ISDIR(found):
        yield Weakness(
            "agent.state_dir",
            f"other users can look into {folder} (mode {mode:04o}), which holds readings and prompts",
            f"run: chmod go-rwx {folder}",
        )
