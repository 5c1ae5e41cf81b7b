"""HTTP session of the OTLP exporters: short replies, no redirects."""

from typing import Any

from requests import Response, Session, TooManyRedirects

MAX_REPLY = 4096  # bytes; a collector's is a few, and no exporter reads it


class BoundedSession(Session):
    """Reads no long reply, which would be kept in memory whole, and takes a redirect for a failure.

    The SDK takes any status below 400 for a success: what was sent to an address that moved was lost.
    """

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Response:
        """Return the reply; of a long one, and of one without a length, status and headers alone.

        Raises:
            TooManyRedirects: the collector names another address.
        """
        reply = super().request(method, url, *args, **options | {"stream": True})
        length = reply.headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:9]) <= MAX_REPLY:
            _ = reply.content  # so that the connection is kept
        else:
            reply.close()
        if 300 <= reply.status_code < 400:  # noqa: PLR2004 - redirects
            raise TooManyRedirects(f"HTTP {reply.status_code}: the collector names another address")
        return reply
