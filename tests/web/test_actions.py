"""Posted commands: token, origin, host, journal and decision."""

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.records import (
    CommandOutcome,
    CommandReason,
    CommandRow,
    DecodeReason,
    FindingState,
    Posted,
    Receipt,
)
from agent.verdict.command import read_command
from agent.web.actions import MAX_BYTES, MAX_WAITING, Actions
from agent.web.command_intake import CommandIntake
from agent.web.server import WebServer
from tests.support.waiting import wait_for
from tests.web.serving import ROUTES, ask, get, serving

PATH = "/actions/command"
BODY = b'{"id":"page-1","do":"ack","finding_id":"0123abcd"}'
DONE = CommandOutcome(
    accepted=True,
    reason=CommandReason.DONE,
    device="pump-1",
    finding_id="0123abcd",
    state=FindingState.ACKNOWLEDGED,
)
REFUSED = CommandOutcome(accepted=False, reason=CommandReason.LIMIT, detail="a limit was broken")


class Agent:
    """A journal that keeps what it accepts and, with an outcome, decides it on another thread."""

    def __init__(
        self,
        outcome: CommandOutcome | None = DONE,
        *,
        receipt: Receipt = Receipt(),  # noqa: B008 - it is a constant
        accepts: bool = True,
        names: frozenset[str] | None = frozenset({"localhost"}),
    ) -> None:
        self.got: list[Posted] = []
        self._outcome, self._receipt, self._accepts = outcome, receipt, accepts
        self.refused: list[int] = []
        self.intake = CommandIntake(
            accept=self.accept, topic="edge-agent/gw1/command", refused=self.refused.append
        )
        self.actions = Actions(commands=self.intake, secure=False, names=names)

    def accept(self, posted: Posted) -> bool:
        if self._accepts:
            self.got.append(posted)
            if self._outcome is not None or self._receipt.reason is not None:
                threading.Thread(target=self.decide, args=(posted,)).start()
        return self._accepts

    def decide(self, posted: Posted) -> None:
        if posted.receipt.set_running_or_notify_cancel():
            posted.receipt.set_result(self._receipt)
        if self._outcome is not None and self._receipt.reason is None:
            row = CommandRow(1, 1.0, read_command(posted.payload))
            self.intake.decided(row, self._outcome)


@contextlib.contextmanager
def taking(agent: Agent, **options: Any) -> Iterator[WebServer]:
    with serving(ROUTES, posts=[agent.actions], **options) as server:
        yield server


def headers(agent: Agent, server: WebServer, **changed: str | None) -> list[str]:
    """Return the headers of the page's own request; None leaves one out."""
    host = f"localhost:{server.port}"
    given: dict[str, str | None] = {
        "Host": host,
        "Origin": f"http://{host}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/json",
        "X-Edge-Agent-Token": agent.actions.token,
    }
    given |= {name.replace("_", "-"): value for name, value in changed.items()}
    return [f"{name}: {value}" for name, value in given.items() if value is not None]


def post(
    agent: Agent, server: WebServer, body: bytes = BODY, **changed: str | None
) -> tuple[int, dict[str, Any]]:
    lines = [
        f"POST {PATH} HTTP/1.1",
        *headers(agent, server, **changed),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    status, _, answer = ask(server, "\r\n".join(lines).encode() + body)
    return status, json.loads(answer) if answer.startswith(b"{") else {}


@pytest.mark.parametrize("outcome", [DONE, REFUSED])
def test_a_command_is_journaled_as_one_from_the_broker_and_its_answer_returned(
    outcome: CommandOutcome,
) -> None:
    """The journal gets topic and body as the broker would bring them; the answer is the same, too."""
    agent = Agent(outcome)
    with taking(agent) as server:
        status, answer = post(agent, server)
    (posted,) = agent.got
    assert (posted.topic, posted.payload, posted.retain) == ("edge-agent/gw1/command", BODY, False)
    assert status == 200
    assert (answer["id"], answer["do"], answer["accepted"]) == ("page-1", "ack", outcome.accepted)
    assert (answer["reason"], answer["detail"]) == (outcome.reason, outcome.detail)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"X_Edge_Agent_Token": None}, 403),
        ({"X_Edge_Agent_Token": ""}, 403),
        ({"X_Edge_Agent_Token": "guessed\xff"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_strangers_page_cannot_press_a_button(changed: dict[str, str | None], status: int) -> None:
    """Without the token, from another origin, under another name, or as a form: refused, and no row."""
    agent = Agent()
    with taking(agent) as server:
        assert post(agent, server, BODY, **changed)[0] == status
        assert post(agent, server)[0] == 200  # the control: the page itself can
    assert len(agent.got) == 1
    assert agent.refused == ([] if status == 421 else [status])  # the server refuses a foreign name


@pytest.mark.parametrize(
    ("names", "host", "status"),
    [
        (frozenset({"gw.local"}), "gw.local:8000", 200),
        (frozenset({"gw.local"}), "192.168.1.5:8000", 200),
        (frozenset({"gw.local"}), "[fe80::1]:8000", 200),
        (frozenset({"gw.local"}), "gw.local.evil.example", 421),
        (frozenset({"gw.local"}), "192.168.1.5.evil.example", 421),
        (None, "any.example", 200),
    ],
)
def test_without_a_password_only_known_names_and_addresses_count(
    names: frozenset[str] | None, host: str, status: int
) -> None:
    """A stranger's name that points at an open port is refused; behind a password any name counts."""
    agent = Agent(names=names)
    with taking(agent) as server:
        server._names = None  # as on an address outside the loopback
        assert post(agent, server, Host=host, Origin=f"http://{host}")[0] == status


def test_tokens_differ_by_process() -> None:
    """Each server has its own, of 256 random bits."""
    first, second = Agent().actions.token, Agent().actions.token
    assert first != second
    assert len(first) >= 43


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"id":"x","do":"reboot"}', 400),
        (b'{"do":"ack","finding_id":"0123abcd"}', 400),  # a repeat could not be recognised
        (b'{"id":"x","do":"ack","finding_id":"0123abcd","limits":{}}', 400),
        (b" " * (MAX_BYTES + 1), 413),
    ],
)
def test_anything_else_never_reaches_the_journal(body: bytes, status: int) -> None:
    """It is refused in words."""
    agent = Agent()
    with taking(agent) as server:
        code, answer = post(agent, server, body)
    assert (code, answer["status"], bool(answer["detail"])) == (status, "refused", True)
    assert agent.got == []


def test_the_journals_refusal_is_the_answer() -> None:
    """Too many commands at once are refused as over MQTT, with 429."""
    agent = Agent(None, receipt=Receipt(DecodeReason.COMMAND_LIMIT, "too many commands"))
    with taking(agent) as server:
        assert post(agent, server) == (
            429,
            {"status": "refused", "reason": "command_limit", "detail": "too many commands"},
        )


def test_a_journal_without_room_is_503() -> None:
    """Nothing was taken, and nothing waits."""
    agent = Agent(accepts=False)
    with taking(agent) as server:
        assert post(agent, server)[0] == 503
    assert agent.intake._decisions == {}


def test_a_command_that_nobody_decides_is_503_in_the_end() -> None:
    """The client is answered, the queued command is taken back, and nothing is left waiting."""
    agent = Agent(None)
    with taking(agent, timeout_s=0.3) as server:
        status, answer = post(agent, server)
    assert (status, "press again" in answer["detail"]) == (503, True)
    assert agent.got[0].receipt.cancelled()
    assert agent.intake._decisions == {}


def test_an_outcome_that_comes_after_the_receipt_is_waited_for() -> None:
    """On disk is not decided: the answer is that of the analyst."""
    agent = Agent(None)
    with taking(agent) as server:
        answers: list[tuple[int, dict[str, Any]]] = []
        client = threading.Thread(target=lambda: answers.append(post(agent, server)))
        client.start()
        wait_for(lambda: len(agent.got) == 1)
        agent._outcome = REFUSED
        agent.decide(agent.got[0])
        client.join(60)
    assert [(status, answer["reason"]) for status, answer in answers] == [(200, "limit")]


def test_waiting_commands_leave_slots_to_scrapes() -> None:
    """The fifth at once is refused, and the metrics are still served."""
    agent = Agent(None)
    with taking(agent) as server:
        clients = [threading.Thread(target=post, args=(agent, server)) for _ in range(MAX_WAITING)]
        for client in clients:
            client.start()
        wait_for(lambda: len(agent.got) == MAX_WAITING)
        assert post(agent, server)[0] == 503
        assert get(server, "/metrics")[0] == 200
        agent._outcome = DONE
        for posted in list(agent.got):
            agent.decide(posted)
        for client in clients:
            client.join(60)
    assert agent.intake._decisions == {}


def test_other_methods_and_addresses_are_refused() -> None:
    """A GET of the address is 405, an address below it 404."""
    agent = Agent()
    with taking(agent) as server:
        assert get(server, PATH)[0] == 405
        assert get(server, f"{PATH}/x")[0] == 404
        preflight = f"OPTIONS {PATH} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"
        status, head, _ = ask(server, preflight)
    assert status == 405
    assert "access-control" not in head.lower()
