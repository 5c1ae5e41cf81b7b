"""Links in notices: a GET shows buttons and changes nothing, a POST answers."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Any

from agent.domain.records import CommandReason, Do, Finding
from agent.verdict.answer_link import ANSWERS, PATH, AnswerLinks, Asked
from agent.verdict.verdict import clean
from agent.web.actions import MAX_WAITING
from agent.web.command_intake import CommandIntake
from agent.web.http import Pending, Request, Response
from agent.web.page import escape, policy_of

MAX_BODY = 1024  # which is not read: all is in the address
MAX_NAMED, MAX_NAME = 10, 80
_ANSWERED = frozenset({CommandReason.REPEATED, CommandReason.ID_REUSED})


class NoticeAnswers:
    """Its signature is the right to answer, so neither password nor name of the port is asked for.

    Mail scanners open each link, and only a person presses a button. A link gives each of its answers once.

    Args:
        commands: takes the commands.
        links: check the signature.
        find: returns a finding, also one that is over.
        findings: returns the open findings.
        wall: Unix seconds.
    """

    guarded = False

    def __init__(
        self,
        *,
        commands: CommandIntake,
        links: AnswerLinks,
        find: Callable[[str], Finding | None],
        findings: Callable[[], Sequence[Finding]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._commands = commands
        self._links = links
        self._find = find
        self._findings = findings
        self._wall = wall

    def takes(self, path: str) -> bool:
        """Return whether it is the address of answers."""
        return path == f"/{PATH}"

    def admit(self, request: Request, *, waiting: int) -> Response | int:
        """Return the page of a link, or the size of the body of a press."""
        answer = self._admit(request, waiting)
        return self._commands.refuse(request, answer) if isinstance(answer, Response) else answer

    def _admit(self, request: Request, waiting: int) -> Response | int:
        if request.method not in {"GET", "POST"}:
            allow = ("Allow", "GET, POST")
            return _page("Method not allowed", [], HTTPStatus.METHOD_NOT_ALLOWED, allow)
        asked = self._links.read(request.query, self._wall())
        refusal = _refusal(asked)
        if asked is None or refusal is not None:
            return refusal or _page("Not found", [], HTTPStatus.NOT_FOUND)
        if request.method == "GET":
            return self._ask(asked)
        if waiting >= MAX_WAITING:
            return _busy()
        size = int(request.headers.get("content-length", "0"))
        return size if size <= MAX_BODY else _page("Too large", [], HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def receive(self, request: Request, _body: bytes, wake: Callable[[], None], /) -> Response | Pending:
        """Give the answer to the journal; the page is there once it is decided."""
        asked = self._links.read(request.query, self._wall())
        if asked is None or asked.do is None:
            return self._commands.refuse(request, _page("Press a button", [], HTTPStatus.BAD_REQUEST))
        keys, named = self._target(asked)
        if not keys:
            return self._commands.refuse(request, _over())
        command_id = f"answer-{asked.mac}-{asked.do}"
        body = {
            "id": command_id,
            "do": asked.do,
            **keys,
            **ANSWERS[asked.do][1],
            "note": "link of a notice",
        }
        sent = self._commands.send(command_id, json.dumps(body).encode(), wake)
        return _Told(sent, asked.do, named) if not isinstance(sent, Response) else _busy()

    def _target(self, asked: Asked) -> tuple[dict[str, str], list[Finding]]:
        """Return the keys of a command on the notice's findings of today, and these findings.

        A notice is one of an incident. A broken limit is answered by its own notice, and by itself.
        """
        lead = self._find(asked.finding_id)
        if lead is None:
            return {}, []
        alone = ({}, []) if lead.state.closed else ({"finding_id": lead.id}, [lead])
        if lead.limit:
            return alone if asked.limit else ({}, [])
        found = [one for one in self._findings() if one.incident == lead.incident and not one.limit]
        return ({"incident_id": lead.incident}, found) if lead.incident and found else alone

    def _ask(self, asked: Asked) -> Response:
        keys, named = self._target(asked)
        if not keys:
            return _over()
        wanted = ANSWERS if asked.do is None else {asked.do: ANSWERS[asked.do]}
        query = f"?{asked.query}"
        buttons = [
            f'<form method="post" action="{escape(f"{query}&do={do}")}"><button>{words}</button></form>'
            for do, (words, _) in wanted.items()
        ]
        what = [f"<p>{escape(line)}</p>" for line in _lines(named)]
        return _page("Answer a notice", [*what, *buttons])


class _Told:
    """The page of an answer on its way."""

    def __init__(self, pending: Pending, do: Do, named: Sequence[Finding]) -> None:
        self._pending = pending
        self._do = do
        self._named = named

    def look(self, *, overdue: bool) -> Response | None:
        """Return the page once the command is decided."""
        response = self._pending.look(overdue=overdue)
        if response is None:
            return None
        if response.status != HTTPStatus.OK:
            return _busy()
        return self._page(json.loads(response.body))

    def _page(self, answer: dict[str, Any]) -> Response:
        lines = [f"<p>{escape(line)}</p>" for line in _lines(self._named)]
        if answer["reason"] in _ANSWERED:
            return _page("Answered before", ["<p>This link has given this answer already.</p>"])
        if not answer["accepted"]:
            return _page("Not done", [f"<p>{escape(str(answer['detail']))}</p>"], HTTPStatus.CONFLICT)
        if self._do is Do.SNOOZE:
            return _page("Snoozed for 24 h", lines)
        return _page("Acknowledged", [*lines, "<p>No more notices of this until it is over.</p>"])


def _lines(findings: Sequence[Finding]) -> Iterable[str]:
    """Return what the findings are, in words; names of devices are foreign text."""
    for one in findings[:MAX_NAMED]:
        kind = str(one.kind).replace("_", " ")
        yield f"{one.severity.capitalize()}: {clean(one.device)[:MAX_NAME]}, {kind}"
    if len(findings) > MAX_NAMED:
        yield f"and {len(findings) - MAX_NAMED} more devices"


def _refusal(asked: Asked | None) -> Response | None:
    if asked is None:
        words = "<p>It was not made by this agent, or the agent has a new journal.</p>"
        return _page("This link is not valid", [words], HTTPStatus.FORBIDDEN)
    if asked.expired:
        return _page("This link has expired", ["<p>Use the status page.</p>"], HTTPStatus.GONE)
    return None


def _over() -> Response:
    words = ["<p>What this notice was about is over, or a limit has broken since.</p>"]
    return _page("Nothing to answer", words, HTTPStatus.CONFLICT)


def _busy() -> Response:
    words = ["<p>The agent is busy. Press again in a moment.</p>"]
    return _page("Not done yet", words, HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "2"))


@cache
def _template() -> tuple[Template, str]:
    text = Path(__file__).with_name("answer.html").read_text("utf-8")
    return Template(text), policy_of(text, forms="'self'")


def _page(
    title: str, body: Sequence[str], status: HTTPStatus = HTTPStatus.OK, *headers: tuple[str, str]
) -> Response:
    """Return a page; ``body`` is HTML of ours with escaped text."""
    template, policy = _template()
    text = template.substitute(title=title, body="\n".join(body))
    more = (("Content-Security-Policy", policy), *headers)
    return Response(text.encode(), status.value, "text/html; charset=utf-8", more)
