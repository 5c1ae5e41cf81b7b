"""The address of a receiver and its encryption, read again for each notice."""

import ssl
from pathlib import Path
from urllib.parse import SplitResult

from agent.domain.address import split_address
from agent.sinks.worker import ReceiverError


def parts_of(address: str, schemes: tuple[str, ...], what: str) -> SplitResult:
    """Return the parts of an address that has one of ``schemes``; ``what`` is how to write it.

    Raises:
        ReceiverError: it has another one, or is wrong.
    """
    try:
        parts = split_address(address)
    except ValueError:
        raise ReceiverError("the address has a wrong host, port or sign", what) from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ReceiverError(f"the address does not begin with {schemes[-1]}://", what)
    return parts


def context_of(ca_file: Path | None) -> "ssl.SSLContext":
    """Return how to encrypt.

    Raises:
        ReceiverError: there is no certificate in ``ca_file``.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ReceiverError(
            f"{ca_file} cannot be read as a certificate", "write the authority's, in PEM, into ca_file"
        ) from None
