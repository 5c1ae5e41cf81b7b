"""Mail over SMTP: one plain message for each notice, with a fixed Message-ID."""

import json
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from agent.sinks.address import context_of, parts_of
from agent.sinks.http_post import bad_certificate, words
from agent.sinks.sink import Answer, Delivered, Refused, Retry
from agent.sinks.smtp_session import TIMEOUT_S, Session, TlsSession
from agent.sinks.worker import AnswerLink, ReceiverError, footer

PORTS = {"smtp": 587, "smtps": 465}
WAIT_S = 900.0  # for a receiver that is refused for a time, while others are not
MAX_SINCE = 100
_TEMPORARY = range(400, 500)
_TAKEN = (250, 251)
_POLICY = SMTP.clone(cte_type="7bit")  # any server takes it, also one without 8BITMIME


class Mail:
    """Sends through one server; ``local`` gives whether a host is this machine, which proves nothing by TLS.

    While a receiver is refused for a time, the others wait for it, because they would get the mail again: up
    to a quarter of an hour. One that is refused for longer, or for good, is passed to ``refused``.
    """

    def __init__(
        self,
        title: str,
        *,
        address: Callable[[], str],
        sender: str,
        to: Sequence[str],
        username: str | None,
        password: Callable[[], str | None],
        require_tls: bool,
        local: Callable[[str], bool],
        ca_file: Path | None,
        refused: Callable[[str, int], None],
        answer: AnswerLink,
    ) -> None:
        self.title = title
        self._address = address
        self._sender = sender
        self._to = tuple(to)
        self._username = username
        self._password = password
        self._require_tls = require_tls
        self._local = local
        self._ca_file = ca_file
        self._refused = refused
        self._answer = answer
        self._since: dict[str, float] = {}  # notice -> when one of its receivers was refused for a time first

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:
        """Send one notice."""
        message = self._message(json.loads(payload), properties["id"])
        try:
            with self._session() as smtp:
                return self._send(smtp, message, properties["id"])
        except ReceiverError as error:
            return Refused(reason=str(error), remedy=error.remedy)
        except ssl.SSLCertVerificationError as error:
            return bad_certificate(error)
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code in _TEMPORARY:
                return Retry(after_s=0.0, reason=f"SMTP {error.smtp_code} at the login")
            return Refused(
                reason=f"SMTP {error.smtp_code}: the login is refused",
                remedy="correct username and password_file",
                code=error.smtp_code,
            )
        except smtplib.SMTPNotSupportedError:
            return Refused(reason="the server takes no login", remedy="remove username and password_file")
        except smtplib.SMTPResponseException as error:
            return _judge(error.smtp_code, "the server refuses")
        except (OSError, smtplib.SMTPException) as error:
            return Retry(after_s=0.0, reason=words(error))

    def probe(self) -> str:
        """Connect and log in."""
        try:
            with self._session():
                host, port = self._place()[1:]
                return f"{host}:{port} takes the login" if self._username else f"{host}:{port} answers"
        except smtplib.SMTPAuthenticationError as error:
            raise ReceiverError(
                f"SMTP {error.smtp_code}: the login is refused", "correct username and password_file"
            ) from None
        except ssl.SSLCertVerificationError as error:
            refusal = bad_certificate(error)
            raise ReceiverError(refusal.reason, refusal.remedy) from None
        except (OSError, smtplib.SMTPException) as error:
            raise ReceiverError(words(error), "correct the address, or the network") from None

    def _place(self) -> tuple[str, str, int]:
        parts = parts_of(self._address(), tuple(PORTS), "write smtps://host:465 or smtp://host:587")
        if parts.username is not None:
            raise ReceiverError("the address has a user", "write username and password_file instead")
        return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme]

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """Yield a connection that is encrypted and logged in."""
        scheme, host, port = self._place()
        password = self._password()
        context = self._context(host)
        smtp = (
            TlsSession(host, port, timeout=TIMEOUT_S, context=context)
            if scheme == "smtps"
            else Session(host, port, timeout=TIMEOUT_S)
        )
        try:
            if scheme == "smtp":
                self._encrypt(smtp, host, context)
            if self._username is not None and password is not None:
                smtp.login(self._username, password)
            yield smtp
        finally:
            smtp.close()

    def _context(self, host: str) -> ssl.SSLContext:
        """Return how to encrypt; the certificate of a server on this machine is often its own work."""
        context = context_of(self._ca_file)
        if self._ca_file is None and self._local(host):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _encrypt(self, smtp: smtplib.SMTP, host: str, context: ssl.SSLContext) -> None:
        smtp.ehlo_or_helo_if_needed()
        if smtp.has_extn("starttls"):
            smtp.starttls(context=context)
        elif self._require_tls and not self._local(host):
            raise ReceiverError(
                "the server has no STARTTLS", "write smtps://, or allow it unencrypted: require_tls: false"
            )

    def _send(self, smtp: smtplib.SMTP, message: EmailMessage, identity: str) -> Answer:
        smtp.ehlo_or_helo_if_needed()
        code, _ = smtp.mail(self._sender)
        if code != 250:  # noqa: PLR2004 - of SMTP
            return _judge(code, "the sender is refused")
        codes = {one: smtp.rcpt(one)[0] for one in self._to}
        if (later := [code for code in codes.values() if code in _TEMPORARY]) and self._waits(
            identity, codes
        ):
            return Retry(after_s=0.0, reason=f"SMTP {later[0]}: a receiver is refused for now")
        refused = {one: code for one, code in codes.items() if code not in _TAKEN}
        if len(refused) == len(codes):
            return _judge(next(iter(refused.values())), "all receivers are refused")
        for one, code in refused.items():
            self._refused(one, code)
        code, _ = smtp.data(message.as_bytes())
        return Delivered() if code == 250 else _judge(code, "the message is refused")  # noqa: PLR2004 - of SMTP

    def _waits(self, identity: str, codes: Mapping[str, int]) -> bool:
        """Return whether a notice still waits for receivers that are refused for a time."""
        now = time.monotonic()
        since = self._since.setdefault(identity, now)
        if len(self._since) > MAX_SINCE:
            del self._since[next(iter(self._since))]
        taken = any(code in _TAKEN for code in codes.values())
        return not taken or now - since < WAIT_S

    def _message(self, notice: Mapping[str, str], identity: str) -> EmailMessage:
        """Return the message; it is the same for each repeat."""
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Subject"] = notice["title"]
        message["Message-ID"] = f"<{identity}.{notice['agent']}@edge-agent.invalid>"
        message["Date"] = format_datetime(datetime.fromisoformat(notice["at"]))
        message["Auto-Submitted"] = "auto-generated"
        if notice["severity"] == "critical" and notice["event"] != "cleared":
            message["Importance"] = "high"
        message.set_content("\n\n".join((notice["text"], *footer(notice, self._answer))) + "\n")
        return message


def _judge(code: int, what: str) -> Answer:
    """Return the answer for a code that is not a success."""
    if code in _TEMPORARY or code <= 0:
        return Retry(after_s=0.0, reason=f"SMTP {code}: {what}")
    return Refused(
        reason=f"SMTP {code}: {what}", remedy="correct from, to, or the rights at the server", code=code
    )
