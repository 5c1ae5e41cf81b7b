"""Links of notices: a GET changes nothing, a POST answers once, nobody else can."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent.domain.records import (
    CommandOutcome,
    CommandReason,
    CommandRow,
    Finding,
    FindingState,
    Kind,
    Posted,
    Receipt,
    Severity,
)
from agent.verdict.answer_link import VALID_S, AnswerLinks
from agent.verdict.command import read_command
from agent.web.command_intake import CommandIntake
from agent.web.http import BasicAuth
from agent.web.notice_answers import NoticeAnswers
from agent.web.server import WebServer
from tests.web.serving import ROUTES, ask, get, serving

AT = 1_795_798_800.0
LINKS = AnswerLinks(b"key")
DONE = CommandOutcome(accepted=True, reason=CommandReason.DONE)
PUMP = Finding("0123abcd", "<b>pump\u202e & 1</b>", Kind.SPIKE, Severity.WARNING, AT, AT, incident="1f1f")
ACK, SNOOZE = "&do=ack", "&do=snooze"


class Agent:
    """Keeps commands and decides them at once."""

    def __init__(self, *findings: Finding, outcome: CommandOutcome = DONE, accepts: bool = True) -> None:
        self.commands: list[dict[str, Any]] = []
        self.findings = list(findings)
        self.outcome, self.accepts, self.wall = outcome, accepts, AT
        self.refused: list[int] = []
        self.intake = CommandIntake(
            accept=self.accept, topic="edge-agent/gw1/command", refused=self.refused.append
        )
        self.answers = NoticeAnswers(
            commands=self.intake,
            links=LINKS,
            find=lambda finding_id: next((one for one in self.findings if one.id == finding_id), None),
            findings=lambda: [one for one in self.findings if not one.state.closed],
            wall=lambda: self.wall,
        )

    def accept(self, posted: Posted) -> bool:
        if self.accepts:
            self.commands.append(json.loads(posted.payload))
            posted.receipt.set_running_or_notify_cancel()
            posted.receipt.set_result(Receipt())
            self.intake.decided(CommandRow(1, 1.0, read_command(posted.payload)), self.outcome)
        return self.accepts


@contextlib.contextmanager
def taking(agent: Agent, **options: Any) -> Iterator[WebServer]:
    with serving(ROUTES, posts=[agent.answers], **options) as server:
        yield server


def path(finding: Finding = PUMP) -> str:
    """Return path and query of the link in a finding's notice."""
    link = LINKS.link(
        {
            "type": "finding", "event": "opened", "kind": finding.kind, "finding_id": finding.id,
            "at": "2026-11-27T17:00:00.000Z", "link": "https://gw.example/",
        }
    )  # fmt: skip
    assert link is not None
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def press(server: WebServer, where: str, *lines: str, body: bytes = b"") -> tuple[int, str]:
    head = [f"POST {where} HTTP/1.1", "Host: gw.example", *lines, f"Content-Length: {len(body)}", "", ""]
    status, _, page = ask(server, "\r\n".join(head).encode() + body)
    return status, page.decode()


def test_a_get_shows_buttons_and_changes_nothing() -> None:
    """Text of a device is escaped, no script may run, and the page stays out of frames and caches."""
    agent = Agent(PUMP)
    with taking(agent) as server:
        for where in (path(), path() + ACK):
            status, head, body = get(server, where)
            assert status == 200
            assert body.decode().count("<form") == (2 if where == path() else 1)
    page = body.decode()
    assert "&lt;b&gt;pump" in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "default-src 'none'; style-src 'sha256-" in head
    assert "form-action 'self'" in head
    assert "script-src" not in head
    assert "Cache-Control: no-store" in head
    assert agent.commands == []


def test_a_post_answers_without_a_password_and_under_any_name() -> None:
    """The signature is the right to; the form of a page and the empty body of an app are the same."""
    agent = Agent(replace(PUMP, incident=None))
    with taking(agent, auth=BasicAuth("u", "p")) as server:
        assert get(server, "/metrics")[0] == 401
        assert press(server, path() + ACK) == (200, press(server, path() + ACK, "Origin: null")[1])
        status, page = press(server, path() + SNOOZE, "Content-Type: application/x-www-form-urlencoded")
    assert (status, "Snoozed for 24 h" in page) == (200, True)
    first, again, third = agent.commands
    assert first == again
    assert (first["do"], first["finding_id"]) == ("ack", PUMP.id)
    assert first["id"] != third["id"]
    assert (third["do"], third["for"]) == ("snooze", "24h")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("query", ["", "?f=0123abcd", path()[len("/answer") :] + "x", "?" + "f=1&" * 60])
def test_a_forged_link_is_refused(method: str, query: str) -> None:
    """Before anything is shown."""
    agent = Agent(PUMP)
    with taking(agent) as server:
        head = f"{method} /answer{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        status, _, body = ask(server, head)
    assert status == 403
    assert agent.refused == ([] if method == "GET" else [403])
    assert b"pump" not in body
    assert agent.commands == []


def test_an_expired_link_another_method_and_a_large_body() -> None:
    """Each has its status, and changes nothing."""
    agent = Agent(PUMP)
    with taking(agent) as server:
        assert press(server, path())[0] == 400  # no answer in it
        assert press(server, path() + ACK, body=b"x" * 1025)[0] == 413
        assert press(server, path() + ACK, body=b"x" * 1024)[0] == 200
        agent.commands.clear()
        for method in ("HEAD", "PUT", "DELETE", "OPTIONS"):
            assert ask(server, f"{method} {path()}{ACK} HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 405
        agent.wall = AT + VALID_S + 1
        assert press(server, path() + ACK)[0] == 410
        assert get(server, path())[0] == 410
    assert agent.commands == []


def test_a_notice_is_one_of_its_incident() -> None:
    """All its findings are answered, also those that joined it; a broken limit by its own notice alone."""
    second = replace(PUMP, id="2222", device="fan")
    limit = replace(PUMP, id="3333", device="freezer", kind=Kind.OUT_OF_RANGE, limit=True)
    elsewhere = replace(PUMP, id="4444", device="oven", incident="2f2f")
    agent = Agent(PUMP, second, limit, elsewhere)
    with taking(agent) as server:
        page = press(server, path() + ACK)[1]
        press(server, path(limit) + ACK)
        agent.findings[0] = replace(PUMP, state=FindingState.CLEARED)  # the others of its incident are not
        press(server, path() + ACK)
    assert "fan" in page
    assert "freezer" not in page
    assert "oven" not in page
    asked = [one.get("incident_id", one.get("finding_id")) for one in agent.commands]
    assert asked == ["1f1f", "3333", "1f1f"]


@pytest.mark.parametrize(
    "findings",
    [
        (),
        (replace(PUMP, state=FindingState.CLEARED),),
        (replace(PUMP, limit=True),),  # it broke after the notice, which has a link of its own
    ],
)
def test_what_is_over_or_has_become_another_thing_is_not_answered(findings: tuple[Finding, ...]) -> None:
    """The page reports it."""
    agent = Agent(*findings)
    with taking(agent) as server:
        assert get(server, path())[0] == 409
        assert press(server, path() + ACK)[0] == 409
    assert agent.refused == [409]
    assert agent.commands == []


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        (CommandOutcome(accepted=True, reason=CommandReason.REPEATED), 200, "Answered before"),
        (CommandOutcome(accepted=False, reason=CommandReason.ID_REUSED), 200, "Answered before"),
        (CommandOutcome(accepted=False, reason=CommandReason.CLOSED, detail="<i>over"), 409, "&lt;i&gt;over"),
    ],
)
def test_what_became_of_it_is_said(outcome: CommandOutcome, status: int, words: str) -> None:
    """A second press, and a refusal with its reason."""
    with taking(Agent(PUMP, outcome=outcome)) as server:
        assert press(server, path() + ACK)[0] == status
        assert words in press(server, path() + ACK)[1]


def test_a_journal_that_takes_nothing() -> None:
    """The person is asked to press again."""
    with taking(Agent(PUMP, accepts=False)) as server:
        status, page = press(server, path() + ACK)
    assert (status, "Press again" in page) == (503, True)
