"""Checks of single values of the configuration, beyond type and range."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

from agent.ai.settings import AiSettings, BudgetSettings
from agent.config.sections import (
    AgentSettings,
    Config,
    ExpectSettings,
    LimitSettings,
    TuningSettings,
    WebSettings,
)
from agent.decode.availability import AvailabilitySpec
from agent.decode.json_path import JsonPath
from agent.decode.metric_rules import MetricSettings
from agent.decode.partition import PartitionSettings
from agent.decode.posted import ROOT
from agent.decode.source_spec import SourceSpec, TimeSettings
from agent.decode.topics import TopicPattern, overlap
from agent.decode.values import is_name
from agent.detect import QuietHours
from agent.domain.address import split_address
from agent.mqtt.settings import MqttSettings
from agent.observe.redact import Secrets, names_a_secret
from agent.observe.telemetry_settings import OtelSettings, TracesSettings
from agent.prompt.site import MAX_ENTRIES, MAX_WORDS
from agent.sinks.homeassistant import HomeAssistantSettings
from agent.sinks.settings import NotifySettings, SinkSettings, minute_of

MAX_ID = 64
MAX_NAME, MAX_PATH = 255, 2048  # of a file system, and with room for the files within
_LONG_RUN, _MIXED_RUN = 20, 12  # letters and digits in a row: no word, and none with digits, is longer
_OWN_HEADERS = frozenset(
    {"host", "content-type", "content-length", "transfer-encoding", "connection", "idempotency-key", "expect"}
)
_INTERVALS = {"": 1.0, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
MAX_GLOB = 256
MAX_INTERVAL_S = 31 * 86_400.0
_SHORT_NAMES = frozenset({"key", "token", "sig", "signature", "code", "auth", "pass"})  # of keys in a query


# ------------------------------------------------------------------------------------- addresses


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def refuse_credentials(value: str, remedy: str) -> SplitResult:
    """Return the parts of an address that holds neither user, password nor key.

    Raises:
        ValueError: in words for a person, without the secret.
    """
    parts = split_address(value)
    pairs = parse_qsl(f"{parts.query}&{parts.fragment}", keep_blank_values=True, separator="&")
    if "@" in parts.netloc:
        raise ValueError(f"holds a user or a password; {remedy}")
    if any(name.lower() in _SHORT_NAMES or names_a_secret(name[-64:]) for name, _ in pairs):
        raise ValueError(f"holds a key; {remedy}")
    return parts


def check_model_url(value: str, remedy: str) -> None:
    """Refuse an address where no model can be asked, or where readings would pass unencrypted.

    Raises:
        ValueError: in words for a person, without a secret.
    """
    parts = refuse_credentials(value, remedy)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an HTTP address; write https://host/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("is not encrypted and not on this machine; write https://")


def _broker_url(value: str) -> None:
    parts = refuse_credentials(value, "use mqtt.username and mqtt.password_file")
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise ValueError("is not a broker address; write mqtt://host:1883, or mqtts://host:8883 for TLS")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("has a path, which MQTT over TCP does not know; remove what follows the port")


def _collector_url(value: str) -> None:
    parts = refuse_credentials(value, "use the variable OTEL_EXPORTER_OTLP_HEADERS")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an HTTP address; write http://host:4318 (http) or http://host:4317 (grpc)")


def _push_url(value: str) -> None:
    parts = refuse_credentials(value, "use otel.headers_file")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an HTTP address; write http://host:4318 (http) or http://host:4317 (grpc)")
    if re.search(r"/v1/(traces|metrics|logs)/?$", parts.path):
        raise ValueError("is the address of one signal; leave out /v1/..., each signal has its own")


def _push(section: OtelSettings) -> None:
    if (section.metrics or section.logs) and section.endpoint is None:
        raise ValueError("has no endpoint; write endpoint: http://127.0.0.1:4318, or no metrics and logs")


def refuse_key_in_path(parts: SplitResult, remedy: str) -> None:
    """Refuse an address whose path has what looks like a key, as those of chat services have.

    Raises:
        ValueError: in words for a person, without the key.
    """
    runs = re.findall(r"[A-Za-z0-9]+", unquote(parts.path))
    if any(
        len(run) >= _LONG_RUN or (len(run) >= _MIXED_RUN and not run.isalpha() and not run.isdecimal())
        for run in runs
    ):
        raise ValueError(f"holds what looks like a key in its path; {remedy}")


def _sink_url(value: str) -> None:
    remedy = "write the address into a file, and url_file: FILE"
    parts = refuse_credentials(value, remedy)
    if parts.scheme not in {"http", "https", "smtp", "smtps"} or not parts.hostname:
        raise ValueError(
            "is not the address of a sink; write https://host/path, or for mail smtps://host:465"
        )
    refuse_key_in_path(parts, remedy)


def _page_url(value: str) -> None:
    parts = refuse_credentials(value, "write it without")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an HTTP address; write https://host/")


def _listen(value: str) -> None:
    parts = split_address(f"http://{value}")
    if not parts.hostname or parts.port is None or parts.netloc != value or "@" in value:
        raise ValueError("is not host:port; write 127.0.0.1:8000")


# ------------------------------------------------------------------------------------ other values


def expand(path: Path) -> Path:
    """Return ``path`` with the home directory in place of a leading ``~``.

    Raises:
        ValueError: in words for a person.
    """
    if not str(path).isprintable():
        raise ValueError("holds a control character; write a plain path")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that is not known; write the whole path") from None


def _state_dir(value: Path) -> Path:
    if value == Path():
        raise ValueError("is empty; write the path of a folder")
    if any(len(part.encode()) > MAX_NAME for part in value.parts) or len(str(value)) > MAX_PATH:
        raise ValueError("is longer than a path may be; write a shorter one")
    return expand(value)


def _agent_id(value: str) -> None:
    if len(value) > MAX_ID or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        raise ValueError(f"is part of topics and ids; use 1 to {MAX_ID} of A-Z a-z 0-9 _ -")


def _base_topic(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_=.-]+(/[A-Za-z0-9_=.-]+)*", value.replace("{id}", "x")):
        raise ValueError("is not a plain topic; write levels of A-Z a-z 0-9 _ . - such as edge-agent/{id}")
    if value.split("/", maxsplit=1)[0] == ROOT:
        raise ValueError(f"begins with {ROOT}/, where readings are posted: use another first level")


def _user(value: str) -> None:
    if re.search(r"[:\s]", value):
        raise ValueError("holds a colon or a blank, which no user name of HTTP has; write it without")


def _time_zone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # unknown, not a name, or a folder of them
        raise ValueError(
            "is not a time zone of this machine; write for example Europe/Berlin, or null"
        ) from None


def check_glob(glob: str) -> None:
    """Refuse a glob with a bracket that is not closed, or with a range in it that is empty.

    Raises:
        ValueError: so it is.
    """
    start = glob.find("[")
    while start >= 0:
        first = start + 2 if glob.startswith("!", start + 1) else start + 1
        end = glob.find("]", first + 1)  # one in the first place is of the range
        found = glob[start : end + 1]
        if end < 0:
            why = "opens a bracket that is not closed"
        elif "(?!)" in translate(found):
            why = f"holds the empty range {found[:40]!r}"
        else:
            start = glob.find("[", end)
            continue
        raise ValueError(
            f"{glob[:40]!r} {why}; write [0-9] for one of several characters, or [[] for a bracket itself"
        )


def _globs(value: Iterable[str]) -> None:
    for glob in value:
        check_glob(glob)


def _series(value: Mapping[str, LimitSettings]) -> None:
    for key in value:
        if "/" not in key.strip("/"):
            raise ValueError(f"{key!r} is not device/metric; write for example '*/temperature'")
        check_glob(key)


def _knowledge(value: Mapping[str, str]) -> None:
    if len(value) > MAX_ENTRIES:
        raise ValueError(f"has {len(value)} entries; write at most {MAX_ENTRIES}, a glob covers many devices")
    for key, text in value.items():
        if not 0 < len(key) <= MAX_GLOB:
            raise ValueError(f"{key[:40]!r} is not a device glob; write for example 'freezer/*'")
        check_glob(key)
        words = len(text.split())
        if not 0 < words <= MAX_WORDS:
            raise ValueError(f"{key!r} has {words} words; write 1 to {MAX_WORDS}")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ValueError(f"{key!r} holds half of a character; write it again")


def _tuning_match(value: str) -> None:
    if "/" not in value.strip("/"):
        raise ValueError(f"{value!r} is not device/metric; write for example 'pv/*'")
    check_glob(value)


def parse_interval(text: str) -> float:
    """Return the seconds of ``30s``, ``5min``, ``1h`` or ``90``.

    Raises:
        ValueError: in words for a person.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) *([a-z]*)", text.strip().lower())
    seconds = float(found[1]) * _INTERVALS[found[2]] if found and found[2] in _INTERVALS else 0.0
    if not 0.0 < seconds <= MAX_INTERVAL_S:
        raise ValueError("is not a time between readings; write for example 30s, 5min or 1h (at most 31d)")
    return seconds


def _interval(value: str) -> None:
    parse_interval(value)


def _seconds_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _quiet(value: tuple[str, ...]) -> None:
    for text in value:
        QuietHours.parse(text)


def _one_or_more_hours(value: Any) -> Any:
    return () if value is None else [value] if isinstance(value, str) else value


def _topic(value: str) -> None:
    TopicPattern(value)


def _path(value: str) -> None:
    JsonPath(value)


def _topics(value: tuple[str, ...]) -> None:
    for text in value:
        try:
            TopicPattern(text)
        except ValueError as error:
            raise ValueError(f"{text!r} {error}") from None


def _renames(value: Mapping[str, str]) -> None:
    """Refuse names that cannot be metrics, and one name for two metrics: their values would mix."""
    for name in value.values():
        if not is_name(name):
            raise ValueError(f"{name!r} cannot name a metric; write printable text")
        if list(value.values()).count(name) > 1:
            raise ValueError(f"gives two metrics the name {name!r}; write a name of its own for each")


def _headers(value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name) or name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name[:64]!r} is not a header to be set here; remove it")
        if names_a_secret(name) or _looks_secret(text):
            raise ValueError(f"{name} holds a key; use token_file or secret_file")
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"{name} has letters that no header has; write plain ASCII")


def _looks_secret(text: str) -> bool:
    """Return whether a text has the shape of a key."""
    return Secrets().mask(text) != text


def _sink_name(value: str) -> None:
    if not re.fullmatch(r"[a-z0-9_-]{1,32}", value) or value == "mqtt":
        raise ValueError("names rows of the journal; use 1 to 32 of a-z 0-9 _ -, and not mqtt")


def _ntfy_topic(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("is not a topic of ntfy; use 1 to 64 of A-Z a-z 0-9 _ -")


def _mail_address(value: str) -> None:
    if not re.fullmatch(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,189}", value) or not value.isascii():
        raise ValueError(f"{value!r} is not a mail address; write name@host")


def _mail_addresses(value: tuple[str, ...]) -> None:
    for text in value:
        _mail_address(text)


def _quiet_hours(value: str) -> None:
    begin, dash, end = value.partition("-")
    if not dash:
        raise ValueError("is not a span of the day; write for example 22:00-07:00")
    if minute_of(begin) == minute_of(end):
        raise ValueError("begins when it ends; write for example 22:00-07:00")


def _time_of_day(value: str) -> None:
    minute_of(value)


def _sinks(value: tuple[SinkSettings, ...]) -> None:
    names = [one.label for one in value]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has two sinks named {name!r}; give each a name of its own")


def _sources(value: tuple[SourceSpec, ...]) -> None:
    if not value:
        raise ValueError("is empty, so nothing would be read; list at least one {topic: ...}")
    for source in value:
        for other in value if source.group is not None else ():
            if other is not source and overlap(*(TopicPattern(one.topic).filter for one in (source, other))):
                raise ValueError(
                    f"topic {source.topic!r} has a group and overlaps {other.topic!r}, so that a message"
                    " could come to two agents; write topics without a common one"
                )


def _one_or_more_words(value: Any) -> Any:
    """Take one word as a list of it; refuse what YAML makes of a bare on, off, yes or no."""
    words = value if isinstance(value, list | tuple) else [value]
    if not words:
        raise ValueError("is empty; write what the device sends")
    for word in words:
        if isinstance(word, bool):
            raise ValueError(f"{word!r} is what YAML reads here; put the word in quotes")  # noqa: TRY004 - pydantic takes ValueError
        if isinstance(word, str) and not word.strip():
            raise ValueError("holds an empty word; write what the device sends")
    return words


# ---------------------------------------------------------------------------------- whole sections


def _mqtt(mqtt: MqttSettings) -> None:
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        raise ValueError("cert_file and key_file belong together; give both or neither")
    if mqtt.password_file is not None and mqtt.username is None:
        raise ValueError("password_file needs username; add mqtt.username")
    if not mqtt.tls and (mqtt.ca_file or mqtt.cert_file):
        raise ValueError("ca_file and cert_file need TLS; write url: mqtts://...")
    if mqtt.require_tls and not mqtt.tls:
        raise ValueError("require_tls is true and url is not encrypted; write url: mqtts://...")


def _availability(words: AvailabilitySpec) -> None:
    both = {word.casefold() for word in words.online} & {word.casefold() for word in words.offline}
    if both:
        raise ValueError(f"{min(both)!r} means online and offline; keep it in one of them (case is ignored)")


def _source(source: SourceSpec) -> None:
    source.check()


def _partition(partition: PartitionSettings) -> None:
    if partition.index >= partition.of:
        raise ValueError(f"index {partition.index} is not below of {partition.of}; the first one is 0")


def _whole(config: Config) -> None:
    """Refuse settings with which the agents of several partitions would be taken for one."""
    if config.partition is None:
        return
    for key, value in (("base_topic", config.mqtt.base_topic), ("client_id", config.mqtt.client_id)):
        if value is not None and "{id}" not in value:
            raise ValueError(
                f"mqtt.{key} {value!r} would be the same for each partition; write {{id}} into it, the name"
                f" of the agent, here {config.name}"
            )
    if len(config.name) > MAX_ID:
        raise ValueError(f"agent.id makes the name {config.name}, longer than {MAX_ID}; shorten it")
    if any(source.group is not None for source in config.sources) and config.partition.of > 1:
        raise ValueError("sources with a group are dealt by the broker; remove group, or partition")


def _tuning(rule: TuningSettings) -> None:
    if rule.expect is not None and rule.expect.interval is None and not rule.expect.quiet:
        raise ValueError("expect has neither interval nor quiet; give at least one, or remove it")


def _limit(limit: LimitSettings) -> None:
    if limit.low is None and limit.high is None:
        raise ValueError("has neither low nor high; give at least one")
    if limit.low is not None and limit.high is not None and limit.low >= limit.high:
        raise ValueError(f"low {limit.low} is not below high {limit.high}; exchange or correct them")


def _ai(ai: AiSettings) -> None:
    if not ai.prices:
        raise ValueError("prices is empty, so no call could be budgeted; price at least one model (0 = free)")


def _web(web: WebSettings) -> None:
    if (web.cert_file is None) != (web.key_file is None):
        raise ValueError("cert_file and key_file belong together; give both or neither")
    if (web.username is None) != (web.password_file is None):
        raise ValueError("username and password_file belong together; give both or neither")
    if not is_loopback(web.host) and not web.insecure and not (web.cert_file and web.username):
        raise ValueError(
            f"listen {web.listen} can be reached from outside; use 127.0.0.1, or give cert_file, "
            "key_file, username and password_file, or set web.insecure: true"
        )


#: Keys of a sink that only some types have.
_OF_TYPES: Mapping[str, frozenset[str]] = {
    "headers": frozenset({"webhook", "ntfy"}),
    "token_file": frozenset({"webhook", "ntfy"}),
    "secret_file": frozenset({"webhook"}),
    "topic": frozenset({"ntfy"}),
    "from_": frozenset({"mail"}),
    "to": frozenset({"mail"}),
    "username": frozenset({"mail"}),
    "password_file": frozenset({"mail"}),
    "ca_file": frozenset({"webhook", "ntfy", "mail"}),
}


def _sink(sink: SinkSettings) -> None:
    for name, types in _OF_TYPES.items():
        if getattr(sink, name) and sink.type not in types:
            raise ValueError(f"{name.removesuffix('_')} is of {' and '.join(sorted(types))}; remove it")
    if (sink.url is None) == (sink.url_file is None):
        raise ValueError("give url or url_file, one of them")
    if sink.type == "apprise" and sink.url is not None:
        raise ValueError("url of Apprise holds a secret; write it into a file, and url_file: FILE")
    if sink.url is not None and (urlsplit(sink.url).scheme in {"smtp", "smtps"}) != (sink.type == "mail"):
        raise ValueError(f"url {sink.url} is not one of {sink.type}; write https://, or for mail smtps://")
    if sink.type == "mail" and not (sink.from_ and sink.to):
        raise ValueError("mail needs from and to; give both")
    if (sink.username is None) != (sink.password_file is None):
        raise ValueError("username and password_file belong together; give both or neither")
    if sink.password_file is not None and not sink.require_tls:
        raise ValueError("require_tls: false would send the password unencrypted; remove it")
    if sink.type == "ntfy" and sink.topic is None and sink.url and not urlsplit(sink.url).path.strip("/"):
        raise ValueError("url has no topic; set topic")


def _discovery_prefix(value: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", value) is None:
        raise ValueError(f"{value!r} is not a discovery prefix; write levels of A-Z a-z 0-9 _ -")


#: Checks of one key, after type and range; a check that returns something replaces the value.
VALUES: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (AgentSettings, "id"): _agent_id,
    (AgentSettings, "state_dir"): _state_dir,
    (MqttSettings, "url"): _broker_url,
    (MqttSettings, "base_topic"): _base_topic,
    (Config, "sources"): _sources,
    (SourceSpec, "topic"): _topic,
    (SourceSpec, "exclude"): _topics,
    (SourceSpec, "dedupe"): _path,
    (AvailabilitySpec, "topic"): _topic,
    (AvailabilitySpec, "field"): _path,
    (TimeSettings, "field"): _path,
    (TimeSettings, "zone"): _time_zone,
    (MetricSettings, "rename"): _renames,
    (MetricSettings, "include"): _globs,
    (MetricSettings, "exclude"): _globs,
    (MetricSettings, "units"): _globs,
    (MetricSettings, "ignore_values"): _globs,
    (Config, "limits"): _series,
    (Config, "knowledge"): _knowledge,
    (AgentSettings, "timezone"): _time_zone,
    (TuningSettings, "match"): _tuning_match,
    (ExpectSettings, "interval"): _interval,
    (ExpectSettings, "quiet"): _quiet,
    (AiSettings, "base_url"): lambda value: check_model_url(value, "use ai.api_key_file"),
    (BudgetSettings, "timezone"): _time_zone,
    (SinkSettings, "name"): _sink_name,
    (SinkSettings, "url"): _sink_url,
    (SinkSettings, "headers"): _headers,
    (SinkSettings, "topic"): _ntfy_topic,
    (SinkSettings, "from"): _mail_address,
    (SinkSettings, "to"): _mail_addresses,
    (NotifySettings, "sinks"): _sinks,
    (NotifySettings, "quiet"): _quiet_hours,
    (NotifySettings, "digest"): _time_of_day,
    (NotifySettings, "page_url"): _page_url,
    (HomeAssistantSettings, "prefix"): _discovery_prefix,
    (WebSettings, "listen"): _listen,
    (WebSettings, "username"): _user,
    (TracesSettings, "endpoint"): _collector_url,
    (OtelSettings, "endpoint"): _push_url,
}

#: Checks of a value as the file has it, before its type is looked at.
RAW_VALUES: Mapping[tuple[type, str], Callable[[Any], Any]] = {
    (AvailabilitySpec, "online"): _one_or_more_words,
    (AvailabilitySpec, "offline"): _one_or_more_words,
    (ExpectSettings, "interval"): _seconds_as_text,
    (ExpectSettings, "quiet"): _one_or_more_hours,
}

#: Checks of a whole section.
SECTIONS: Mapping[type, Callable[[Any], None]] = {
    MqttSettings: _mqtt,
    PartitionSettings: _partition,
    Config: _whole,
    SourceSpec: _source,
    AvailabilitySpec: _availability,
    LimitSettings: _limit,
    TuningSettings: _tuning,
    AiSettings: _ai,
    SinkSettings: _sink,
    WebSettings: _web,
    OtelSettings: _push,
}
