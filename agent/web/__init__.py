"""One small HTTP server on a local port."""

from agent.web.http import BasicAuth, Response
from agent.web.intake import MAX_CONNECTIONS, ReadingsIntake
from agent.web.page import json_response, page
from agent.web.server import MAX_SCRAPES, TIMEOUT_S, WebError, WebServer, server_tls

__all__ = [
    "MAX_CONNECTIONS",
    "MAX_SCRAPES",
    "TIMEOUT_S",
    "BasicAuth",
    "ReadingsIntake",
    "Response",
    "WebError",
    "WebServer",
    "json_response",
    "page",
    "server_tls",
]
