"""Real HTTP and SMTP servers that count what reaches them, with faults."""

import json
import socketserver
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self


@dataclass
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class HttpReceiver:
    """Takes POSTs; ``replies`` are the next answers: (status, headers), or None to close without one."""

    replies: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    taken: list[Post] = field(default_factory=list)  # answered with 2xx, or stored before the answer was lost
    delay_s: float = 0.0

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                post = Post(self.path, dict(self.headers.items()), body, time.monotonic())
                receiver.posts.append(post)
                time.sleep(receiver.delay_s)
                reply = receiver.replies.pop(0) if receiver.replies else (204, {})
                if reply is None:
                    receiver.taken.append(post)  # and the answer is lost
                    self.close_connection = True
                    return
                status, headers = reply
                if status < 300:
                    receiver.taken.append(post)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Its port."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def ids(self) -> Counter[str]:
        """Count the notices that it has taken, by idempotency key."""
        return Counter(post.headers["Idempotency-Key"] for post in self.taken)


@dataclass
class Mailbox:
    """An SMTP server; ``codes`` maps a verb, or a receiver's address, to its next replies."""

    codes: dict[str, list[int]] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    extensions: tuple[str, ...] = ("AUTH PLAIN",)
    certificate: tuple[Path, Path] | None = None  # and its key: it offers STARTTLS
    implicit: bool = False  # or speaks TLS from the start
    encrypted: int = 0  # connections that became so
    plain: list[str] = field(default_factory=list)  # verbs that came unencrypted
    delay_s: float = 0.0  # before the answer to a mail

    def __enter__(self) -> Self:
        mailbox = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if mailbox.implicit and not self.encrypt():
                    return
                self.say("220 ready")
                while line := self.rfile.readline().decode().strip():
                    verb = line.split(maxsplit=1)[0].upper()
                    if verb == "QUIT":
                        return
                    if not isinstance(self.request, ssl.SSLSocket):
                        mailbox.plain.append(verb)
                    if verb == "STARTTLS":
                        self.say(f"{(code := mailbox.next(verb, 220))} said")
                        if code == 220 and not self.encrypt():
                            return
                        continue
                    if verb in {"EHLO", "HELO"}:
                        self.say("250-here")
                        if mailbox.certificate and not isinstance(self.request, ssl.SSLSocket):
                            self.say("250-STARTTLS")
                        for name in mailbox.extensions:
                            self.say(f"250-{name}")
                        self.say("250 SIZE 100000")
                    elif verb == "AUTH":
                        mailbox.logins.append(line)
                        self.say(f"{mailbox.next('AUTH', 235)} said")
                    elif verb == "RCPT":
                        address = line[line.index("<") + 1 : line.index(">")]
                        self.say(f"{mailbox.next(address, 250)} said")
                    elif verb == "DATA":
                        if not self.take_mail():
                            return
                    else:
                        self.say(f"{mailbox.next(verb, 250)} said")

            def encrypt(self) -> bool:
                assert mailbox.certificate is not None
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*mailbox.certificate)
                try:
                    self.request = context.wrap_socket(self.request, server_side=True)
                except OSError:  # the client does not like the certificate
                    return False
                self.connection = self.request
                self.setup()
                mailbox.encrypted += 1
                return True

            def finish(self) -> None:
                super().finish()
                self.request.close()  # of TLS it is one of its own

            def take_mail(self) -> bool:
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                code = mailbox.next("DATA", 250)
                if code in (0, 250):
                    mail = message_from_bytes(b"".join(lines), policy=policy.default)
                    assert isinstance(mail, EmailMessage)
                    mailbox.mails.append(mail)
                time.sleep(mailbox.delay_s)
                if code:
                    self.say(f"{code} said")
                return bool(code)  # 0: the answer is lost

            def say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self, key: str, usual: int) -> int:
        """Return the next reply for ``key``."""
        return self.codes[key].pop(0) if self.codes.get(key) else usual

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'smtps' if self.implicit else 'smtp'}://127.0.0.1:{self._server.server_address[1]}"

    def ids(self) -> Counter[str]:
        """Count the mails by their Message-ID."""
        return Counter(str(mail["Message-ID"]) for mail in self.mails)
