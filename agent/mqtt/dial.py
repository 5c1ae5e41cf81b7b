"""Dialler: opens the broker's socket on a worker, as DNS may take minutes."""

import errno
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.address import host_bytes
from agent.mqtt.settings import LinkSettings
from agent.mqtt.takeover import TakeoverDetector

RECEIVE_BUFFER = 1 << 18


@dataclass(frozen=True, slots=True)
class Dialled:
    """A socket that is connected and, where asked for, encrypted; and the password as of now."""

    sock: socket.socket
    password: str | None = field(repr=False)
    detector: TakeoverDetector | None = None

    def close(self) -> None:
        """Close what was opened."""
        self.sock.close()
        if self.detector is not None:
            self.detector.close()


def dial(settings: LinkSettings, *, protocol: str, detect: bool = False) -> Dialled:
    """Read the secrets again, connect and do the TLS handshake; with ``detect``, a take-over detector too.

    Raises:
        OSError: a file cannot be read, the name is unknown, nothing answers, or TLS fails.
    """
    password = settings.password() if settings.password is not None else None
    context = tls_context(settings) if settings.tls else None
    detector: TakeoverDetector | None = None
    if detect:
        spare = _open(settings, context)
        detector = TakeoverDetector.open(spare, settings, v5=protocol == "5", password=password)
    try:
        sock = _open(settings, context)
    except BaseException:
        if detector is not None:
            detector.close()
        raise
    sock.settimeout(0.0)
    return Dialled(sock, password, detector)


def tls_context(settings: LinkSettings) -> "ssl.SSLContext":
    """Build the context from the files as they are now: TLS 1.2 or newer, host name checked.

    Raises:
        OSError: with the name of the file that cannot be read, or is not what it should be.
    """
    for path in (settings.ca_file, settings.cert_file, settings.key_file):
        if path is not None:
            path.open("rb").close()  # raises with the file's name, which ssl leaves out
    with _naming(settings.ca_file, "holds no certificate that can be read"):
        context = ssl.create_default_context(
            cafile=None if settings.ca_file is None else str(settings.ca_file)
        )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        with _naming(settings.cert_file, "is not a certificate, or its key is not in mqtt.key_file"):
            context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


@contextmanager
def _naming(path: Path | None, trouble: str) -> Iterator[None]:
    """Raise what is wrong with a file with its name."""
    try:
        yield
    except ssl.SSLError as error:
        raise OSError(errno.EINVAL, trouble, None if path is None else str(path)) from error


def _open(settings: LinkSettings, context: "ssl.SSLContext | None") -> socket.socket:
    sock = _connect(settings)
    try:
        return sock if context is None else context.wrap_socket(sock, server_hostname=settings.host)
    except BaseException:
        sock.close()
        raise


def _connect(settings: LinkSettings) -> socket.socket:
    """Try each address of the host in turn; raise the last error."""
    last: OSError | None = None
    for family, kind, proto, _, address in socket.getaddrinfo(
        host_bytes(settings.host), settings.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, proto)
        try:
            _tune(sock, settings)
            sock.settimeout(settings.connect_timeout_s)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last or OSError("the name has no address")


def _tune(sock: socket.socket, settings: LinkSettings) -> None:
    """Set the options that must precede the connection: the receive buffer decides the window scale."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Data that nobody acknowledges ends the connection as early as a missing PINGRESP would.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000 * settings.keepalive_s)


class Dialler:
    """Makes one attempt at a time; ``done`` is called on the worker when ``take`` has something."""

    def __init__(self, *, settings: LinkSettings, done: Callable[[], None]) -> None:
        self._settings = settings
        self._done = done
        self._results: deque[Dialled | Exception] = deque()
        self._closed = False

    def start(self, protocol: str, *, detect: bool) -> None:
        """Begin an attempt."""
        threading.Thread(target=self._attempt, args=(protocol, detect), name="mqtt-dial", daemon=True).start()

    def take(self) -> Dialled | Exception:
        """Return what an attempt brought: an open socket, or what was raised."""
        return self._results.popleft()

    def close(self) -> None:
        """Close what nobody took, now and later."""
        self._closed = True
        with suppress(IndexError):
            while True:
                result = self._results.popleft()
                if isinstance(result, Dialled):
                    result.close()

    def _attempt(self, protocol: str, detect: bool) -> None:  # noqa: FBT001 -- a thread's arguments
        try:
            self._results.append(dial(self._settings, protocol=protocol, detect=detect))
        except Exception as error:  # noqa: BLE001 -- put into words, or raised, by the net thread
            self._results.append(error)
        self._done()
        if self._closed:
            self.close()
