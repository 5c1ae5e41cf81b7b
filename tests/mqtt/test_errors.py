"""Faults of the link in words."""

import errno
import socket
import ssl

import pytest

from agent.mqtt.errors import of_code, of_error
from agent.mqtt.wire import WireError

ADDRESS = "mqtts://broker:8883"


def refused_certificate(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_message = message
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused_certificate("certificate is not yet valid"), "check this machine's clock"),
        (refused_certificate("certificate has expired"), "check this machine's clock"),
        (refused_certificate("Hostname mismatch, certificate is not valid for 'b'"), "write the host"),
        (refused_certificate("self-signed certificate"), "set mqtt.ca_file"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "check that the port speaks TLS"),
        (ssl.SSLEOFError(8, "EOF"), "the connection was reset"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (TimeoutError(), "no answer"),
        (ConnectionRefusedError(), "start the broker"),
        (OSError(errno.ENETUNREACH, "x"), "no route"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route"),
        (ConnectionResetError(), "was reset"),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/key"), "/etc/key: Permission denied"),
        (ValueError("odd"), "odd"),
        (RuntimeError(), "RuntimeError"),
        (ConnectionResetError(), "write mqtt:// in mqtt.url"),
        (WireError("closed by the broker"), "closed by the broker: it is tried again; if the port"),
    ],
)
def test_error_in_words(error: BaseException, words: str) -> None:
    """Each fault names the event and the remedy."""
    assert words in str(of_error(error, ADDRESS))


def test_a_plain_port_may_want_tls() -> None:
    """A broker that hangs up before it answers may speak TLS; one that had let us in does not."""
    assert "write mqtts://" in str(of_error(ConnectionResetError(), "mqtt://broker:8883"))
    assert "mqtts" not in str(of_error(ConnectionResetError(), "mqtt://broker:1883", accepted=True))


def test_words_are_bounded_and_printable() -> None:
    """Whatever an error holds, a line of it is short and safe for a terminal."""
    trouble = of_error(ValueError("\x1b[31m\n" + "x" * 9999), ADDRESS)
    assert len(trouble.what) <= 240
    assert trouble.what.isprintable()


@pytest.mark.parametrize("code", range(0x80, 0x100))
def test_every_code_has_words(code: int) -> None:
    """A reason code that nobody knows still makes a sentence with its number."""
    trouble = of_code(code)
    assert f"0x{code:02x}" in trouble.what
    assert trouble.remedy
