"""An HTTP transport with bounded responses, always read as UTF-8."""

import ssl
from collections.abc import AsyncIterator

import httpx2

MAX_BODY = 256 * 1024
MAX_PIECES = 1024  # each costs the parser more than its bytes; a body of this size needs about 200
MAX_HEADER = 256  # bytes of a value
#: The headers that are read. The client would decode by any charset, parse cookies and follow addresses.
HEADERS = frozenset({b"date", b"retry-after", b"retry-after-ms", b"x-request-id"})
JSON = (b"content-type", b"application/json; charset=utf-8")


def authorities(base_url: str) -> ssl.SSLContext | bool:
    """Return how an endpoint proves itself: True for the authorities of the system, which take 1 MiB.

    Without TLS none is needed; TLS with the context that is returned then fails.
    """
    return not base_url.lower().startswith("http:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class BodyTooLargeError(httpx2.TransportError):
    """The response is larger than :data:`MAX_BODY`, in too many pieces, or compressed: of unknown size."""


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = pieces = 0
        async for chunk in self._stream:
            size += len(chunk)
            pieces += 1
            if size > MAX_BODY:
                raise BodyTooLargeError(f"body above {MAX_BODY} bytes", request=self._request)
            if pieces > MAX_PIECES:
                raise BodyTooLargeError(f"body in more than {MAX_PIECES} pieces", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class CappedTransport(httpx2.AsyncHTTPTransport):
    """Refuses bodies above 256 KiB before they are in memory. Compression is not asked for and not taken.

    Of the headers only :data:`HEADERS` are passed on.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        encoding = response.headers.get("content-encoding", "identity")
        length = response.headers.get("content-length", "0")
        if encoding != "identity" or (length.isascii() and length.isdigit() and int(length[:12]) > MAX_BODY):
            await response.aclose()
            raise BodyTooLargeError("body too large or compressed", request=request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _CappedStream(response.stream, request)
        kept = [(name, value[:MAX_HEADER]) for name, value in response.headers.raw if name.lower() in HEADERS]
        response.headers = httpx2.Headers([JSON, *kept])
        return response
