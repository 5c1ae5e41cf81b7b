"""Readings over HTTP: heads, bodies, pressure, receipts."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.decode.posted import DATA_TOPIC, topic_of, with_posted
from agent.decode.registry import SourceSpec
from agent.domain.records import NOTHING_READ, AgentError, DecodeReason, Posted, Receipt
from agent.web.http import BasicAuth
from agent.web.intake import MAX_BODY_BYTES, MAX_CONNECTIONS, MAX_WAITING, ReadingsIntake
from agent.web.server import WebServer
from tests.support.waiting import wait_for
from tests.web.serving import ROUTES, ask, connect, get, read_all, serving, split

JSON = "Content-Type: application/json"
ACCEPTED = Receipt()
BODY = b'{"device_id":"th1","temperature":21.5}'


class Queue:
    """A journal that keeps what it accepts; ``receipt`` answers at once."""

    def __init__(self, receipt: Receipt | None = ACCEPTED, *, accepts: bool = True) -> None:
        self.got: list[Posted] = []
        self._receipt = receipt
        self._accepts = accepts

    def accept(self, posted: Posted) -> bool:
        if self._accepts:
            self.got.append(posted)
            if self._receipt is not None:
                answer(posted, self._receipt)
        return self._accepts


def answer(posted: Posted, receipt: Receipt) -> None:
    """Answer as the journal's thread does, if the sender still waits."""
    if posted.receipt.set_running_or_notify_cancel():
        posted.receipt.set_result(receipt)


@contextlib.contextmanager
def taking(queue: Queue, *, per_min: int = 60_000, **options: Any) -> Iterator[WebServer]:
    """Serve with an intake that feeds ``queue`` and whose rate is never filled up again."""
    posts = ReadingsIntake(accept=queue.accept, per_min=per_min, secure=False, mono=lambda: 0.0)
    with serving(ROUTES, posts=[posts], max_connections=MAX_CONNECTIONS, **options) as server:
        yield server


def request(*headers: str, path: str = "/iot/data", body: bytes = BODY, method: str = "POST") -> bytes:
    """Return a request; its length is stated unless a header does."""
    sized = any(line.lower().startswith(("content-length", "no-length")) for line in headers)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    lines += [] if sized else [f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def post(server: WebServer, *headers: str, **options: Any) -> tuple[int, str, dict[str, str]]:
    """Post and return status, head and the JSON of the response."""
    status, head, body = ask(server, request(*headers, **options))
    return status, head, json.loads(body)


def test_an_accepted_message_is_202() -> None:
    """The journal gets topic, payload, trace context and key; the client the one word."""
    queue = Queue()
    with taking(queue) as server:
        status, _, content = post(
            server,
            "content-type: Application/JSON; charset=UTF-8",
            "traceparent: 00-x",
            "Idempotency-Key: k1",
        )
    (posted,) = queue.got
    assert (status, content) == (202, {"status": "accepted"})
    assert (posted.topic, posted.payload, posted.key) == (DATA_TOPIC, BODY, "k1")
    assert posted.properties == (("traceparent", "00-x"),)
    assert not posted.retain
    assert posted.received == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("headers", "options", "expected", "reason"),
    [
        ((), {}, 415, "content_type"),
        (("Content-Type: text/plain",), {}, 415, "content_type"),
        (("Content-Type: application/json; charset=latin-1",), {}, 415, "content_type"),
        (("Content-Type: application/x-www-form-urlencoded",), {}, 415, "content_type"),
        ((JSON, "Origin: http://evil.example"), {}, 403, "origin"),
        ((JSON, "Origin: null"), {}, 403, "origin"),
        ((JSON, "Origin: https://localhost"), {}, 403, "origin"),
        ((JSON, "No-Length: x"), {}, 411, "length"),
        ((JSON,), {"body": b""}, 400, "empty"),
        ((JSON, f"Content-Length: {MAX_BODY_BYTES + 1}"), {}, 413, "too_large"),
        ((JSON, "Content-Length: " + "9" * 5000), {}, 413, "too_large"),
        ((JSON, "Idempotency-Key:"), {}, 400, "idempotency_key"),
        ((JSON, "Idempotency-Key: " + "k" * 256), {}, 400, "idempotency_key"),
        ((JSON, "Idempotency-Key: \xfc"), {}, 400, "idempotency_key"),
        ((JSON,), {"method": "PUT"}, 405, "method"),
        ((JSON,), {"method": "OPTIONS"}, 405, "method"),
        ((JSON,), {"path": "/intake/"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/%2f%2F"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/a/%23"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/a+b"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/a%00b"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/a%0d%0ab"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/%ff"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/" + "x" * 300}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/" + "x" * 1500}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake" + "/x" * 20}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/../iot/data"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/x/%2e%2E/y"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/x/."}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/x/%zz"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/x/%u0041"}, 400, "bad_topic"),
        ((JSON,), {"path": "/intake/x/%4"}, 400, "bad_topic"),
        ((JSON, "Content-Encoding: gzip"), {}, 415, "content_encoding"),
    ],
)
def test_a_refused_request_names_the_reason(
    headers: tuple[str, ...], options: dict[str, Any], expected: int, reason: str
) -> None:
    """Nothing of it reaches the journal."""
    queue = Queue()
    with taking(queue) as server:
        status, head, content = post(server, *headers, **options)
    assert (status, content["status"], content["reason"]) == (expected, "refused", reason)
    assert content["detail"]
    assert ("Allow: POST" in head) == (expected == 405)
    assert queue.got == []


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("/iot/data", "http/iot/data"),
        ("/intake/iot/data", "http/iot/data"),
        ("/intake/ttn/dev%201", "http/ttn/dev 1"),
        ("/intake/k%C3%BCche/th1?token=x", "http/küche/th1"),
    ],
)
def test_the_path_is_the_topic(path: str, topic: str) -> None:
    """Escapes are decoded, and the query is not part of it."""
    queue = Queue()
    with taking(queue) as server:
        assert post(server, JSON, path=path)[0] == 202
    assert [one.topic for one in queue.got] == [topic]


def test_a_long_path_is_not_decoded() -> None:
    """The length is looked at first."""
    with pytest.raises(ValueError, match="longer than the 256 bytes"):
        topic_of("/intake/" + "%41" * 100_000)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (DecodeReason.BAD_JSON, 400),
        (DecodeReason.NO_READINGS, 422),
        ("no_value", 422),
        ("no_source", 404),
        (DecodeReason.BAD_TOPIC, 404),
        (DecodeReason.DECODER_FAULT, 500),
        (DecodeReason.NEW_DEVICE_LIMIT, 429),
    ],
)
def test_the_journals_refusal_has_a_status(reason: str, expected: int) -> None:
    """Reason and detail are those of the quarantine; a limit names when to try again."""
    with taking(Queue(Receipt(str(reason), "why"))) as server:
        status, head, content = post(server, JSON)
    assert (status, content) == (expected, {"status": "refused", "reason": str(reason), "detail": "why"})
    assert ("Retry-After: " in head) == (expected == 429)


def test_a_message_that_holds_no_value_by_intent_is_200() -> None:
    """It is not accepted, and no failure after which a webhook is switched off."""
    with taking(Queue(Receipt(NOTHING_READ, "why"))) as server:
        status, _, content = post(server, JSON)
    assert (status, content) == (200, {"status": "nothing_read", "detail": "why"})


def test_a_journal_without_room_is_503() -> None:
    """The client learns when to try again."""
    with taking(Queue(accepts=False)) as server:
        status, head, content = post(server, JSON)
    assert (status, content["reason"]) == (503, "busy")
    assert "Retry-After: 2" in head


def test_refusals_before_the_journal_are_logged_without_a_strangers_text() -> None:
    """Status and its words; neither path nor body."""
    lines: list[dict[str, Any]] = []
    posts = ReadingsIntake(
        accept=Queue(accepts=False).accept,
        per_min=60,
        secure=False,
        log=lambda event, **fields: lines.append({"event": event, **fields}),
    )
    with serving(ROUTES, posts=[posts]) as server:
        assert post(server, path="/intake/canary")[0] == 415
        assert post(server, JSON, path="/intake/canary")[0] == 503
    assert [(one["event"], one["status"]) for one in lines] == [
        ("web_post_refused", 415),
        ("web_post_refused", 503),
    ]
    assert "canary" not in repr(lines)
    assert posts.refused == {"request": 1, "rate": 0, "busy": 1}


def test_a_journal_that_fails_is_503() -> None:
    """A disk that takes nothing is not the client's fault, and the message is not accepted."""
    queue = Queue(None)
    with taking(queue) as server, connect(server) as sock:
        sock.sendall(request(JSON))
        wait_for(lambda: queue.got, 5, "the queue", 0.01)
        queue.got[0].receipt.set_exception(AgentError("disk"))
        status, head, _ = split(read_all(sock))
    assert status == 503
    assert "Retry-After" in head


def test_the_response_waits_for_the_disk() -> None:
    """No 202 before the receipt, and other clients are served meanwhile; a waiting client costs no CPU."""
    queue = Queue(None)
    with taking(queue) as server, connect(server) as sock:
        sock.sendall(request(JSON) + b"more bytes that nobody asked for")
        wait_for(lambda: queue.got, 5, "the queue", 0.01)
        turns = count_turns(server, 0.3)
        assert get(server, "/healthz")[0] == 200
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(60)
        answer(queue.got[0], Receipt())
        assert split(read_all(sock))[0] == 202
    assert turns < 10


def count_turns(server: WebServer, seconds: float) -> int:
    """Return how many turns the server makes meanwhile."""
    seen, until_s = {server.heartbeat}, time.monotonic() + seconds
    while time.monotonic() < until_s:
        seen.add(server.heartbeat)
        time.sleep(0.001)
    return len(seen)


def test_a_message_that_waits_too_long_is_taken_back() -> None:
    """The client gets 503 and the journal drops the message: it is not stored behind the client's back."""
    queue = Queue(None)
    with taking(queue, timeout_s=0.3) as server:
        status, _, content = post(server, JSON)
    assert (status, content["reason"]) == (503, "busy")
    assert queue.got[0].receipt.cancelled()


@pytest.mark.slow
def test_a_commit_that_hangs_is_503_with_advice() -> None:
    """A message that is being written can no longer be taken back, and the client learns it."""
    queue = Queue(None)
    with taking(queue, timeout_s=2.0) as server, connect(server) as sock:
        sock.sendall(request(JSON))
        wait_for(lambda: queue.got, 5, "the queue", 0.01)
        queue.got[0].receipt.set_running_or_notify_cancel()
        status, _, body = split(read_all(sock))
    assert status == 503
    assert b"same Idempotency-Key" in body


def test_the_number_of_waiting_clients_is_bounded_and_scrapes_keep_a_slot() -> None:
    """With every place taken by posts that wait, a further post is 503 and a scrape is answered."""
    queue = Queue(None)
    with taking(queue) as server, contextlib.ExitStack() as clients:
        socks = [clients.enter_context(connect(server)) for _ in range(MAX_WAITING)]
        for sock in socks:
            sock.sendall(request(JSON))
        wait_for(lambda: len(queue.got) == MAX_WAITING, 5, "the queue", 0.01)
        assert post(server, JSON)[0] == 503
        idle = [clients.enter_context(connect(server)) for _ in range(40)]
        assert get(server, "/metrics")[0] == 200
        for one in queue.got:
            answer(one, Receipt())
        assert [split(read_all(sock))[0] for sock in socks] == [202] * MAX_WAITING
        assert idle


def test_the_rate_is_bounded() -> None:
    """Ten seconds of the rate come at once; then 429 names when to try again."""
    queue = Queue()
    with taking(queue, per_min=30) as server:
        codes = [post(server, JSON)[0] for _ in range(6)]
        _, head, content = post(server, JSON)
    assert codes == [202] * 5 + [429]
    assert content["reason"] == "rate"
    assert 1 <= int(head.split("Retry-After: ")[1].split("\r\n")[0]) <= 2
    assert len(queue.got) == 5


def test_a_body_may_come_in_pieces() -> None:
    """Head and body byte by byte are one message."""
    queue = Queue()
    with taking(queue) as server, connect(server) as sock:
        for byte in request(JSON):
            sock.send(bytes([byte]))
        assert split(read_all(sock))[0] == 202
    assert [one.payload for one in queue.got] == [BODY]


def test_the_largest_body_is_taken() -> None:
    """Up to the limit of the decoders, the whole body arrives."""
    body, queue = b" " * MAX_BODY_BYTES, Queue()
    with taking(queue) as server:
        assert post(server, JSON, body=body)[0] == 202
    assert queue.got[0].payload == body


def test_a_body_that_never_ends_has_a_limit() -> None:
    """A client that promises more than it sends is cut off."""
    queue = Queue()
    with taking(queue, timeout_s=0.3) as server, connect(server) as sock:
        sock.sendall(request(JSON, "Content-Length: 1000"))
        assert read_all(sock) == b""
    assert queue.got == []


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    """``Expect: 100-continue``, as curl sends it; a refusal comes without the body."""
    queue = Queue()
    whole = request(JSON, "Expect: 100-continue")
    with taking(queue) as server:
        with connect(server) as sock:
            sock.sendall(whole[: -len(BODY)])
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(BODY)
            assert split(read_all(sock))[0] == 202
        with connect(server) as sock:
            sock.sendall(request("Expect: 100-continue", "Content-Length: 9", body=b""))
            assert split(read_all(sock))[0] == 415


def test_the_pages_rules_hold() -> None:
    """Password and host name are asked for as for any address; GET of the others stays."""
    queue = Queue()
    with taking(queue, auth=BasicAuth("u", "p")) as server:
        assert ask(server, request(JSON))[0] == 401
    with taking(queue) as server:
        foreign = request(JSON).replace(b"Host: localhost", b"Host: evil.example")
        assert ask(server, foreign)[0] == 421
        assert ask(server, request(JSON, "Origin: http://localhost"))[0] == 202
        assert ask(server, request(JSON, path="/metrics"))[0] == 405
        assert get(server, "/metrics")[0] == 200
    assert len(queue.got) == 1


def test_without_the_intake_there_is_no_such_address() -> None:
    """Off by default: a server without posts does not know the paths."""
    with serving() as server:
        assert ask(server, request(JSON))[0] == 404
        assert ask(server, request(JSON, path="/intake/x"))[0] == 404


def test_a_server_that_stops_leaves_no_thread_behind() -> None:
    """A receipt that comes after the end harms nobody."""
    queue = Queue(None)
    with taking(queue) as server:
        sock = connect(server)
        sock.sendall(request(JSON))
        wait_for(lambda: queue.got, 5, "the queue", 0.01)
    late: Callable[[], None] = lambda: answer(queue.got[0], Receipt())  # noqa: E731 - the thread's body
    thread = threading.Thread(target=late)
    thread.start()
    thread.join(5)
    assert read_all(sock) == b""
    sock.close()


def test_sources_below_http_are_not_subscribed() -> None:
    """They are marked, and the one of /iot/data is added unless a source has its topic."""
    own, plain, all_ = SourceSpec("http/ttn/{device}"), SourceSpec("sensors/{device}"), SourceSpec("#")
    assert [(one.topic, one.posted) for one in with_posted([own, plain])] == [
        ("http/ttn/{device}", True),
        ("sensors/{device}", False),
        (DATA_TOPIC, True),
    ]
    assert with_posted([all_]) == (all_,)
