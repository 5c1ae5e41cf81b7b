"""Encoded forms of a secret: plain, escaped, percent-encoded, base64, hex."""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, quote_plus

MIN_INSIDE = 8  # characters of base64 that are masked within a longer text
_ESCAPED = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_BITS = 6  # that one character of base64 holds


def forms_of(secret: str) -> tuple[str, ...]:
    """Return the texts to look for where ``secret`` must not be shown, the longest first."""
    raw = secret.encode("utf-8", "surrogateescape")
    found = {secret, raw.hex(), raw.hex().upper()}
    for text in _escaped(secret):
        found |= {text, *_escaped(text)}  # JSON within JSON as well
    for safe in ("", "/", "-_.~!*'()"):
        text = quote(secret, safe=safe, errors="replace")
        found |= {text, re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), text)}
    found.add(quote_plus(secret, errors="replace"))
    found |= set(_base64_forms(raw))
    return tuple(sorted(found, key=len, reverse=True))


def holds(text: str, forms: Iterable[str]) -> bool:
    """Return whether one of ``forms`` is in ``text``."""
    for form in forms:  # noqa: SIM110 -- any() with a generator costs three times as much
        if form in text:
            return True
    return False


def mask_forms(text: str, forms: Sequence[str], mask: str) -> str:
    """Return ``text`` with ``mask`` in place of ``forms``, also where JSON spells them by code points."""
    if "\\u00" in text and holds(plain := _unescaped(text), forms):
        text = plain
    for form in forms:
        if form in text:
            text = text.replace(form, mask)
    return text


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _escaped(text: str) -> Iterable[str]:
    for ascii_only in (True, False):
        inner = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield inner
        yield inner.replace("/", "\\/")


def _base64_forms(raw: bytes) -> Iterable[str]:
    """Yield ``raw`` in base64, and what of it does not depend on its neighbours inside a longer text."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode("ascii")
        yield whole
        for before in range(3):
            first = -(-8 * before // _BITS)
            last = 8 * (before + len(raw)) // _BITS
            inside = encode(bytes(before) + raw).decode("ascii")[first:last]
            if len(inside) >= MIN_INSIDE:
                yield inside
