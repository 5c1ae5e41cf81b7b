"""Webhook: a notice as JSON, with an idempotency key and a signature."""

import hmac
import json
from collections.abc import Callable, Mapping

from agent.sinks.http_post import HttpPost
from agent.sinks.sink import Answer, Refused
from agent.sinks.worker import AnswerLink, ReceiverError
from agent.verdict.encode import encode

SIGNATURE = "X-Edge-Agent-Signature"


class Webhook:
    """Posts the notice, and its link for an answer; ``secret`` signs the bytes."""

    def __init__(
        self, title: str, http: HttpPost, *, secret: Callable[[], str | None], answer: AnswerLink
    ) -> None:
        self.title = title
        self._http = http
        self._secret = secret
        self._answer = answer

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:
        """Post one notice."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": properties["id"]}
        notice = json.loads(payload)
        if answer := self._answer(notice):
            payload = encode({**notice, "answer_url": answer})
        try:
            secret = self._secret()
        except ReceiverError as error:
            return Refused(reason=str(error), remedy=error.remedy)
        if secret is not None:
            headers[SIGNATURE] = f"sha256={hmac.digest(secret.encode(), payload, 'sha256').hex()}"
        return self._http.post(payload, headers)

    def probe(self) -> str:
        """Connect."""
        self._secret()
        return self._http.probe()
