"""Commands of people from the buttons of the page."""

import hmac
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from agent.domain.records import DecodeError
from agent.verdict.command import read_command
from agent.web.command_intake import CommandIntake
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
        commands: takes the commands.
        secure: the server speaks TLS.
        names: host names that people use, in addition to addresses in digits; None for any.
    """

    guarded = True

    def __init__(self, *, commands: CommandIntake, secure: bool, names: Collection[str] | None) -> None:
        self.token = secrets.token_urlsafe(32)  # of this process
        self._commands = commands
        self._scheme = "https" if secure else "http"
        self._names = names

    def takes(self, path: str) -> bool:
        """Return whether it is the address of commands."""
        return path == PATH

    def admit(self, request: Request, *, waiting: int) -> Response | int:
        """Return the size of the body that is to be read, or the refusal of a request with this head."""
        answer = self._admit(request, waiting)
        return self._commands.refuse(request, answer) if isinstance(answer, Response) else answer

    def _admit(self, request: Request, waiting: int) -> Response | int:
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

    def receive(self, request: Request, body: bytes, wake: Callable[[], None], /) -> Response | Pending:
        """Hand the command to the journal; the response is there once it is decided."""
        try:
            command = read_command(body)
        except DecodeError as error:
            refusal = refused(HTTPStatus.BAD_REQUEST, str(error.reason), error.detail)
            return self._commands.refuse(request, refusal)
        if not command.id:
            refusal = refused(HTTPStatus.BAD_REQUEST, "id", "add an id, so that a repeat is recognised")
            return self._commands.refuse(request, refusal)
        return self._commands.send(command.id, body, wake)
