"""Addresses: which host is this machine, and what must not be in a URL; without pydantic."""

import ipaddress
from urllib.parse import SplitResult, parse_qsl, urlsplit

from agent.observe.redact import names_a_secret

_SHORT_NAMES = frozenset({"key", "token", "sig", "signature", "code", "auth", "pass"})  # of keys in a query


def is_loopback(host: str | None) -> bool:
    """Whether ``host`` is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def split_url(value: str) -> SplitResult:
    """Return the parts of an address.

    Raises:
        ValueError: in words for a person.
    """
    try:
        parts = urlsplit(value)
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:  # its text may repeat a password
        raise ValueError("is not an address: host or port is wrong; write host:port") from None
    if value != value.strip() or not value.isprintable() or any(sign in value for sign in " \\"):
        raise ValueError("is not an address: it holds blanks or control characters; write host:port")
    return parts


def _asks_for_a_secret(name: str) -> bool:
    return name.lower() in _SHORT_NAMES or names_a_secret(name[-64:])


def refuse_credentials(value: str, remedy: str) -> SplitResult:
    """Return the parts of an address that holds neither user, password nor key.

    Raises:
        ValueError: in words for a person, without the secret.
    """
    parts = split_url(value)
    pairs = parse_qsl(f"{parts.query}&{parts.fragment}", keep_blank_values=True, separator="&")
    if "@" in parts.netloc:
        raise ValueError(f"holds a user or a password; {remedy}")
    if any(map(_asks_for_a_secret, dict(pairs))):
        raise ValueError(f"holds a key; {remedy}")
    return parts
