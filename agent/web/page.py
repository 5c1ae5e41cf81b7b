"""The status page: one file without external assets, and its content policy."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from agent.web.http import Response


def page() -> Response:
    """Return the page; it fetches ``status.json`` next to itself."""
    body, policy = _load()
    return Response(
        body, content_type="text/html; charset=utf-8", headers=(("Content-Security-Policy", policy),)
    )


def json_response(encode: Callable[[], bytes], status: int = 200) -> Response:
    """Return what ``encode`` gives as JSON."""
    return Response(encode(), status, "application/json")


@cache
def _load() -> tuple[bytes, str]:
    text = Path(__file__).with_name("page.html").read_text("utf-8")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(text, 'script')}",
            f"style-src {_hashes(text, 'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return text.encode(), policy


def _hashes(text: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode("ascii") for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
