"""One small HTTP server on a local port."""

from agent.web.http import BasicAuth, Response
from agent.web.page import json_response, page
from agent.web.server import WebError, WebServer, server_tls

__all__ = ["BasicAuth", "Response", "WebError", "WebServer", "json_response", "page", "server_tls"]
