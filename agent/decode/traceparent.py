"""W3C Trace Context: the ``traceparent`` that may come with a message."""

import re

_FORM = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?",
    re.ASCII,
)
_LENGTH = 55


def read_traceparent(given: object) -> str | None:
    """Return a valid ``traceparent`` in the form of version 00, else None (W3C Trace Context, 3.2).

    A later version may append fields, which are cut off as the recommendation asks.
    """
    if not isinstance(given, str):
        return None
    found = _FORM.fullmatch(given)
    if found is None or (found["version"] == "00" and found["more"] is not None):
        return None
    return "00" + given[2:_LENGTH]
