"""Check of readings over HTTP: the addresses that take messages."""

import http.client
import ssl
from collections.abc import Iterator
from http import HTTPStatus

from agent.commands.checks.line import Line, ok, warn
from agent.commands.printing import printable
from agent.config import Config
from agent.decode.posted import DATA_PATH, DATA_TOPIC

PROBE_S = 3.0
_CHECK = "web.intake"


def look_at_intake(config: Config, *, agent: int | None) -> Iterator[Line]:
    """Report where readings can be posted, and ask the agent that runs as process ``agent``, if any."""
    web = config.web
    if not web.intake:
        return
    posted = [source.topic for source in config.sources if source.posted]
    scheme = "http" if web.cert_file is None else "https"
    topics = ", ".join(printable(topic) for topic in posted if topic != DATA_TOPIC)
    more = f", and /intake/<path> for {topics}" if topics else ""
    yield ok(_CHECK, f"POST {scheme}://{web.listen}{DATA_PATH}{more}; not subscribed at the broker")
    if agent is None:
        return
    try:
        status = _ask(config)
    except (OSError, http.client.HTTPException) as error:
        yield warn(
            _CHECK, f"no answer on {web.listen}: {error}", "look at the agent's log; is web.listen the same?"
        )
        return
    # A GET of an address that takes readings is refused with its one method; nothing is posted.
    if status == HTTPStatus.METHOD_NOT_ALLOWED or (status == HTTPStatus.UNAUTHORIZED and web.username):
        yield ok(_CHECK, f"process {agent} takes readings on {web.listen}")
    else:
        yield warn(
            _CHECK,
            f"process {agent} answers {DATA_PATH} with {status}: it runs with another configuration",
            "systemctl restart edge-agent",
        )


def _ask(config: Config) -> int:
    """Return the status of a GET of the address; the certificate is that of this machine, so unchecked."""
    host, port = config.web.host, config.web.port
    if config.web.cert_file is None:
        connection = http.client.HTTPConnection(host, port, timeout=PROBE_S)
    else:
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - nothing secret is sent
        connection = http.client.HTTPSConnection(host, port, timeout=PROBE_S, context=context)
    try:
        connection.request("GET", DATA_PATH)
        return connection.getresponse().status
    finally:
        connection.close()
