"""The status page: one file without external assets, and its content policy."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from agent.web.http import Response


def page(token: str = "") -> Response:
    """Return the page; it fetches ``status.json`` next to itself.

    ``token`` goes with the commands that it posts; without one it has no buttons.
    """
    text, policy = _load()
    body = text.replace(_TOKEN, f'content="{token}"', 1).encode()
    headers = (("Content-Security-Policy", policy),)
    return Response(body, content_type="text/html; charset=utf-8", headers=headers, tag=body)


_TOKEN = 'content="token"'  # noqa: S105 - its place in the page


_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})


@cache
def _load() -> tuple[str, str]:
    text = Path(__file__).with_name("page.html").read_text("utf-8")
    return text, policy_of(text)


def escape(text: str) -> str:
    """Return text as it is written in HTML; the module ``html`` has all named characters, 0.5 MiB."""
    return text.translate(_MARKUP)


def policy_of(text: str, *, forms: str = "'none'") -> str:
    """Return the content policy of a page; ``forms``: where its forms may lead."""
    return "; ".join(
        (
            "default-src 'none'",
            *([f"script-src {hashes}"] if (hashes := _hashes(text, "script")) else []),
            f"style-src {_hashes(text, 'style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            f"form-action {forms}",
            "frame-ancestors 'none'",
        )
    )


def _hashes(text: str, tag: str) -> str:
    bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode("ascii") for body in bodies)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
