"""Status for other threads: fresh if the loop turns, else the last with its age."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from agent.observe.metrics import Metrics
from agent.status.responses import Freshness, Responses
from agent.status.schema import Status
from agent.status.search import EVERYTHING, Search
from agent.web.http import Request
from tests.web.sample import sample_status

ASKED = Request("GET", "/status.json", "", {}, 0)


class Site:
    """A loop in a thread of its own, which a test can block."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = 100.0
        self.taken = 0
        self.freshness = Freshness(self.take, loop=self.loop, answer_s=0.05, mono=lambda: self.now)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def take(self, _search: Search) -> Status:
        """Return a status that counts the calls."""
        self.taken += 1
        status = sample_status()
        status["uptime_s"], status["state"], status["problems"] = float(self.taken), "ok", []
        return status

    def ask(self, search: Search = EVERYTHING) -> Status:
        """Return the status; it may take the loop a moment on a busy machine."""
        for _ in range(200):
            status = self.freshness.status(search)
            if status is not None and not status["stale"]:
                return status
        raise AssertionError("the loop never answered")

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """Keep the loop from turning."""
        free, inside = threading.Event(), threading.Event()

        def block() -> None:
            inside.set()
            free.wait()

        self.loop.call_soon_threadsafe(block)
        inside.wait()
        try:
            yield
        finally:
            free.set()

    def close(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_a_status_is_old_while_the_loop_does_not_turn_and_says_so() -> None:
    """Age, state and problem. When it turns again, a new one is taken."""
    site = Site()
    first = site.ask()
    assert (first["stale"], first["age_s"]) == (False, 0.0)
    with site.blocked():
        site.now += 12.0
        old = site.freshness.status()
        assert old is not None
        assert (old["stale"], old["age_s"], old["state"]) == (True, 12.0, "degraded")
        assert "12 s old" in old["problems"][0]
    site.now += 60.0
    before = site.taken
    while (again := site.ask())["uptime_s"] <= before:
        pass
    assert again["state"] == "ok"
    site.close()


def test_an_old_status_is_never_that_of_another_search() -> None:
    """A person who looks for one device must not be shown what was found for another."""
    site, mine = Site(), Search("unit-1")
    site.ask()
    with site.blocked():
        assert site.freshness.status(mine) is None
    site.ask(mine)
    site.now += 7.0
    site.ask(Search("unit-2"))
    with site.blocked():
        assert site.freshness.status(mine) is None  # one search is kept
        for search, age_s in ((Search("unit-2"), 0.0), (Search(), 7.0)):
            old = site.freshness.status(search)
            assert old is not None
            assert (old["stale"], old["age_s"]) == (True, age_s)
    site.ask()  # all that was asked has been taken
    site.close()


def test_many_questions_to_a_blocked_loop_are_one() -> None:
    """Scrapes while it hangs leave it no backlog; without a first status there is none to give."""
    site = Site()
    with site.blocked():
        assert [site.freshness.status() for _ in range(5)] == [None] * 5
    site.ask()
    assert site.taken <= 2
    site.close()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0;q=0.5"])
def test_a_scrape_gets_the_format_that_it_asks_for(accept: str) -> None:
    """The header of the request reaches the metrics, and the response has the type of its body."""
    names = ("status", "token", "device", "problems", "stuck", "idle_s", "note")
    responses = Responses(render=Metrics().render, **dict.fromkeys(names, Mock()))
    headers = {"accept": accept} if accept else {}
    response = responses.routes()["/metrics"](Request("GET", "/metrics", "", headers, 0))
    assert response.body.endswith(b"# EOF\n") == bool(accept)
    assert response.content_type.startswith("application/openmetrics-text" if accept else "text/plain")


def test_a_status_that_only_grew_older_has_the_same_tag() -> None:
    """The page need not fetch it again; with a reading more it is another one."""
    status: dict[str, Any] = dict(sample_status())
    names = ("token", "device", "problems", "render", "stuck", "idle_s", "note")
    responses = Responses(status=lambda _search: status, **dict.fromkeys(names, Mock()))  # type: ignore[arg-type,return-value]
    answer = responses.routes()["/status.json"]
    before = answer(ASKED)
    status |= {"now": "2026-11-24T02:59:00.000Z", "uptime_s": 99_999.0}
    status["journal"] = status["journal"] | {"written_bytes_per_day": 1}
    older = answer(ASKED)
    assert older.tag == before.tag
    assert older.body != before.body
    status["counters"] = status["counters"] | {"readings": 1}
    assert answer(ASKED).tag != before.tag
