"""Webhook: a notice as JSON, with an idempotency key and a signature."""

import hmac
from collections.abc import Callable, Mapping

from agent.sinks.http_post import HttpPost
from agent.sinks.sink import Answer, Refused
from agent.sinks.worker import ReceiverError

SIGNATURE = "X-Edge-Agent-Signature"


class Webhook:
    """Posts the bytes of the notice as they are; ``secret`` signs them."""

    def __init__(self, title: str, http: HttpPost, *, secret: Callable[[], str | None]) -> None:
        self.title = title
        self._http = http
        self._secret = secret

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:
        """Post one notice."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": properties["id"]}
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
