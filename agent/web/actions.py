"""Commands of people from the buttons of the page."""

import hmac
import secrets
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from agent.domain.records import AgentError, CommandOutcome, CommandRow, DecodeError, DecodeReason, Posted
from agent.verdict.command import answer, read_command
from agent.web.http import Pending, Request, Response, host_name
from agent.web.posts import busy, refuse_head, refused

PATH: Final = "/actions/command"
TOKEN_HEADER: Final = "x-edge-agent-token"  # noqa: S105 - its name
MAX_BYTES = 8192
MAX_WAITING = 4  # scrapes keep the other connections


class Actions:
    """The address to which the page posts commands; they go the way of a command from the broker.

    A page of a stranger has neither the token nor the origin. Where no password protects the port, it could
    still let its own name point here and read the page: then the address answers under known names alone.

    Args:
        accept: queues a message for the journal; false under pressure.
        topic: of commands.
        secure: the server speaks TLS.
        names: host names that people use, in addition to addresses in digits; None for any.
        wall: Unix seconds.
        mono: monotonic seconds.
    """

    def __init__(
        self,
        *,
        accept: Callable[[Posted], bool],
        topic: str,
        secure: bool,
        names: Collection[str] | None,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = secrets.token_urlsafe(32)  # of this process
        self._accept = accept
        self._topic = topic
        self._scheme = "https" if secure else "http"
        self._names = names
        self._decisions: dict[str, list[Future[bytes]]] = {}  # by the id of the command
        self._wall = wall
        self._mono = mono

    def takes(self, path: str) -> bool:
        """Return whether it is the address of commands."""
        return path == PATH

    def admit(self, request: Request, *, waiting: int) -> Response | int:
        """Return the size of the body that is to be read, or the refusal of a request with this head."""
        refusal = refuse_head(request, scheme=self._scheme, max_bytes=MAX_BYTES)
        if refusal is not None:
            return refusal
        headers = request.headers
        if not self._is_ours(headers.get("host", "")):
            detail = "the buttons work under names that the agent knows: set notify.page_url"
            return refused(HTTPStatus.MISDIRECTED_REQUEST, "host", detail)
        site = headers.get("sec-fetch-site", "same-origin")
        if "origin" not in headers or site != "same-origin":
            return refused(HTTPStatus.FORBIDDEN, "origin", "commands are posted by the page of this agent")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode("latin-1"), self.token.encode()):
            detail = "the page is from before a restart of the agent: load it again"
            return refused(HTTPStatus.FORBIDDEN, "token", detail)
        if waiting >= MAX_WAITING:
            return busy("other commands are being decided; press again")
        return int(headers["content-length"])

    def _is_ours(self, host: str) -> bool:
        name = host_name(host)
        if self._names is None or name in self._names:
            return True
        with suppress(ValueError):
            return bool(ip_address(name))
        return False

    def receive(self, _request: Request, body: bytes, wake: Callable[[], None], /) -> Response | Pending:
        """Hand the command to the journal; the response is there once it is decided."""
        try:
            command = read_command(body)
        except DecodeError as error:
            return refused(HTTPStatus.BAD_REQUEST, str(error.reason), error.detail)
        if not command.id:
            return refused(HTTPStatus.BAD_REQUEST, "id", "add an id, so that a repeat is recognised")
        posted = Posted(
            generation=0,
            mid=0,
            qos=0,
            dup=False,
            retain=False,
            topic=self._topic,
            payload=body,
            received=self._wall(),
            mono=self._mono(),
        )
        decision: Future[bytes] = Future()
        self._decisions.setdefault(command.id, []).append(decision)
        waiting = _Waiting(posted, decision, done=lambda: self._forget(command.id, decision))
        if not self._accept(posted):
            self._forget(command.id, decision)
            return busy("the journal takes no more at present; press again")
        for future in (posted.receipt, decision):
            future.add_done_callback(lambda _future: wake())
        return waiting

    def decided(self, row: CommandRow, outcome: CommandOutcome) -> None:
        """Answer the clients that wait for this command; its outcome is on disk. From any thread."""
        for decision in self._decisions.pop(row.command.id, []):
            decision.set_result(answer(row.command.id, row.command.do, outcome))

    def _forget(self, command_id: str, decision: Future[bytes]) -> None:
        left = [one for one in self._decisions.get(command_id, []) if one is not decision]
        if left:
            self._decisions[command_id] = left
        else:
            self._decisions.pop(command_id, None)


class _Waiting:
    """The response to a command on its way."""

    def __init__(self, posted: Posted, decision: Future[bytes], *, done: Callable[[], None]) -> None:
        self._receipt = posted.receipt
        self._decision = decision
        self._done = done

    def look(self, *, overdue: bool) -> Response | None:
        """Return the response; a command that waited for too long is taken back, if it can be."""
        response = self._look(overdue=overdue)
        if response is not None:
            self._done()
        return response

    def _look(self, *, overdue: bool) -> Response | None:
        if self._decision.done():
            return Response(self._decision.result(), 200, "application/json")
        receipt = self._receipt
        if overdue and receipt.cancel():
            return busy("the journal did not come to it in time; press again")
        if receipt.done():
            try:
                reason, detail = receipt.result()
            except AgentError:
                return busy("the journal cannot be written; press again")
            if reason is not None:
                limited = reason == DecodeReason.COMMAND_LIMIT
                status = HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.BAD_REQUEST
                return refused(status, reason, detail)
        if overdue:
            return busy("it is not decided yet; press again to see what became of it")
        return None
