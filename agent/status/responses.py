"""Responses of the web server, served even while the loop is busy."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass

from agent.status.problems import Problems
from agent.status.report import encode_status
from agent.status.schema import Journal, Status
from agent.status.search import EVERYTHING, Search, read_search
from agent.web.http import Request, Response
from agent.web.page import page
from agent.web.runbook import runbook

STUCK_S = 20.0  # a loop without a turn for this long: not healthy
STALE_S = 5.0  # the analyst without a turn for this long: not ready
ANSWER_S = 0.5  # then the last answer is given again: a scrape must not wait


class Freshness:
    """Asks the loop for the status, once at a time; used by one thread, that of the web server."""

    def __init__(
        self,
        take: Callable[[Search], Status],
        *,
        loop: asyncio.AbstractEventLoop,
        answer_s: float = ANSWER_S,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._loop = loop
        self._answer_s = answer_s
        self._mono = mono
        #: The last status of everything, and of one search, with its time.
        self._last: dict[Search, tuple[Status, float]] = {}
        self._status: Future[Status] | None = None
        self._asked = EVERYTHING

    def status(self, search: Search = EVERYTHING) -> Status | None:
        """Return the status as of now, else the last one of this search marked as stale; None without one."""
        # An answer that came too late is old by now.
        if self._status is None or self._status.done() or search != self._asked:
            self._asked = search
            self._status = asyncio.run_coroutine_threadsafe(self._take_status(search), self._loop)
        with suppress(FutureTimeoutError):  # it stays asked
            taken = self._status.result(self._answer_s)
            self._keep(search, taken)
            return taken
        if search not in self._last:
            return None  # what another search has found would be taken for the answer
        last, at = self._last[search]
        age_s = math.ceil(10 * (self._mono() - at)) / 10
        return {
            **last,
            "stale": True,
            "age_s": age_s,
            "state": "degraded" if last["state"] == "ok" else last["state"],
            "problems": [
                f"This status is {age_s:.0f} s old: the analyst is busy; if it hangs, the agent restarts.",
                *last["problems"],
            ],
        }

    def _keep(self, search: Search, status: Status) -> None:
        """Keep a status instead of the one of an earlier search; that of everything stays."""
        for other in [one for one in self._last if one not in (EVERYTHING, search)]:
            del self._last[other]
        self._last[search] = status, self._mono()

    async def _take_status(self, search: Search) -> Status:
        return self._take(search)


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """Answers the web server, on its thread.

    Args:
        status: the status object as of now, or the last one with its age.
        token: for the commands that the page posts, empty if it has no buttons.
        device: the last hours of the device in a query, as JSON.
        problems: for readiness.
        render: the metrics and their content type for a client's header Accept.
        stuck: the first loop without a turn for so many seconds, or None.
        idle_s: for how long a loop has made no turn.
        note: gets an exception while the metrics are rendered.
    """

    status: Callable[[Search], Status | None]
    token: str
    device: Callable[[str], bytes]
    problems: Problems
    render: Callable[[str], tuple[bytes, str]]
    stuck: Callable[[float], str | None]
    idle_s: Callable[[str], float]
    note: Callable[[Exception], None]

    def routes(self) -> Mapping[str, Callable[[Request], Response]]:
        """Return the response of each path to a request."""
        return {
            "/": lambda _request: page(self.token),
            "/runbook": lambda _request: runbook(),
            "/metrics": lambda request: self._metrics(request.headers.get("accept", "")),
            "/healthz": lambda _request: self._healthz(),
            "/readyz": lambda _request: self._readyz(),
            "/status.json": lambda request: self._status_json(request.query),
            "/device.json": lambda request: Response(
                self.device(request.query), content_type="application/json"
            ),
        }

    def _metrics(self, accept: str) -> Response:
        try:
            body, content_type = self.render(accept)
        except Exception as error:
            self.note(error)
            raise
        return Response(body, content_type=content_type)

    def _healthz(self) -> Response:
        stuck = self.stuck(STUCK_S)
        return Response(b"ok\n") if stuck is None else Response(f"{stuck} is stuck\n".encode(), 503)

    def _readyz(self) -> Response:
        problems, idle_s = self.problems.problems(), self.idle_s("analyst")
        if idle_s > STALE_S:
            problems.insert(
                0, f"The analyst has made no turn for {idle_s:.0f} s: if it hangs, the agent restarts."
            )
        ready = idle_s <= STALE_S and self.problems.working
        text = "ready\n" if ready else "not ready\n"
        lines = [*problems, *(f"note: {line}" for line in self.problems.notes())]
        return Response((text + "".join(f"{line}\n" for line in lines)).encode(), 200 if ready else 503)

    def _status_json(self, query: str) -> Response:
        status = self.status(read_search(query))
        if status is None:
            return Response(b"the analyst is busy; try again\n", 503)
        return Response(
            encode_status(status), content_type="application/json", tag=encode_status(_lasting(status))
        )


def _lasting(status: Status) -> Status:
    """Return a status without the numbers that change with time alone."""
    journal: Journal = {**status["journal"], "written_bytes_per_day": None}
    return {**status, "now": "", "uptime_s": 0.0, "age_s": 0.0, "journal": journal}
