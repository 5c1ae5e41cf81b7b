"""Error text for faults of the link: what happened, and what to do about it."""

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.tls import is_certificate_error, is_end_of_tls, is_tls_error
from agent.mqtt.wire import WireError

if TYPE_CHECKING:
    import ssl

MAX_WORDS = 240
TAKEN_OVER = 0x8E
UNSUPPORTED_PROTOCOL = 0x84
PACKET_TOO_LARGE = 0x95
TOPIC_INVALID = 0x90
REFUSED = 0x80


@dataclass(frozen=True, slots=True)
class ErrorText:
    """One fault of the link; printable and bounded, without secrets."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


NOT_STORED = ErrorText(
    "the journal does not store the attempt to connect",
    "look at the disk of agent.state_dir; it is tried again",
)

_BY_CODE: dict[int, tuple[str, str]] = {
    0x81: ("the broker found our packet malformed", "report it with the broker's version"),
    0x82: ("the broker saw a protocol error", "report it with the broker's version"),
    0x84: ("the broker does not speak this MQTT version", "set mqtt.protocol, or update the broker"),
    0x85: ("the broker refused the client id", "set mqtt.client_id to one that it allows"),
    0x86: ("the broker refused user name or password", "correct mqtt.username and mqtt.password_file"),
    0x87: (
        "the broker does not let this client in",
        "correct mqtt.username and mqtt.password_file, or give that user the rights it needs",
    ),
    0x88: ("the broker is unavailable", "look at the broker's log; it is tried again"),
    0x89: ("the broker is busy", "it is tried again"),
    0x8A: ("the broker has banned this client", "ask who runs the broker"),
    0x8B: ("the broker is shutting down", "it is tried again"),
    0x8C: ("the broker wants another kind of authentication", "enable user and password, or certificates"),
    0x8D: ("the broker received nothing within the keepalive", "look at the network and the load here"),
    0x8E: (
        "another client took over our client id",
        "two agents run with one id: give each its own agent.id or mqtt.client_id",
    ),
    0x93: ("too many messages are in flight for the broker", "report it with the broker's version"),
    0x95: ("a packet was larger than the broker allows", "raise the broker's max_packet_size"),
    0x96: ("the broker finds our message rate too high", "raise the broker's limit"),
    0x97: ("the broker's quota is used up", "raise the broker's quota for this client"),
    0x98: ("an administrator of the broker disconnected this client", "ask who runs the broker"),
    0x9A: ("the broker keeps no retained messages", "enable retain on the broker"),
    0x9B: ("the broker does not support QoS 1", "use a broker that does"),
    0x9C: ("the broker sends us to another server", "set mqtt.url to that server"),
    0x9D: ("the broker has moved", "set mqtt.url to its new place"),
    0x9F: ("the broker finds that we connect too often", "it is tried again more slowly"),
    0xA2: ("the broker does not allow wildcards", "name the topics in sources one by one"),
}


def of_code(code: int) -> ErrorText:
    """Describe the reason code of a CONNACK or a DISCONNECT (MQTT 5, section 2.4)."""
    what, remedy = _BY_CODE.get(code, ("the broker ended the connection", "look at the broker's log"))
    return ErrorText(f"{what} (0x{code:02x})", remedy)


def of_refusal(address: str) -> ErrorText:
    """Return why a broker closed the connection that has just refused a publish of ours."""
    return ErrorText(
        f"{address}: closed by the broker after it refused a publish",
        "allow this user to write below mqtt.base_topic",
    )


def of_error(error: BaseException, address: str, *, accepted: bool = False) -> ErrorText:
    """Describe an exception of the attempt to connect to ``address``, or of the connection.

    ``accepted``: the broker had accepted the connection.
    """
    if isinstance(error, ConnectionResetError | BrokenPipeError) or is_end_of_tls(error):
        return ErrorText(f"{address}: the connection was reset", _hang_up(address, accepted=accepted))
    if is_tls_error(error):
        return _of_tls(error, address)
    match error:
        case socket.gaierror():
            return ErrorText(f"{address}: the name cannot be resolved", "check mqtt.url and the name server")
        case TimeoutError():
            return ErrorText(f"{address}: no answer", "check the address, the network and the firewall")
        case ConnectionRefusedError():
            return ErrorText(f"{address}: nothing listens there", "start the broker or correct mqtt.url")
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
            return ErrorText(f"{address}: no route", "check the network; it is tried again")
        case OSError(filename=str() | bytes() as name):
            return ErrorText(_bounded(f"{name!s}: {error.strerror}"), "correct the path or its rights")
        case WireError():
            return ErrorText(f"{address}: {error}", _hang_up(address, accepted=accepted))
        case _:
            return ErrorText(
                _bounded(f"{address}: {str(error) or type(error).__name__}"), "it is tried again"
            )


def _hang_up(address: str, *, accepted: bool) -> str:
    """Return the remedy for a hang-up; before the CONNACK the scheme of the URL may be wrong."""
    if accepted:
        return "it is tried again"
    if address.startswith("mqtts"):
        return "it is tried again; if the port does not speak TLS, write mqtt:// in mqtt.url"
    return "it is tried again; if the port speaks TLS, write mqtts:// in mqtt.url"


def _of_tls(error: "ssl.SSLError", address: str) -> ErrorText:
    if is_certificate_error(error):
        return _of_certificate(error, address)
    what = _bounded(f"{address}: no TLS connection ({getattr(error, 'reason', None) or error})")
    return ErrorText(what, "check that the port speaks TLS and that mqtt.cert_file is the one it asks for")


def _of_certificate(error: "ssl.SSLCertVerificationError", address: str) -> ErrorText:
    what = _bounded(f"{address}: the broker's certificate was refused ({error.verify_message})")
    if "not yet valid" in error.verify_message or "expired" in error.verify_message:
        return ErrorText(what, "check this machine's clock, then the certificate; it is tried again")
    if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
        return ErrorText(what, "write the host in mqtt.url as the certificate has it")
    return ErrorText(what, "set mqtt.ca_file to the authority that signed it")


def _bounded(words: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in words[:MAX_WORDS])
