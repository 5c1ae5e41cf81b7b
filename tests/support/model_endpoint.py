"""An OpenAI-compatible endpoint that keeps requests, and misbehaves on demand."""

import base64
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PNG = "data:image/png;base64,"
Edit = Callable[[dict[str, Any]], None]
Behaviour = str | Callable[[dict[str, Any]], str]


def windows_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the windows in the prompt of a request."""
    user = text_of(request["messages"][-1])
    return [json.loads(line) for line in user.splitlines() if line.startswith('{"w":')]


def text_of(message: dict[str, Any]) -> str:
    """Return the text of a message, without a legend of images."""
    content = message["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def images_of(request: dict[str, Any]) -> list[bytes]:
    """Return the PNGs that a request holds."""
    content = request["messages"][-1]["content"]
    parts = [] if isinstance(content, str) else [part for part in content if part["type"] == "image_url"]
    return [base64.b64decode(part["image_url"]["url"].removeprefix(PNG), validate=True) for part in parts]


def answer_of(window: dict[str, Any]) -> dict[str, Any]:
    """Return a right answer for one window."""
    worst = max(window["candidates"], key=lambda one: one["score"])
    anomaly = worst["score"] >= 1.0
    return {
        "w": window["w"],
        "status": "anomaly" if anomaly else "normal",
        "kind": worst.get("kind", "other") if anomaly else "none",
        "severity": "warning" if anomaly else "info",
        "confidence": 2,
        "evidence": [worst["id"]] if anomaly else [],
        "summary": f"{worst['metric']} jumped to {worst['value']}." if anomaly else "All is usual.",
    }


class ModelEndpoint:
    """Answers ``POST .../chat/completions`` on a free port of loopback.

    The next behaviour comes from ``script``, then from ``default``; each is a name below or a function of the
    request that returns the content of the reply. ``requests`` holds what was asked, ``billed`` the tokens of
    each completion that was begun.
    """

    def __init__(self, *script: Behaviour, default: Behaviour = "fine") -> None:
        self.script: deque[Behaviour] = deque(script)
        self.default: Behaviour = default
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.billed: list[tuple[int, int]] = []
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.retry_after = "2"
        self.request_id = ""  # its own name for a request, sent as x-request-id
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        endpoint = self

        class Handler(_Handler):
            owner = endpoint

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL for the client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def choose(self, request: dict[str, Any]) -> Behaviour:
        """Note the request and return what to do with it."""
        with self.lock:
            self.requests.append(request)
            return self.script.popleft() if self.script else self.default

    def bill(self, sent: int, got: int) -> None:
        """Note the tokens of a completion."""
        with self.lock:
            self.billed.append((sent, got))


def _cite_a_stranger(answer: dict[str, Any]) -> None:
    answer.update(status="anomaly", kind="spike", evidence=["r999"])


_EDITS: dict[str, Edit] = {
    "wrong_id": _cite_a_stranger,
}
_ERRORS: dict[str, tuple[int, dict[str, Any]]] = {
    "429": (429, {"type": "requests", "code": "rate_limit_exceeded"}),
    "billing": (402, {"type": "billing", "code": "billing_hard_limit_reached"}),
    "500": (500, {"type": "server_error", "code": None}),
    "503": (503, {"type": "server_error", "code": None}),
    "401": (401, {"type": "invalid_request_error", "code": "invalid_api_key"}),
    "403": (403, {"type": "invalid_request_error", "code": "forbidden"}),
    "404": (404, {"type": "invalid_request_error", "code": "model_not_found"}),
    "no_schema": (400, {"type": "invalid_request_error", "param": "response_format", "code": None}),
    "no_temperature": (400, {"type": "invalid_request_error", "param": "temperature", "code": None}),
    "filtered_prompt": (400, {"type": None, "code": "content_filter"}),
}


class _Handler(BaseHTTPRequestHandler):
    owner: ModelEndpoint
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, OSError):
            super().finish()

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        request = json.loads(self.rfile.read(length))
        self.owner.headers.append({name.lower(): value for name, value in self.headers.items()})
        behaviour = self.owner.choose(request)
        self.owner.stopping.wait(self.owner.delay_s())
        if callable(behaviour):
            self._complete(request, content=behaviour(request))
        elif behaviour in _ERRORS:
            status, error = _ERRORS[behaviour]
            error = {"message": "Bad key sk-canary-provider: no.", **error}
            extra = {"Retry-After": self.owner.retry_after} if behaviour == "429" else {}
            self._send(status, json.dumps({"error": error}).encode(), **extra)
        else:
            getattr(self, f"_{behaviour}", lambda one: self._edited(one, behaviour))(request)

    # ------------------------------------------------------------------------------- behaviours

    def _fine(self, request: dict[str, Any]) -> None:
        self._complete(request)

    def _edited(self, request: dict[str, Any], behaviour: str) -> None:
        self._complete(request, edit=_EDITS[behaviour])

    def _hang(self, request: dict[str, Any]) -> None:
        self._bill(request, 0)
        self.owner.stopping.wait(60)
        self.close_connection = True

    def _drip(self, request: dict[str, Any]) -> None:
        body = self._body(request)
        self._head(200, len(body))
        for place in range(len(body)):
            if self.owner.stopping.wait(0.05):
                break
            self.wfile.write(body[place : place + 1])

    def _refusal(self, request: dict[str, Any]) -> None:
        self._complete(request, content=None, refusal="I cannot help with that.")

    def _no_room(self, request: dict[str, Any]) -> None:
        self._complete(request, content=None, finish="length")

    def _odd_finish(self, request: dict[str, Any]) -> None:
        self._complete(request, finish="eos")

    def _bad_window(self, request: dict[str, Any]) -> None:
        answers = [answer_of(window) for window in windows_of(request)]
        answers[0]["status"] = "bad"
        self._complete(request, content=json.dumps({"windows": answers}))

    def _extra_window(self, request: dict[str, Any]) -> None:
        answers = [answer_of(window) for window in windows_of(request)]
        answers.append({**answers[0], "w": 77})
        self._complete(request, content=json.dumps({"windows": answers}))

    def _empty_choices(self, request: dict[str, Any]) -> None:
        self._complete(request, choices=[])

    def _html(self, _request: dict[str, Any]) -> None:
        self._send(200, b"<!doctype html><title>Sign in</title>", content_type="text/html")

    def _redirect(self, _request: dict[str, Any]) -> None:
        self._send(302, b"", Location="http://127.0.0.1:9/elsewhere")

    def _gzip(self, request: dict[str, Any]) -> None:
        self._send(200, self._body(request), **{"Content-Encoding": "gzip"})

    def _reset(self, request: dict[str, Any]) -> None:
        body = self._body(request)
        self._head(200, len(body))
        self.wfile.write(body[: len(body) // 2])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    # ---------------------------------------------------------------------------------- the wire

    def _content(self, request: dict[str, Any], edit: Edit | None = None) -> str:
        answers = [answer_of(window) for window in windows_of(request)]
        for answer in answers:
            if edit is not None:
                edit(answer)
        return json.dumps({"windows": answers})

    def _bill(self, request: dict[str, Any], got: int) -> int:
        text = "".join(map(text_of, request["messages"]))
        sent = len(text.encode()) // 3
        self.owner.bill(sent, got)
        return sent

    def _body(self, request: dict[str, Any], *, edit: Edit | None = None, **changes: Any) -> bytes:
        content = changes.pop("content", None) if "content" in changes else self._content(request, edit)
        message = {"role": "assistant", "content": content, "refusal": changes.pop("refusal", None)}
        got = len(content or message["refusal"] or "") // 3
        finish = changes.pop("finish", "stop")
        sent = self._bill(request, got)
        body = {
            "id": f"chatcmpl-{len(self.owner.requests)}",
            "object": "chat.completion",
            "created": 0,
            "model": f"{request['model']}-2026-01-01",
            "system_fingerprint": "fp_test",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": sent,
                "completion_tokens": got,
                "total_tokens": sent + got,
                "prompt_tokens_details": {"cached_tokens": sent // 4},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            **changes,
        }
        return json.dumps(body).encode()

    def _complete(self, request: dict[str, Any], **changes: Any) -> None:
        self._send(200, self._body(request, **changes))

    def _head(self, status: int, length: int, content_type: str = "application/json", **extra: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        if self.owner.request_id:
            self.send_header("X-Request-Id", self.owner.request_id)
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, body: bytes, content_type: str = "application/json", **extra: str) -> None:
        self._head(status, len(body), content_type, **extra)
        self.wfile.write(body)


def refused_port() -> int:
    """Return a port of loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
