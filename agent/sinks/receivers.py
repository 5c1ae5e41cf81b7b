"""The receivers of notices, made of their settings when first needed."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from agent.domain.records import AgentError
from agent.sinks.settings import SinkSettings
from agent.sinks.worker import AnswerLink, NoticeReceiver, ReceiverError

Read = Callable[[Path, str], str]


class LazyReceiver:
    """Makes the receiver when it is first needed, on the sink's own thread."""

    def __init__(self, title: str, make: Callable[[], NoticeReceiver]) -> None:
        self.title = title
        self._make = make
        self._made: NoticeReceiver | None = None

    def _receiver(self) -> NoticeReceiver:
        if self._made is None:
            self._made = self._make()
        return self._made

    def deliver(self, payload: bytes, properties: Any) -> Any:
        """Send one notice."""
        return self._receiver().deliver(payload, properties)

    def probe(self) -> str:
        """Reach the receiver."""
        return self._receiver().probe()


def receiver_of(
    one: SinkSettings,
    *,
    read: Read,
    local: Callable[[str], bool],
    refused: Callable[[str, int], None],
    answer: AnswerLink = lambda _notice: None,
) -> NoticeReceiver:
    """Return the receiver of one sink.

    Args:
        one: its settings.
        read: reads a secret's file, of a key for messages; raises what has words for a person.
        local: whether a host is this machine.
        refused: gets a mail address that its server refuses, and the code.
        answer: makes the links that let people answer a notice.
    """
    title = f"the sink {one.label}" if one.label == one.type else f"the {one.type} sink {one.label}"
    return LazyReceiver(title, partial(_make, one, title, read, local, refused, answer))


def _make(
    one: SinkSettings,
    title: str,
    read: Read,
    local: Callable[[str], bool],
    refused: Callable[[str, int], None],
    answer: AnswerLink,
) -> NoticeReceiver:
    def secret(path: Path | None, key: str) -> str | None:
        if path is None:
            return None
        try:
            return read(path, f"notify.sinks {one.label} {key}")
        except AgentError as error:
            raise ReceiverError(str(error), f"correct {key}") from None

    def address() -> str:
        return one.url or secret(one.url_file, "url_file") or ""

    module = import_module(f"agent.sinks.{one.type}")
    if one.type == "apprise":
        return cast("NoticeReceiver", module.Apprise(title, address=address, answer=answer))
    if one.type == "mail":
        return cast(
            "NoticeReceiver",
            module.Mail(
                title,
                address=address,
                sender=one.from_,
                to=one.to,
                username=one.username,
                password=partial(secret, one.password_file, "password_file"),
                require_tls=one.require_tls,
                local=local,
                ca_file=one.ca_file,
                refused=refused,
                answer=answer,
            ),
        )
    post = import_module("agent.sinks.http_post").HttpPost(
        address=address,
        token=partial(secret, one.token_file, "token_file"),
        headers=one.headers,
        ca_file=one.ca_file,
    )
    if one.type == "ntfy":
        return cast("NoticeReceiver", module.Ntfy(title, post, topic=one.topic, answer=answer))
    signer = partial(secret, one.secret_file, "secret_file")
    return cast("NoticeReceiver", module.Webhook(title, post, secret=signer, answer=answer))
