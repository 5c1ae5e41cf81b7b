"""``edge-agent run``: the agent, until SIGTERM or Ctrl-C."""

import argparse

from agent.app.app import run as run_agent
from agent.commands.ending import FAULT, complain
from agent.commands.printing import UnavailableError
from agent.config import load_apart
from agent.journal import JournalError, JournalStorageError
from agent.web.server import WebError


def run(args: argparse.Namespace) -> int:
    """Start the agent and return its exit code."""
    config = load_apart(args.config)
    try:
        return run_agent(config, path=args.config)
    except JournalStorageError as error:  # full, failing or read-only now: systemd shall try again
        complain(str(error))
        return FAULT
    except (JournalError, WebError) as error:
        raise UnavailableError(str(error)) from error
