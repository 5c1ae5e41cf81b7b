"""Webhook, ntfy, mail and Apprise against real servers."""

import hashlib
import hmac
import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pytest

from agent.config.checks import is_loopback
from agent.domain.messages import Outgoing
from agent.domain.records import AgentError
from agent.sinks import Answer, Delivered, Refused, Retry, apprise, http_post, smtp_session
from agent.sinks.mail import WAIT_S
from agent.sinks.receivers import receiver_of
from agent.sinks.settings import SinkSettings
from agent.sinks.worker import MAX_PAUSE_S, AnswerLink, NoticeReceiver, NoticeSink, ReceiverError
from agent.verdict.answer_link import AnswerLinks
from agent.verdict.encode import encode
from tests.mqtt.brokers import Authority
from tests.support.notice_receivers import HttpReceiver, Mailbox
from tests.support.waiting import wait_for

NOTICE = {
    "schema": 1, "id": "n1", "agent": "gw1", "type": "finding", "event": "opened", "severity": "critical",
    "title": "Critical: Kühlung\N{SNOWFLAKE}", "text": "It is warm.\n.\nCheck it.", "device": "f1",
    "kind": "spike", "finding_id": "f", "at": "2026-11-27T17:07:38.000Z", "link": "https://page.example/",
}  # fmt: skip
PROPERTIES = {"id": "n1", "severity": "critical"}


def read(path: Path, key: str) -> str:
    """Read a secret as the agent does."""
    if not path.exists():
        raise AgentError(f"{key}: {path} cannot be read")
    return path.read_text()


def make(
    one: SinkSettings, refused: dict[str, int] | None = None, answer: AnswerLink = lambda _notice: None
) -> NoticeReceiver:
    """Return a receiver."""
    gone = {} if refused is None else refused
    return receiver_of(one, read=read, local=is_loopback, refused=gone.__setitem__, answer=answer)


def deliver(one: SinkSettings, refused: dict[str, int] | None = None) -> Answer:
    """Send the notice once."""
    return make(one, refused).deliver(encode(NOTICE), PROPERTIES)


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    """An HTTP server."""
    with HttpReceiver() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server."""
    with Mailbox() as server:
        yield server


def test_a_webhook_gets_the_notice_signed(http: HttpReceiver, tmp_path: Path) -> None:
    """The same bytes and id each time, with the token and further headers; files are read each time."""
    (tmp_path / "url").write_text(f"{http.url}/hook/abc?x=1")
    (tmp_path / "secret").write_text("key")
    (tmp_path / "token").write_text("t1")
    receiver = make(
        SinkSettings(
            type="webhook",
            url_file=tmp_path / "url",
            secret_file=tmp_path / "secret",
            token_file=tmp_path / "token",
            headers={"X-Site": "north"},
        )
    )
    assert receiver.deliver(encode(NOTICE), PROPERTIES) == Delivered()
    (tmp_path / "token").write_text("t2")
    assert receiver.deliver(encode(NOTICE), PROPERTIES) == Delivered()
    first, second = http.taken
    assert first.body == second.body == encode(NOTICE)
    assert first.path == "/hook/abc?x=1"
    assert first.headers["Idempotency-Key"] == "n1"
    signature = hmac.new(b"key", first.body, hashlib.sha256).hexdigest()
    assert first.headers["X-Edge-Agent-Signature"] == f"sha256={signature}"
    assert (first.headers["X-Site"], first.headers["Authorization"]) == ("north", "Bearer t1")
    assert second.headers["Authorization"] == "Bearer t2"


@pytest.mark.parametrize(
    ("status", "headers", "answer"),
    [
        (200, {}, Delivered()),
        (429, {"Retry-After": "17"}, Retry(17.0, "HTTP 429 Too Many Requests")),
        (503, {}, Retry(0.0, "HTTP 503 Service Unavailable")),
        (503, {"Retry-After": "soon"}, Retry(0.0, "HTTP 503 Service Unavailable")),
        (599, {}, Retry(0.0, "HTTP 599")),
        (302, {"Location": "/x"}, Refused("HTTP 302 Found", "write the address that it leads to", 302)),
        (404, {}, Refused("HTTP 404 Not Found", "correct the address", 404)),
        (401, {}, Refused("HTTP 401 Unauthorized", "correct the token in token_file, or give one", 401)),
    ],
)
def test_what_a_status_means(
    http: HttpReceiver, status: int, headers: dict[str, str], answer: Answer
) -> None:
    """Busy is tried again, a refusal has a remedy, and no redirect is followed."""
    http.replies = [(status, headers)]
    assert deliver(SinkSettings(type="webhook", url=http.url)) == answer
    assert len(http.posts) == 1


def test_a_receiver_that_is_away_or_drops_the_answer(http: HttpReceiver) -> None:
    """Both are tried again; neither the address nor a reply is quoted."""
    http.replies = [None]
    lost = deliver(SinkSettings(type="webhook", url=f"{http.url}/private"))
    assert lost == Retry(0.0, "no valid answer (RemoteDisconnected)") or isinstance(lost, Retry)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        away = deliver(
            SinkSettings(type="webhook", url=f"http://127.0.0.1:{unused.getsockname()[1]}/private")
        )
    assert away == Retry(0.0, "connection refused")
    assert "private" not in str(lost)


def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    """The reason names key and file."""
    answer = deliver(SinkSettings(type="webhook", url_file=tmp_path / "none"))
    assert isinstance(answer, Refused)
    assert "url_file" in answer.reason
    answer = deliver(SinkSettings(type="webhook", url="http://127.0.0.1:1", secret_file=tmp_path / "none"))
    assert isinstance(answer, Refused)


@pytest.mark.parametrize(
    ("type_", "address"),
    [
        ("webhook", "https://host:port/x"),
        ("webhook", "https://host:99999/x"),
        ("webhook", "http://[::1/x"),
        ("webhook", "http://a..b/x"),
        ("webhook", f"http://{'a' * 64}/x"),
        ("webhook", "http://127.0.0.1:1/a b"),
        ("webhook", "http://127.0.0.1:1/x\nhttp://127.0.0.1:2/y"),
        ("webhook", "hooks.example.org/x"),
        ("ntfy", "http://[::1/plant"),
        ("mail", "smtp://host:port"),
        ("mail", "smtp://host:99999"),
        ("mail", "smtps://a..b"),
        ("mail", "smtp://gw1:hunter22@127.0.0.1:1"),
    ],
)
def test_an_address_in_a_file_that_is_none(tmp_path: Path, type_: str, address: str) -> None:
    """It is refused with a remedy and not repeated, by the delivery and by the check."""
    (tmp_path / "url").write_text(address)
    one = SinkSettings(type=type_, url_file=tmp_path / "url", from_="a@x.org", to=("b@x.org",))
    answer = deliver(one)
    assert isinstance(answer, Refused)
    assert answer.reason.startswith("the address ")
    assert "hunter22" not in f"{answer.reason} {answer.remedy}"
    with pytest.raises(ReceiverError, match=r"^the address "):
        make(one).probe()


def test_user_and_password_of_an_address_are_sent(http: HttpReceiver, tmp_path: Path) -> None:
    """Unless there is a token; and letters that an address does not have are encoded."""
    (tmp_path / "url").write_text(f"http://gw1:hunter%3422@127.0.0.1:{http.port}/kühl%20raum?x=ä&y=%2F")
    one = SinkSettings(type="webhook", url_file=tmp_path / "url")
    assert deliver(one) == Delivered()
    (tmp_path / "token").write_text("t1")
    assert deliver(replace(one, token_file=tmp_path / "token")) == Delivered()
    first, second = http.taken
    assert first.path == "/k%C3%BChl%20raum?x=%C3%A4&y=%2F"
    assert first.headers["Authorization"] == f"Basic {b64encode(b'gw1:hunter422').decode()}"
    assert second.headers["Authorization"] == "Bearer t1"


def test_a_token_of_two_lines_and_a_ca_that_is_none(tmp_path: Path) -> None:
    """Both are refused with a remedy, before anything is sent."""
    (tmp_path / "file").write_text("first\nsecond")
    token = SinkSettings(type="webhook", url="http://127.0.0.1:1", token_file=tmp_path / "file")
    ca = SinkSettings(type="webhook", url="https://127.0.0.1:1", ca_file=tmp_path / "file")
    for one, words in ((token, "the token"), (ca, "as a certificate")):
        answer = deliver(one)
        assert isinstance(answer, Refused)
        assert words in answer.reason
        with pytest.raises(ReceiverError, match=words):
            make(one).probe()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",  # and closes
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",  # and stays silent
    ],
)
def test_a_notice_is_taken_when_its_status_has_come(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    """A body that is cut off, wrong or endless does not send it again."""
    monkeypatch.setattr(http_post, "TOTAL_S", 0.5)
    done = Event()

    def speak() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(head)
            if b"Content-Length" not in head:
                done.wait(30.0)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=speak)
        thread.start()
        try:
            one = SinkSettings(type="webhook", url=f"http://127.0.0.1:{server.getsockname()[1]}")
            assert deliver(one) == Delivered()
        finally:
            done.set()
            thread.join(30.0)


@pytest.mark.parametrize(
    ("path", "topic", "posted", "named"),
    [("/plant", None, "/", "plant"), ("", "plant", "/", "plant"), ("/sub/plant", None, "/sub/", "plant")],
)
def test_ntfy(http: HttpReceiver, path: str, topic: str | None, posted: str, named: str) -> None:
    """JSON to the server's root, with topic, priority, and a link."""
    assert deliver(SinkSettings(type="ntfy", url=f"{http.url}{path}", topic=topic)) == Delivered()
    (post,) = http.taken
    assert post.path == posted
    assert post.json == {
        "topic": named,
        "title": NOTICE["title"],
        "message": NOTICE["text"],
        "priority": 5,
        "tags": ["rotating_light"],
        "click": "https://page.example/",
    }


def test_what_a_notice_can_be_answered_with(http: HttpReceiver, mailbox: Mailbox) -> None:
    """Ntfy has buttons that post, the others a link; a webhook's signature covers it; repeats are equal."""
    links = AnswerLinks(b"key")
    link = links.link(NOTICE)
    assert link is not None

    def send(one: SinkSettings, notice: dict[str, Any]) -> None:
        receiver = make(one, answer=links.link)
        for _ in range(2):
            assert receiver.deliver(encode(notice), PROPERTIES) == Delivered()

    send(SinkSettings(type="ntfy", url=f"{http.url}/plant"), NOTICE)
    send(SinkSettings(type="webhook", url=http.url), NOTICE)
    send(mail(mailbox), NOTICE)
    first, again, hook, repeat = http.taken
    assert (first.body, hook.body) == (again.body, repeat.body)
    buttons = first.json["actions"]
    assert [one["label"] for one in buttons] == ["Acknowledge", "Snooze 24 h"]
    assert [one["url"] for one in buttons] == [f"{link}&do=ack", f"{link}&do=snooze"]
    assert {one["action"] for one in buttons} == {"http"}  # a POST by default
    assert hook.json == {**NOTICE, "answer_url": link}
    text = mailbox.mails[0].get_content().replace("\r", "").replace("=\n", "")
    assert f"Acknowledge or snooze: {link}\n" in text
    assert "Status page: https://page.example/\n" in text
    http.taken.clear()
    send(SinkSettings(type="webhook", url=http.url), {**NOTICE, "event": "cleared"})
    send(SinkSettings(type="ntfy", url=f"{http.url}/plant"), {**NOTICE, "event": "cleared"})
    assert not any("answer_url" in one.json or "actions" in one.json for one in http.taken)


def mail(mailbox: Mailbox, **more: Any) -> SinkSettings:
    """Return settings of a mail sink."""
    return SinkSettings(
        type="mail", url=mailbox.url, from_="gw1@example.org", to=("a@x.org", "b@x.org"), **more
    )


def test_a_mail(mailbox: Mailbox, tmp_path: Path) -> None:
    """Plain text with a Message-ID of its own; a repeat has the same bytes."""
    (tmp_path / "password").write_text("pw")
    one = mail(mailbox, username="gw1", password_file=tmp_path / "password")
    assert deliver(one) == Delivered()
    assert deliver(one) == Delivered()
    first, second = mailbox.mails
    assert first.as_bytes() == second.as_bytes()
    assert first["Message-ID"] == "<n1.gw1@edge-agent.invalid>"
    assert (first["Subject"], first["To"]) == (NOTICE["title"], "a@x.org, b@x.org")
    assert first["Date"].datetime.isoformat() == "2026-11-27T17:07:38+00:00"
    assert first.get_content().replace("\r", "") == "It is warm.\n.\nCheck it.\n\nhttps://page.example/\n"
    assert len(mailbox.logins) == 2
    make(one).deliver(encode({**NOTICE, "text": "21 °C"}), PROPERTIES)
    assert mailbox.mails[-1].as_bytes().isascii()  # not every server takes 8 bits
    assert mailbox.mails[-1].get_content().startswith("21 °C")


@pytest.mark.parametrize(
    ("codes", "kind", "lost"),
    [
        ({"a@x.org": [450]}, Retry, 0),
        ({"a@x.org": [550], "b@x.org": [550]}, Refused, 0),
        ({"MAIL": [553]}, Refused, 0),
        ({"MAIL": [421]}, Retry, 0),
        ({"DATA": [554]}, Refused, 0),
        ({"DATA": [451]}, Retry, 0),
        ({"DATA": [0]}, Retry, 1),
    ],
)
def test_what_an_smtp_code_means(
    mailbox: Mailbox, codes: dict[str, list[int]], kind: type[Answer], lost: int
) -> None:
    """4xx is tried again, 5xx is a refusal; no mail goes to some receivers only to go again."""
    mailbox.codes = codes
    assert type(deliver(mail(mailbox))) is kind
    assert len(mailbox.mails) == lost


def test_a_full_mailbox_holds_up_the_others_for_a_quarter_of_an_hour(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then they get it once, and the one that is refused is reported; alone it goes on waiting."""
    one, refused, now = mail(mailbox), dict[str, int](), [1000.0]
    monkeypatch.setattr("agent.sinks.mail.time.monotonic", lambda: now[0])
    receiver = make(one, refused)
    mailbox.codes = {"a@x.org": [452] * 9, "b@x.org": [250, 250, 452, 452]}
    kinds = []
    for later_s in (0.0, WAIT_S - 1.0, 0.0, 2.0, 0.0):
        now[0] += later_s
        kinds.append(type(receiver.deliver(encode(NOTICE), PROPERTIES)))
    assert kinds == [Retry, Retry, Retry, Retry, Delivered]
    assert refused == {"a@x.org": 452}
    assert len(mailbox.mails) == 1


class Chatterbox:
    """A server that repeats ``words`` over and over, and notes how much of it was taken."""

    def __init__(self, words: bytes, pause_s: float = 0.0) -> None:
        self._words, self._pause_s, self.said = words, pause_s, 0

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        Thread(target=self._talk, daemon=True).start()
        return self

    def _talk(self) -> None:
        with suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(30.0)
                while True:
                    connection.sendall(self._words)
                    self.said += len(self._words)
                    time.sleep(self._pause_s)

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@pytest.mark.parametrize(
    ("words", "pause_s", "reason"),
    [
        (b"220-and another thing\r\n" * 100, 0.0, "no valid answer (SMTPServerDisconnected)"),
        (b"2", 0.02, "no answer in time"),
        (b"220-well\r\n", 0.02, "no answer in time"),
    ],
)
def test_a_mail_server_cannot_hold_a_session(
    monkeypatch: pytest.MonkeyPatch, words: bytes, pause_s: float, reason: str
) -> None:
    """Neither without end nor byte by byte: the delivery fails, and little of it is kept."""
    monkeypatch.setattr(smtp_session, "TOTAL_S", 0.5 if pause_s else 60.0)
    with Chatterbox(words, pause_s) as server:
        url = f"smtp://127.0.0.1:{server.port}"
        one = SinkSettings(type="mail", url=url, from_="gw1@example.org", to=("a@x.org",))
        assert deliver(one) == Retry(after_s=0.0, reason=reason)


def test_a_receiver_that_thinks_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, http: HttpReceiver, mailbox: Mailbox
) -> None:
    """A server that looks through a message before its answer gets it once."""
    monkeypatch.setattr(smtp_session, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(http_post, "CONNECT_S", 0.2)
    http.delay_s = mailbox.delay_s = 0.5
    assert deliver(SinkSettings(type="webhook", url=http.url)) == Delivered()
    one = SinkSettings(type="mail", url=mailbox.url, from_="gw1@example.org", to=("a@x.org",))
    assert deliver(one) == Delivered()


def test_one_wrong_address_does_not_hold_up_the_others(mailbox: Mailbox) -> None:
    """It is reported."""
    mailbox.codes = {"a@x.org": [550]}
    refused: dict[str, int] = {}
    assert deliver(mail(mailbox), refused) == Delivered()
    assert refused == {"a@x.org": 550}


def test_a_login_that_is_refused(mailbox: Mailbox, tmp_path: Path) -> None:
    """With its remedy, as an answer and as a probe."""
    (tmp_path / "password").write_text("pw")
    one = mail(mailbox, username="gw1", password_file=tmp_path / "password")
    mailbox.codes = {"AUTH": [535] * 9}
    answer = deliver(one)
    assert isinstance(answer, Refused)
    assert answer.remedy == "correct username and password_file"
    with pytest.raises(ReceiverError, match="535"):
        make(one).probe()


def test_mail_is_not_sent_unencrypted(mailbox: Mailbox) -> None:
    """Unless the server is this machine, or the configuration allows it."""
    one = mail(mailbox)
    away = receiver_of(one, read=read, local=lambda _host: False, refused=lambda _one, _code: None)
    answer = away.deliver(encode(NOTICE), PROPERTIES)
    assert isinstance(answer, Refused)
    assert "STARTTLS" in answer.reason
    relay = mail(mailbox, require_tls=False)
    away = receiver_of(relay, read=read, local=lambda _host: False, refused=lambda _one, _code: None)
    assert away.deliver(encode(NOTICE), PROPERTIES) == Delivered()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signs certificates of mail servers."""
    return Authority(tmp_path_factory.mktemp("authority"))


def by_tls(mailbox: Mailbox, *, require_tls: bool = True, ca_file: Path | None = None) -> Answer:
    """Send the notice over the network to a server that is not this machine."""
    one = mail(mailbox, require_tls=require_tls, ca_file=ca_file)
    away = receiver_of(one, read=read, local=lambda _host: False, refused=lambda _one, _code: None)
    answer = away.deliver(encode(NOTICE), PROPERTIES)
    if isinstance(answer, Refused):
        with pytest.raises(ReceiverError) as trouble:
            away.probe()
        assert trouble.value.remedy == answer.remedy  # doctor knows it, too
    return answer


@pytest.mark.process
@pytest.mark.parametrize("implicit", [False, True])
def test_mail_over_tls(authority: Authority, *, implicit: bool) -> None:
    """STARTTLS and TLS from the start; nothing of the mail, nor the login, goes unencrypted."""
    certificate = authority.issue("mail", "IP:127.0.0.1")
    with Mailbox(certificate=certificate, implicit=implicit) as mailbox:
        assert by_tls(mailbox, ca_file=authority.ca) == Delivered()
        assert (len(mailbox.mails), mailbox.encrypted) == (1, 1)
        assert mailbox.plain == ([] if implicit else ["EHLO", "STARTTLS"])


@pytest.mark.process
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("alt", "days", "known", "reason", "remedy"),
    [
        ("DNS:other.example", 1, True, "mismatch", "write the host in the address as the certificate has it"),
        (
            "IP:127.0.0.1",
            1,
            False,
            "unable to get local issuer",
            "set ca_file to the authority that signed it",
        ),
        ("IP:127.0.0.1", -1, True, "expired", "check this machine's clock, then have the server's"),
    ],
)
def test_a_server_that_is_not_the_one_gets_no_mail(
    authority: Authority, alt: str, days: int, reason: str, remedy: str, *, known: bool, implicit: bool
) -> None:
    """Reason and remedy are those of its fault; a configuration that allows plain text changes nothing."""
    certificate = authority.issue("bad", alt, days=days)
    with Mailbox(certificate=certificate, implicit=implicit) as mailbox:
        for require_tls in (True, False):
            answer = by_tls(mailbox, ca_file=authority.ca if known else None, require_tls=require_tls)
            assert isinstance(answer, Refused)
            assert reason in answer.reason
            assert answer.remedy.startswith(remedy)
        assert mailbox.mails == []
        assert set(mailbox.plain) <= {"EHLO", "STARTTLS"}


@pytest.mark.process
def test_a_mail_server_on_this_machine_may_have_any_certificate(authority: Authority, tmp_path: Path) -> None:
    """Debian's has its own; with a `ca_file` it is held to that."""
    other = Authority(tmp_path / "other", "other")
    with Mailbox(certificate=authority.issue("own", "DNS:gateway")) as mailbox:
        assert deliver(mail(mailbox)) == Delivered()
        assert mailbox.encrypted == 1
        assert isinstance(deliver(mail(mailbox, ca_file=other.ca)), Refused)


@pytest.mark.process
@pytest.mark.parametrize(("code", "kind"), [(454, Retry), (501, Refused)])
def test_an_offer_of_tls_that_is_taken_back(authority: Authority, code: int, kind: type[Answer]) -> None:
    """No mail goes unencrypted instead."""
    with Mailbox(certificate=authority.issue("late", "IP:127.0.0.1"), codes={"STARTTLS": [code]}) as mailbox:
        one = mail(mailbox, ca_file=authority.ca)
        away = receiver_of(one, read=read, local=lambda _host: False, refused=lambda _one, _code: None)
        assert type(away.deliver(encode(NOTICE), PROPERTIES)) is kind
        assert mailbox.mails == []


@pytest.mark.process
@pytest.mark.slow
def test_apprise_is_a_process_of_its_own(http: HttpReceiver, tmp_path: Path) -> None:
    """It gets the address over its standard input."""
    file = tmp_path / "url"
    file.write_text(f"json://127.0.0.1:{http.port}/x")
    one = SinkSettings(type="apprise", url_file=file)
    assert deliver(one) == Delivered()
    assert http.taken[0].json["title"] == NOTICE["title"]
    assert make(one).probe() == "Apprise knows the address"
    http.replies = [(500, {})]
    assert isinstance(deliver(one), Retry)
    file.write_text("nonsense")
    assert isinstance(deliver(one), Refused)
    with pytest.raises(ReceiverError, match="no service"):
        make(one).probe()


def children() -> list[int]:
    """Return the processes of Apprise that this process has started."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in pids if b"agent.sinks.apprise" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.process
@pytest.mark.slow
def test_apprise_that_hangs_or_is_killed_is_a_failed_delivery(
    http: HttpReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended after its time; nothing is left of it, and the next notice is taken."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    file = tmp_path / "url"
    file.write_text(f"json://127.0.0.1:{http.port}/x")
    one = SinkSettings(type="apprise", url_file=file)
    failed = Retry(0.0, "the service behind Apprise did not take it")
    http.delay_s = 60.0
    monkeypatch.setattr(apprise, "LIMIT_S", 5.0)
    assert deliver(one) == failed
    assert children() == []
    before = len(http.posts)  # a busy machine may end it before it has asked
    monkeypatch.setattr(apprise, "LIMIT_S", 60.0)
    answers: list[Answer] = []
    thread = Thread(target=lambda: answers.append(deliver(one)))
    thread.start()
    wait_for(lambda: len(http.posts) > before, 30.0, "it waits for the service")
    (child,) = children()
    environ = Path(f"/proc/{child}/environ").read_bytes()
    os.kill(child, signal.SIGKILL)
    thread.join(10.0)
    assert answers == [failed]
    http.delay_s = 0.0
    assert deliver(one) == Delivered()
    assert b"OPENAI_API_KEY" not in environ


class Scripted:
    """A receiver with prepared answers."""

    title = "scripted"

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    def deliver(self, _payload: bytes, _properties: object) -> Answer:
        self.calls += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def probe(self) -> str:
        return ""


def test_after_a_failure_a_sink_pauses_for_all_its_notices() -> None:
    """As long as the receiver asks for, else longer each time; notices meanwhile are not tried."""
    now = [0.0]
    busy = [Retry(0.0, "away")] * 9
    receiver = Scripted(Retry(17.0, "busy"), *busy, Delivered(), ValueError("x"))
    sink = NoticeSink("s", receiver, clock=lambda: now[0])
    answers: list[Answer] = []

    def send() -> Answer:
        count = len(answers)
        sink.send(Outgoing(1, "s", "k", b"{}", properties=(("id", "1"),)), answers.append)
        wait_for(lambda: len(answers) > count, 5.0, "an answer")
        return answers[-1]

    assert send() == Retry(17.0, "busy")
    now[0] = 7.0
    assert send() == Retry(10.0, "busy")
    assert receiver.calls == 1
    pauses = []
    for _ in busy:
        now[0] += 3600.0
        found = send()
        assert isinstance(found, Retry)
        pauses.append(found.after_s)
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAX_PAUSE_S
    now[0] += 3600.0
    assert send() == Delivered()
    sink.send(Outgoing(2, "s", "k", b"{}", properties=(("id", "2"),)), answers.append)
    count = receiver.calls
    sink.noted()
    wait_for(lambda: receiver.calls > count, 5.0, "the next begins when the last is noted")
    wait_for(lambda: isinstance(answers[-1], Refused), 5.0, "a fault of ours is a refusal")
    assert sink.finish(1.0)
