"""A hostile endpoint that costs CPU time, through the real SDK and a real socket."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest

from agent.ai.openai_chat import OpenAIChat
from agent.ai.openai_http import MAX_BODY, MAX_PIECES
from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType, Request
from tests.support.growth import GROWTH, MOST

FLOOR_S = 0.02  # a call costs a few milliseconds, whatever comes back
REQUEST = Request(
    request_id="r1",
    provider="vllm",
    model="m",
    system="s",
    user="u",
    schema={},
    response_format="none",
    max_tokens=10,
    timeout_s=30.0,
)
CHARSETS = ("punycode", "idna", "utf-7", "raw_unicode_escape", "unicode_escape", "utf-16", "hz", "base64")


@contextmanager
def endpoint() -> Iterator[tuple[str, list[bytes]]]:
    """Answer each connection with the newest of the given responses, byte for byte, then close it."""
    responses: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(10)
                        head = b""
                        while b"\r\n\r\n" not in head:
                            head += connection.recv(65_536)
                        connection.sendall(responses[-1])
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65_536):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", responses
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def answer(body: bytes, *headers: str, status: str = "400 Bad Request") -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def chunked(size: int, *, status: str = "400 Bad Request") -> bytes:
    head = f"HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    return head.encode() + b"1\r\nx\r\n" * size + b"0\r\n\r\n"


async def ask(url: str) -> tuple[TransportError, float]:
    """Return how the call failed, and the CPU seconds of this thread that it took after a first one."""
    chat = OpenAIChat(base_url=url, api_key="sk-secret-secret")
    try:
        for _ in range(2):
            start = time.thread_time()
            with pytest.raises(TransportError) as failure:
                await chat.complete(REQUEST)
            spent_s = time.thread_time() - start
    finally:
        await chat.aclose()
    return failure.value, spent_s


def cost(response: bytes) -> float:
    with endpoint() as (url, responses):
        responses.append(response)
        return min(asyncio.run(ask(url))[1] for _ in range(3))


def with_charset(charset: str, size: int) -> bytes:
    return answer(b"a-" + "é".encode() * (size // 2), f"content-type: text/html; charset={charset}")


def with_cookies(size: int) -> bytes:
    cookie = "set-cookie: a=b; expires=" + "1 " * 1000
    return answer(b"{}", *[cookie] * (size // len(cookie)))


def with_location(size: int) -> bytes:
    return answer(b"", "location: http://" + "xn--" * (size // 8) + "/", status="302 Found")


def with_error_text(size: int) -> bytes:
    return answer(b'{"error":{"message":"' + b"support " * (size // 8) + b'"}}')


def with_retry_after(size: int) -> bytes:
    return answer(b"{}", "retry-after: " + "1," * (size // 2), status="429 Too Many Requests")


HOSTILE: dict[str, tuple[Callable[[int], bytes], int]] = {
    **{charset: (partial(with_charset, charset), MAX_BODY - 16) for charset in CHARSETS},
    "cookies": (with_cookies, 65_536),
    "location": (with_location, 65_536),
    "error text": (with_error_text, MAX_BODY - 64),
    "retry-after": (with_retry_after, 65_536),
    "pieces": (chunked, MAX_BODY),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_an_endpoint_sends_is_read_in_linear_time(name: str) -> None:
    """Any charset, cookies, addresses, dates and tiny pieces: eight times as much costs no more than that."""
    make, size = HOSTILE[name]
    large = cost(make(size))
    if large > FLOOR_S:
        small = cost(make(size // GROWTH))
        assert large / small <= MOST, f"{large * 1e3:.0f} ms against {small * 1e3:.0f} ms"


@pytest.mark.parametrize("charset", ["punycode", "utf-16", "rot13", "nonsense", '"', "utf-8"])
def test_an_error_is_read_as_utf_8(charset: str) -> None:
    """Whatever the header is; the code of the error is found."""
    body = '{"error":{"code":"model_not_found","message":"é"}}'.encode()
    with endpoint() as (url, responses):
        responses.append(
            answer(body, f"content-type: text/html; charset={charset}", "x-request-id: req-1234")
        )
        error, _ = asyncio.run(ask(url))
    assert error.error_type is ErrorType.BAD_REQUEST
    assert "model_not_found" in str(error)
    assert error.provider_request_id == "req-1234"


def test_a_body_in_too_many_pieces_is_refused() -> None:
    """A piece costs the parser far more than its bytes, so their number is bounded as well."""
    with endpoint() as (url, responses):
        responses.append(chunked(MAX_PIECES + 1))
        error, _ = asyncio.run(ask(url))
        assert error.error_type is ErrorType.MALFORMED_RESPONSE
        assert "pieces" in str(error)
        responses.append(chunked(MAX_PIECES // 2))
        error, _ = asyncio.run(ask(url))
        assert error.error_type is ErrorType.BAD_REQUEST


def test_a_body_too_deep_to_print_is_an_error() -> None:
    """Brackets inside each other end in an error of the endpoint, not of ours."""
    for depth in (400, 950, 100_000):
        for body in ('{"error":{"param":' + "[" * depth + "]" * depth + "}}", "[" * depth):
            with endpoint() as (url, responses):
                responses.append(answer(body.encode()))
                assert asyncio.run(ask(url))[0].error_type is ErrorType.BAD_REQUEST
