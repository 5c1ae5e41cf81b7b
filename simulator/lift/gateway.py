"""The gateway between agent and model: it keeps each question with its answer."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.lift.question import Question, questions
from simulator.model import ModelEndpoint
from simulator.model.replies import Response, prompt_of
from simulator.model.server import Responder


@dataclass(frozen=True, slots=True)
class Exchange:
    """One window that a model was asked about; ``answer`` None: the reply had none for it."""

    question: Question
    answer: Mapping[str, Any] | None
    reply: str  # the whole text, if it is not the JSON that was asked for
    input_tokens: float  # its part of the call's
    output_tokens: float
    seconds: float


class Gateway:
    """Lets ``responder`` answer, and keeps what was asked and answered; any thread."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._lock = threading.Lock()
        self.exchanges: list[Exchange] = []
        self.calls = 0
        self.failures = 0

    def endpoint(self) -> ModelEndpoint:
        """Return the endpoint for one agent, not started yet."""
        return ModelEndpoint(respond=self.respond)

    def respond(self, request: dict[str, Any]) -> Response:
        """Return the response to a completion request."""
        began = time.perf_counter()
        response = self._responder(request)
        seconds = time.perf_counter() - began
        asked = questions(prompt_of(request))
        exchanges = [] if response.status != 200 else _exchanges(asked, response, seconds)  # noqa: PLR2004 - HTTP
        with self._lock:
            self.calls += 1
            self.failures += response.status != 200  # noqa: PLR2004 - HTTP
            self.exchanges += exchanges
        return response


def _exchanges(asked: list[Question], response: Response, seconds: float) -> list[Exchange]:
    try:
        body = json.loads(response.body)
        reply = str(body["choices"][0]["message"]["content"] or "")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return []
    used = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    answers = answers_of(reply)
    share = 1.0 / max(1, len(asked))
    return [
        Exchange(
            question=one,
            answer=answers.get(one.w),
            reply="" if answers else reply,
            input_tokens=share * float(used.get("prompt_tokens") or 0),
            output_tokens=share * float(used.get("completion_tokens") or 0),
            seconds=share * seconds,
        )
        for one in asked
    ]


def answers_of(reply: str) -> dict[int, Mapping[str, Any]]:
    """Return the answers of a reply by window, none if it is not the JSON that was asked for."""
    try:
        told = json.loads(reply)["windows"]
        return {int(one["w"]): one for one in told if isinstance(one, dict)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
