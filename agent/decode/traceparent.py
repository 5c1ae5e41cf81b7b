"""W3C Trace Context: the ``traceparent`` of a message."""

import re

from agent.decode.family import Properties

_FORM = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?",
    re.ASCII,
)
_LENGTH = 55


def find_traceparent(properties: Properties, in_payload: object) -> tuple[str | None, bool]:
    """Return the first valid one, user property first, and whether a bad one was passed over."""
    given = [next((text for name, text in properties if name == "traceparent"), None), in_payload]
    bad = False
    for candidate in given:
        if candidate is not None:
            valid = _read(candidate)
            if valid is not None:
                return valid, bad
            bad = True
    return None, bad


def _read(given: object) -> str | None:
    """Return a valid ``traceparent`` in the form of version 00, else None (W3C Trace Context, 3.2).

    A later version may append fields, which are cut off as the recommendation asks.
    """
    if not isinstance(given, str):
        return None
    found = _FORM.fullmatch(given)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return "00" + given[2:_LENGTH]
