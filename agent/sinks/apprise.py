"""Apprise: further services, in a process of its own.

As a program it sends one notice: the address, title and text come on standard input, so that no argument
shows the address. Exit code 0: taken, 3: the package is missing, 4: no service of this address, else not.
Where memory is short this process is ended before the agent, whose secrets it does not have.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from agent.sinks.sink import Answer, Delivered, Refused, Retry
from agent.sinks.worker import AnswerLink, ReceiverError, footer

LIMIT_S = 60.0
MAX_DATA = 128 * 2**20  # bytes of its memory; it needs 50 MiB
_KEPT = frozenset({"PATH", "PYTHONPATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"})  # of the environment
TAKEN, FAILED, MISSING, UNKNOWN = 0, 1, 3, 4
_TYPES = {"critical": "failure", "warning": "warning", "info": "info"}
_NOT_INSTALLED = ReceiverError(
    "Apprise is not installed", "install the extra: pip install 'edge-agent[apprise]'"
)


class Apprise:
    """Starts one process for each notice."""

    def __init__(self, title: str, *, address: Callable[[], str], answer: AnswerLink) -> None:
        self.title = title
        self._address = address
        self._answer = answer

    def deliver(self, payload: bytes, properties: Mapping[str, str]) -> Answer:  # noqa: ARG002 - no service takes an id
        """Send one notice."""
        notice = json.loads(payload)
        kind = "success" if notice["event"] == "cleared" else _TYPES[notice["severity"]]
        body = "\n".join((notice["text"], *footer(notice, self._answer)))
        try:
            code = self._run({"title": notice["title"], "body": body, "kind": kind})
        except ReceiverError as error:
            return Refused(reason=str(error), remedy=error.remedy)
        if code == TAKEN:
            return Delivered()
        if code == MISSING:
            return Refused(reason=str(_NOT_INSTALLED), remedy=_NOT_INSTALLED.remedy)
        if code == UNKNOWN:
            return Refused(reason="no service of Apprise has this address", remedy="correct url_file")
        return Retry(after_s=0.0, reason="the service behind Apprise did not take it")

    def probe(self) -> str:
        """Look whether the package is there and knows the address."""
        code = self._run({})
        if code == MISSING:
            raise _NOT_INSTALLED
        if code == UNKNOWN:
            raise ReceiverError("no service of Apprise has this address", "correct url_file")
        return "Apprise knows the address"

    def _run(self, order: dict[str, str]) -> int:
        text = json.dumps({"url": self._address(), **order})
        try:
            done = subprocess.run(
                [sys.executable, "-m", "agent.sinks.apprise"],
                input=text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=LIMIT_S,
                check=False,
                env={
                    name: value
                    for name, value in os.environ.items()
                    if name in _KEPT or name.lower().endswith("_proxy")
                },
            )
        except (subprocess.TimeoutExpired, OSError):
            return FAILED
        return done.returncode


def main() -> int:
    """Send what standard input asks for, in the process of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA, MAX_DATA))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    try:
        import apprise  # noqa: PLC0415 - only this process has it
    except ImportError:
        return MISSING
    order = json.load(sys.stdin)
    services = apprise.Apprise()
    if not services.add(order["url"]):
        return UNKNOWN
    if "body" not in order:
        return TAKEN
    sent = services.notify(title=order["title"], body=order["body"], notify_type=order["kind"])
    return TAKEN if sent else FAILED


if __name__ == "__main__":
    sys.exit(main())
