"""Section ``notify``: receivers of notices, and their times."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from agent.domain.keys import Key
from agent.domain.records import Severity
from agent.verdict.notice import NoticeRules

MAX_SINKS = 8
TYPES = ("webhook", "ntfy", "mail", "apprise")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """One receiver of notices."""

    type: Annotated[str, Key("how it is reached", one_of=TYPES)]
    name: Annotated[
        str | None,
        Key("its name in the journal, metrics and log, never to be changed: 1 to 32 of a-z 0-9 _ -",
            default="its type", example="ops"),
    ] = None  # fmt: skip
    url: Annotated[
        str | None, Key("`https://...`, or of mail `smtps://host:465` or `smtp://host:587` (STARTTLS)")
    ] = None
    url_file: Annotated[
        Path | None, Key("instead of `url`: a file with the address, if it holds a secret", file="secret")
    ] = None
    min_severity: Annotated[str, Key("what is less severe is not sent", one_of=tuple(map(str, Severity)))] = (
        Severity.WARNING
    )
    cleared: Annotated[bool, Key("`true`: the end of a finding is a notice too")] = False
    answers: Annotated[
        bool,
        Key("`false`: no links to acknowledge or snooze; otherwise who gets a notice can, where `page_url` is"
            " set and `web.actions` on"),
    ] = True  # fmt: skip
    headers: Annotated[Mapping[str, str], Key("more headers, without secrets", max_length=200)] = field(
        default_factory=dict
    )
    token_file: Annotated[
        Path | None, Key("file with a token, sent as `Authorization: Bearer`", file="secret")
    ] = None
    secret_file: Annotated[
        Path | None, Key("webhook: file with the key of the signature (HMAC-SHA256)", file="secret")
    ] = None
    topic: Annotated[str | None, Key("ntfy: the topic, unless it is in the address", max_length=64)] = None
    from_: Annotated[str | None, Key("mail: the sender", max_length=254)] = None
    to: Annotated[tuple[str, ...], Key("mail: the receivers", max_length=254, max_items=20)] = ()
    username: Annotated[str | None, Key("mail: login", min_length=1, max_length=254)] = None
    password_file: Annotated[Path | None, Key("mail: file with its password alone", file="secret")] = None
    require_tls: Annotated[bool, Key("mail: `false` sends unencrypted where the server has no STARTTLS")] = (
        True
    )
    ca_file: Annotated[
        Path | None, Key("certificate of the server's CA; without it the system's", file="readable")
    ] = None

    @property
    def label(self) -> str:
        """The sink's name."""
        return self.name or self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """Section ``notify``; without sinks nothing is sent."""

    sinks: Annotated[
        tuple[SinkSettings, ...],
        Key(
            "receivers of notices",
            max_items=MAX_SINKS,
            example="""\
- {type: ntfy, url: "https://ntfy.example.org", topic: plant, token_file: ntfy.token}
- {type: mail, url: "smtp://mail.example.org:587", from: gw1@example.org, to: [ops@example.org],
   username: gw1, password_file: mail.password, min_severity: critical}
- {type: mail, name: relay, url: "smtp://relay.lan:25", from: gw1@lan, to: [ops@lan], require_tls: false}
- {type: webhook, name: ops, url_file: ops.url, secret_file: ops.secret, cleared: true,
   headers: {X-Site: north}, ca_file: /etc/ssl/own-ca.pem}
- {type: apprise, url_file: apprise.url, answers: false} # with pip: edge-agent[apprise]""",
        ),
    ] = ()
    max_per_hour: Annotated[
        int, Key("notices that a sink gets in an hour; one summary has the rest", ge=1, le=200)
    ] = 20
    settle_s: Annotated[
        float,
        Key("a notice waits so long for others of its cause; a broken limit does not wait", ge=0, le=3600),
    ] = 60.0
    quiet: Annotated[
        str | None,
        Key('hours in which only `critical` is sent, by `agent.timezone`, as `"22:00-07:00"`', max_length=11),
    ] = None
    digest: Annotated[
        str | None, Key('time of a daily message about what is open, as `"07:30"`', max_length=5)
    ] = None
    page_url: Annotated[
        str | None, Key("address of the status page as people reach it, for links in notices")
    ] = None

    def rules(self, zone: tzinfo) -> NoticeRules:
        """Return when notices may go out, by the local time of ``zone``."""
        begin, _, end = (self.quiet or "").partition("-")
        return NoticeRules(
            max_per_hour=self.max_per_hour,
            settle_s=self.settle_s,
            quiet=None if self.quiet is None else (minute_of(begin), minute_of(end)),
            digest=None if self.digest is None else minute_of(self.digest),
            zone=zone,
        )


def minute_of(text: str) -> int:
    """Return the minute of the day of ``07:30``.

    Raises:
        ValueError: it is not a time of day.
    """
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2 and text.isascii()):  # noqa: PLR2004 - digits
        raise ValueError(f"{text!r} is not a time of day; write for example 07:30")
    if int(hour) > 23 or int(minute) > 59:  # noqa: PLR2004 - of a clock
        raise ValueError(f"{text!r} is not a time of day; write for example 07:30")
    return int(hour) * 60 + int(minute)


def host_of(url: str) -> str:
    """Return the host of an address, for people: the only part that is shown."""
    return urlsplit(url).hostname or "?"
