"""A real endpoint behind the gateway, with a cap on the money."""

import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from simulator.model.replies import Response, refusal

MAX_REPLY = 4 * 1024 * 1024
IMAGE_TOKENS = 3000  # the most that is known to be counted for a small image
_IMAGE = b'"data:image/'
_MILLION = 1e6
_DEFAULT_OUTPUT = 4096


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: float
    output: float


class Upstream:
    """Passes requests on; one that could exceed the cap is refused as a used-up quota.

    Args:
        base_url: of the endpoint, up to ``/v1``.
        key: sent as a bearer token, if there is one.
        price: of the model.
        max_usd: cap on the spend, reserved before a request is sent.
        timeout_s: of a request.
    """

    def __init__(
        self, base_url: str, *, key: str | None, price: Price, max_usd: float, timeout_s: float
    ) -> None:
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._price, self._max_usd, self._timeout_s = price, max_usd, timeout_s
        self._lock = threading.Lock()
        self.spent_usd = 0.0
        self.refused = 0

    def __call__(self, request: dict[str, Any]) -> Response:
        """Return the endpoint's response."""
        most = request.get("max_completion_tokens") or request.get("max_tokens") or _DEFAULT_OUTPUT
        body = json.dumps(request).encode()
        worst = self._cost(len(body) + body.count(_IMAGE) * IMAGE_TOKENS, float(most))
        with self._lock:
            if self.spent_usd + worst > self._max_usd:
                self.refused += 1
                return refusal(
                    429, "--max-usd is spent", kind="insufficient_quota", code="insufficient_quota"
                )
            self.spent_usd += worst
        response = self._send(body)
        paid = _usage(response)
        actual = 0.0 if response.status >= 400 else worst if paid is None else self._cost(*paid)  # noqa: PLR2004 - HTTP
        with self._lock:
            self.spent_usd += actual - worst
        return response

    def _cost(self, sent: float, got: float) -> float:
        return (sent * self._price.input + got * self._price.output) / _MILLION

    def _send(self, body: bytes) -> Response:
        request = urllib.request.Request(self._url, data=body, headers=self._headers)  # noqa: S310 - by the user
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:  # noqa: S310 - as above
                return Response(reply.status, reply.read(MAX_REPLY))
        except urllib.error.HTTPError as error:
            return Response(error.code, error.read(MAX_REPLY))
        except (OSError, ValueError) as error:
            return refusal(502, f"the endpoint did not answer: {error}"[:200], kind="server_error")


def _usage(response: Response) -> tuple[float, float] | None:
    try:
        used = json.loads(response.body)["usage"]
        return float(used["prompt_tokens"]), float(used["completion_tokens"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
