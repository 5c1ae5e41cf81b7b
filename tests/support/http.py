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
    token: str | None = None,
) -> int:
    """Return the status of a request; 0 when there is no answer."""
    request = urllib.request.Request(url, data=body, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    if origin is not None:
        request.add_header("Origin", origin)
    if token is not None:
        request.add_header("X-Edge-Agent-Token", token)
    if password is not None:
        request.add_header("Authorization", _login(password))
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


def page_of(url: str, *, context: ssl.SSLContext | None = None, password: str | None = None) -> str:
    """Return the body of a response that must be a good one."""
    request = urllib.request.Request(url)
    if password is not None:
        request.add_header("Authorization", _login(password))
    with urllib.request.urlopen(request, timeout=60, context=context) as response:
        return str(response.read().decode())


def _login(password: str) -> str:
    """Return the header of the user that the tests know."""
    return f"Basic {base64.b64encode(f'prometheus:{password}'.encode()).decode()}"
