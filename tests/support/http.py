"""Asks a web server on loopback and looks at the status alone."""

import base64
import ssl
import urllib.error
import urllib.request


def status_of(
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    password: str | None = None,
    host: str | None = None,
    method: str = "GET",
    body: bytes | None = None,
    origin: str | None = None,
) -> int:
    """Return the status of a request; 0 when there is no answer."""
    request = urllib.request.Request(url, data=body, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if origin is not None:
        request.add_header("Origin", origin)
    if password is not None:
        token = base64.b64encode(f"prometheus:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    if host is not None:
        request.add_header("Host", host)
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
