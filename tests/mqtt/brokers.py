"""Brokers other than Mosquitto: old ones, starting ones; files for TLS."""

import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

REFUSALS = {
    "0x84": b"\x20\x03\x00\x84\x00",  # as MQTT 5 has it
    "0x01": b"\x20\x02\x00\x01",  # as MQTT 3.1.1 has it
    "hang up": b"",
}


class Front:
    """Listens on a free loopback port; each connection is a thread in ``_talk``."""

    def __init__(self) -> None:
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._socks):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(60)

    def _spawn(self, body: object, *args: object) -> None:
        thread = threading.Thread(target=body, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._socks.append(client)
                self._spawn(self._talk, client)

    def _talk(self, client: socket.socket) -> None:
        raise NotImplementedError


class OldBroker(Front):
    """Answers a CONNECT of version 5 with ``refusal`` and closes; passes 3.1.1 on to a Mosquitto.

    With ``hang_ups`` it closes so many connections of any version, then passes on all: a broker that is
    starting behind a proxy.
    """

    def __init__(self, target: int, *, refusal: str | None = None, hang_ups: int = 0) -> None:
        self.versions: list[int] = []
        self._target = target
        self._refusal = refusal
        self._hang_ups = hang_ups
        super().__init__()

    def _talk(self, client: socket.socket) -> None:
        with suppress(OSError):
            hello = client.recv(65536)
            version = hello[hello.index(b"MQTT") + 4]
            self.versions.append(version)
            if self._hang_ups or (version == 5 and self._refusal is not None):
                self._hang_ups = max(0, self._hang_ups - 1)
                client.sendall(REFUSALS.get(self._refusal or "", b""))
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._socks.append(server)
            server.sendall(hello)
            self._spawn(self._pass, client, server)
            self._pass(server, client)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
CONNACK = b"\x20\x03\x00\x00\x00"


class ScriptedBroker(Front):
    """Answers the packets of version 5 connections according to ``script``.

    ``script`` maps a packet type (1 CONNECT, 3 PUBLISH, 8 SUBSCRIBE, 10 UNSUBSCRIBE) to a function of the
    packet's body that returns the bytes to send; what it lacks stays without an answer.
    """

    def __init__(self, script: Mapping[int, Callable[[bytes], bytes]]) -> None:
        self.packets: list[tuple[int, bytes]] = []  # first byte and body, in order
        self._script = script
        super().__init__()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream, suppress(OSError):
            self._serve(client, stream)

    def _serve(self, client: socket.socket, stream: BinaryIO) -> None:
        while first := stream.read(1):
            length = shift = 0
            while True:
                byte = stream.read(1)[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            body = stream.read(length)
            self.packets.append((first[0], body))
            answer = self._script.get(first[0] >> 4)
            if answer is not None:
                client.sendall(answer(body))


class Authority:
    """A certificate authority in ``folder``, made with the openssl command."""

    def __init__(self, folder: Path, name: str = "test-ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            *f"req -x509 {NEW_KEY} -days 2 -subj /CN={name}".split(),
            *("-keyout", self._key, "-out", self.ca),
        )

    def issue(self, name: str, alt: str, *, days: int = 1) -> tuple[Path, Path]:
        """Return certificate and key for ``name`` with the subject alternative name ``alt``."""
        key, request, cert = (self._folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        extension = self._folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={alt}\n")
        self._openssl(
            *f"req {NEW_KEY} -subj /CN={name}".split(),
            "-keyout",
            key,
            "-out",
            request,
        )
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial"),
            *("-out", cert, "-days", str(days), "-extfile", extension),
        )
        return cert, key

    def _openssl(self, *arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
