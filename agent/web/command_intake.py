"""Commands that come over HTTP, on their way to the journal and to their decision."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus

from agent.domain.records import AgentError, CommandOutcome, CommandRow, DecodeReason, Posted
from agent.verdict.command import answer
from agent.web.http import Pending, Request, Response
from agent.web.posts import busy, refused


class CommandIntake:
    """Hands commands to the journal as the broker would, and answers once they are decided.

    Args:
        accept: queues a message for the journal; false under pressure.
        topic: of commands.
        refused: gets the status of each refusal that the journal does not see.
        wall: Unix seconds.
        mono: monotonic seconds.
    """

    def __init__(
        self,
        *,
        accept: Callable[[Posted], bool],
        topic: str,
        refused: Callable[[int], None] = lambda _status: None,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accept = accept
        self._topic = topic
        self._refused = refused
        self._decisions: dict[str, list[Future[bytes]]] = {}  # by the id of the command
        self._wall = wall
        self._mono = mono

    def refuse(self, request: Request, response: Response) -> Response:
        """Report the refusal of a request, if it was to be a command, and return it."""
        if request.method == "POST":
            self._refused(response.status)
        return response

    def send(self, command_id: str, body: bytes, wake: Callable[[], None]) -> Response | Pending:
        """Queue a command; ``wake`` is called from any thread when there is news of it."""
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
        self._decisions.setdefault(command_id, []).append(decision)
        waiting = _Waiting(posted, decision, done=lambda: self._forget(command_id, decision))
        if not self._accept(posted):
            self._forget(command_id, decision)
            self._refused(HTTPStatus.SERVICE_UNAVAILABLE)
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
