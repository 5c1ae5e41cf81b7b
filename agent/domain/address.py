"""Addresses as people write them, taken apart strictly. Pure."""

from urllib.parse import SplitResult, urlsplit


def split_address(value: str) -> SplitResult:
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
