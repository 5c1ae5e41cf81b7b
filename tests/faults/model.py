"""The scripted model: answers differ, some are late, some fail; all is seeded.

The nonce is letters only: a number in a summary that is not in the window would be called ungrounded,
and then the model's bytes would never reach a verdict.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from simulator.model import judge
from simulator.model.replies import prompt_of, usage

#: Share of the requests that are answered in each way; the rest are fine.
TROUBLE = {"late": 0.05, "error": 0.08, "garbage": 0.05, "cut": 0.02}
MAX_DELAY_S = 0.6
PRICE = {"input": 0.15, "output": 0.6}  # USD for a million tokens
LETTERS = "bcdfghjkmpqrstvwxz"


class NonceModel:
    """An OpenAI-compatible endpoint on a loopback port.

    Args:
        seed: of all that is random.
        late_s: delay of a late answer; should be above the agent's deadline.
        trouble: shares of the requests that are answered in other ways than fine.
        calls_per_s: so many are answered a second, one after the other, in place of random delays.
    """

    def __init__(
        self,
        *,
        seed: int,
        late_s: float = 4.0,
        trouble: Mapping[str, float] | None = None,
        calls_per_s: float | None = None,
    ) -> None:
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self.trouble: Mapping[str, float] = TROUBLE if trouble is None else trouble
        self.late_s = late_s
        self._every_s = None if calls_per_s is None else 1 / calls_per_s
        self._free_at = 0.0  # monotonic; when the next paced answer is due
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        self.billed_usd = 0.0  # of all answers with a usage, those to killed clients included
        self._open: dict[int, float] = {}  # request -> monotonic time of its arrival
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.model = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="model", daemon=True)

    @property
    def url(self) -> str:
        """The value of ``ai.base_url``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def begin(self) -> int:
        """Note a request that waits for its answer, and return its number."""
        with self._lock:
            number = max(self._open, default=0) + 1
            self._open[number] = time.monotonic()
            return number

    def end(self, number: int) -> None:
        """Note that a request has its answer."""
        with self._lock:
            del self._open[number]

    def open_since(self, begun: float) -> int:
        """Return how many requests that arrived after ``begun`` (monotonic) wait for their answers."""
        with self._lock:
            return sum(at >= begun for at in self._open.values())

    def bill(self, usage: Mapping[str, Any]) -> None:
        """Charge for an answer."""
        with self._lock:
            self.billed_usd += (
                usage["prompt_tokens"] * PRICE["input"] + usage["completion_tokens"] * PRICE["output"]
            ) / 1e6

    def choose(self) -> tuple[str, float, str]:
        """Return behaviour, delay in s and nonce of the next request."""
        with self._lock:
            roll = self._rng.random()
            behaviour = "fine"
            for name, share in self.trouble.items():
                roll -= share
                if roll < 0:
                    behaviour = name
                    break
            self.counts[behaviour] += 1
            delay_s = self.late_s if behaviour == "late" else self._delay_s()
            return behaviour, delay_s, "".join(self._rng.choices(LETTERS, k=12))

    def _delay_s(self) -> float:
        if self._every_s is None:
            return self._rng.uniform(0, MAX_DELAY_S)
        now = time.monotonic()
        self._free_at = max(now, self._free_at + self._every_s)
        return self._free_at - now


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: NonceModel

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: killed clients are the point of it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = self.server.model.begin()
        try:
            self._answer(request)
        finally:
            self.server.model.end(number)

    def _answer(self, request: dict[str, Any]) -> None:
        behaviour, delay_s, nonce = self.server.model.choose()
        self.server.model.stopping.wait(delay_s)
        match behaviour:
            case "error":
                self._send(500, {"error": {"message": "overloaded", "type": "server_error"}})
            case "garbage":
                self._send(200, _completion(request, f"I think {nonce} is fine {{"))
            case "cut":
                self.close_connection = True
            case _:
                answer = judge.answer(prompt_of(request))
                for window in answer["windows"]:
                    window["summary"] = f"{window['summary']} {nonce}"
                self._send(200, _completion(request, json.dumps(answer)))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        if "usage" in body:
            self.server.model.bill(body["usage"])
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Log nothing."""


def _completion(request: dict[str, Any], content: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-harness",
        "object": "chat.completion",
        "created": 0,
        "model": str(request.get("model", "harness")),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(prompt_of(request), content),
    }
