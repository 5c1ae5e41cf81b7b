"""Chat completions through the OpenAI SDK, imported at the first call in a thread."""

import asyncio
import importlib
import os
import re
import threading
from contextlib import suppress
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from agent.ai.errors import classify
from agent.ai.openai_reply import read_reply
from agent.ai.profiles import PROFILES, body_of
from agent.ai.protocols import TransportError
from agent.ai.sdk_import import import_sdk
from agent.domain.fault import fault_words
from agent.domain.model_calls import ErrorType, Reply, Request
from agent.domain.secret_forms import forms_of, holds, mask_forms

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2
    from openai import AsyncOpenAI

CONNECT_S = 5.0
NO_KEY = "none"  # sent to a local server without keys
MASK = "[redacted]"
MIN_KEY = 8  # characters; a shorter one may be in any reply
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{4,80}")
_IGNORED_VARIABLES = ("OPENAI_CUSTOM_HEADERS", "OPENAI_LOG", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")


class OpenAIChat:
    """Chat Completions at one endpoint: one attempt per call, nothing taken from the environment.

    Args:
        base_url: of the API, such as ``https://api.openai.com/v1``.
        api_key: the secret; None for a local server that wants none.
    """

    def __init__(self, *, base_url: str, api_key: str | None) -> None:
        self._base_url = base_url
        self._api_key = api_key or NO_KEY
        self._forms = forms_of(self._api_key) if len(self._api_key) >= MIN_KEY else ()
        self._client: AsyncOpenAI | None = None
        self._connecting: asyncio.Future[AsyncOpenAI] | None = None

    def __repr__(self) -> str:
        return f"OpenAIChat(base_url={self._base_url!r})"

    async def load(self) -> None:
        """Import the SDK before a deadline begins; if that fails, the attempt reports it."""
        if self._client is None:
            with suppress(TransportError):
                await self._connected()

    async def complete(self, request: Request) -> Reply:
        """Make one attempt.

        Raises:
            TransportError: no completion came, with the reason and whether the request was sent.
        """
        client = self._client or await self._connected()
        answer = await _send(client, request, self._forms)
        name = _request_id(answer.headers, self._forms)
        try:
            reply = read_reply(answer.content, PROFILES[request.provider])
            return self._masked(replace(reply, provider_request_id=name))
        except TransportError as error:
            error.provider_request_id = name
            raise

    def _masked(self, reply: Reply) -> Reply:
        """Keep an endpoint that repeats the key, however encoded, from spreading it to our sinks."""
        if not self._forms:
            return reply

        def mask(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(mask, value))
            return mask_forms(value, self._forms, MASK) if isinstance(value, str) else value

        return replace(reply, **{field.name: mask(getattr(reply, field.name)) for field in fields(reply)})

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client, self._connecting = self._client, None, None
        if client is not None:
            await client.close()

    async def _connected(self) -> "AsyncOpenAI":
        """Import the SDK and make its client in a thread, once for all calls that wait for it."""
        if self._connecting is None:
            loop = asyncio.get_running_loop()
            self._connecting = loop.run_in_executor(None, _connect, self._base_url, self._api_key)
        try:
            self._client = await asyncio.shield(self._connecting)
        except Exception as error:
            self._connecting = None  # the next call tries again
            raise TransportError(
                ErrorType.INTERNAL, f"the SDK cannot be loaded: {fault_words(error)}", sent=False
            ) from error
        return self._client


_environment = threading.Lock()


def _connect(base_url: str, api_key: str) -> "AsyncOpenAI":
    with _environment:  # the SDK reads these at import and construction; ours come from the configuration
        kept = {name: os.environ.pop(name) for name in _IGNORED_VARIABLES if name in os.environ}
        try:
            openai = import_sdk("openai.resources.chat.completions")
            httpx2 = importlib.import_module("httpx2")
            capped_http = importlib.import_module("agent.ai.openai_http")
            client: AsyncOpenAI = openai.AsyncOpenAI(
                base_url=base_url,
                api_key=api_key,
                max_retries=0,
                http_client=httpx2.AsyncClient(
                    transport=capped_http.CappedTransport(
                        trust_env=False, verify=capped_http.authorities(base_url)
                    ),
                    trust_env=False,
                    timeout=CONNECT_S,
                ),
            )
        finally:
            os.environ.update(kept)
    return client


def _request_id(headers: "Mapping[str, str]", forms: tuple[str, ...]) -> str | None:
    """Return the provider's name for the request, if it is one."""
    name = headers.get("x-request-id", "")
    return name if _REQUEST_ID.fullmatch(name) and not holds(name, forms) else None


async def _send(client: "AsyncOpenAI", request: Request, forms: tuple[str, ...]) -> "httpx2.Response":
    import httpx2  # noqa: PLC0415 - loaded with the SDK, at the first call
    import openai  # noqa: PLC0415 - as above

    from agent.ai.openai_http import BodyTooLargeError  # noqa: PLC0415 - as above

    body = body_of(request)
    try:
        raw = await client.chat.completions.with_raw_response.create(
            timeout=httpx2.Timeout(request.timeout_s, connect=min(CONNECT_S, request.timeout_s)),
            extra_headers={"X-Client-Request-Id": request.request_id},
            model=body.pop("model"),
            messages=body.pop("messages"),
            extra_body=body,  # the SDK checks the names of its own parameters
        )
    except openai.APITimeoutError as error:
        sent = not isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)
        raise TransportError(ErrorType.TIMEOUT, _why(error), sent=sent) from None
    except openai.APIConnectionError as error:
        if isinstance(error.__cause__, BodyTooLargeError):
            raise TransportError(ErrorType.MALFORMED_RESPONSE, str(error.__cause__)) from None
        sent = not isinstance(error.__cause__, httpx2.ConnectError | httpx2.UnsupportedProtocol)
        raise TransportError(ErrorType.CONNECTION, _why(error), sent=sent) from None
    except openai.APIStatusError as error:
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        refusal = classify(
            error.status_code,
            error.body,
            headers,
            secret=forms,
            profile=PROFILES[request.provider],
            plots=request.plots is not None,
        )
        refusal.provider_request_id = _request_id(headers, forms)
        raise refusal from None
    except openai.OpenAIError as error:
        raise TransportError(ErrorType.OTHER, type(error).__name__) from None
    if raw.status_code != 200:  # noqa: PLR2004 - a redirect: the prompt goes to the configured host only
        raise TransportError(
            ErrorType.MALFORMED_RESPONSE, f"HTTP {raw.status_code}", http_status=raw.status_code
        )
    response: httpx2.Response = raw.http_response
    return response


_CAUSES = {
    "CERTIFICATE_VERIFY_FAILED": "the certificate is not trusted, or the clock is wrong",
    "Name or service not known": "unknown host name",
    "Temporary failure in name resolution": "no name resolution",
    "refused": "connection refused",
    "Connect call failed": "connection refused",
    "All connection attempts failed": "connection refused",
    "unreachable": "network unreachable",
}


def _why(error: Exception) -> str:
    """Name the cause in our own words: its text may quote addresses or data."""
    cause = error.__cause__ or error
    known = next((words for sign, words in _CAUSES.items() if sign in str(cause)), None)
    return known or type(cause).__name__
