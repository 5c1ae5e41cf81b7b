"""One small HTTP server on a local port."""

from agent.web.actions import Actions
from agent.web.command_intake import CommandIntake
from agent.web.http import BasicAuth, Request, Response
from agent.web.intake import MAX_CONNECTIONS, ReadingsIntake
from agent.web.notice_answers import NoticeAnswers
from agent.web.page import page
from agent.web.runbook import runbook
from agent.web.server import MAX_SCRAPES, TIMEOUT_S, PostRoute, WebError, WebServer, server_tls

__all__ = [
    "MAX_CONNECTIONS",
    "MAX_SCRAPES",
    "TIMEOUT_S",
    "Actions",
    "BasicAuth",
    "CommandIntake",
    "NoticeAnswers",
    "PostRoute",
    "ReadingsIntake",
    "Request",
    "Response",
    "WebError",
    "WebServer",
    "page",
    "runbook",
    "server_tls",
]
