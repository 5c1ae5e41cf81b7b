"""Checks of TLS sockets and errors that load no OpenSSL where nothing uses TLS.

Until TLS is used, ``ssl`` is a module that is loaded by the first use of a name in it, which these avoid.
"""

import socket
import ssl
from typing import TypeGuard


def is_tls_socket(sock: socket.socket) -> "TypeGuard[ssl.SSLSocket]":
    """Return whether a socket is encrypted."""
    return _is_of_ssl(sock)


def is_tls_error(error: BaseException) -> "TypeGuard[ssl.SSLError]":
    """Return whether TLS raised it."""
    return _is_of_ssl(error)


def is_certificate_error(error: BaseException) -> "TypeGuard[ssl.SSLCertVerificationError]":
    """Return whether the certificate of the other side was refused."""
    return is_tls_error(error) and isinstance(error, ssl.SSLCertVerificationError)


def needs_reading(error: OSError) -> bool:
    """Return whether a socket has nothing to read now or, without TLS, no room to write."""
    return isinstance(error, BlockingIOError) or (
        is_tls_error(error) and isinstance(error, ssl.SSLWantReadError)
    )


def needs_writing(error: OSError) -> bool:
    """Return whether TLS must write first, for which there is no room now."""
    return is_tls_error(error) and isinstance(error, ssl.SSLWantWriteError)


def must_wait(error: OSError) -> bool:
    """Return whether a socket that does not block has nothing for now."""
    return needs_reading(error) or needs_writing(error)


def is_end_of_tls(error: BaseException) -> bool:
    """Return whether the other side ended an encrypted connection."""
    return is_tls_error(error) and isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def _is_of_ssl(one: object) -> bool:
    return any(base.__module__ == "ssl" for base in type(one).__mro__)
