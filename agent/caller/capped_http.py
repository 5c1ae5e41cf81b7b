"""An HTTP transport whose response bodies are bounded while they stream in."""

from collections.abc import AsyncIterator

import httpx2

MAX_BODY = 256 * 1024


class BodyTooLargeError(httpx2.TransportError):
    """The response is larger than :data:`MAX_BODY`, or compressed, so that its size cannot be told."""


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_BODY:
                raise BodyTooLargeError(f"body above {MAX_BODY} bytes", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class CappedTransport(httpx2.AsyncHTTPTransport):
    """Refuses bodies above 256 KiB before they are in memory. Compression is not asked for and not taken."""

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
        return response
