"""``edge-agent mcp``: the journal for assistants, read-only, over standard input.

A server of the Model Context Protocol, in a process of its own. It reads the journal of a running agent
as the other commands do, calls no model and writes nothing.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agent import __version__
from agent.commands.serving.protocol import MAX_LINE, Server
from agent.commands.serving.tools import INSTRUCTIONS, Tools
from agent.config import Config, load_apart


def run(args: argparse.Namespace) -> int:
    """Answer requests until the end of standard input.

    Raises:
        ConfigError: the configuration is wrong at the start.
    """
    load = reloading(args.config)
    load()
    tools = Tools(load).all()
    server = Server(
        name="edge-agent", version=__version__, instructions=INSTRUCTIONS, tools=tools, fail=report
    )
    serve(server, sys.stdin.buffer, sys.stdout.buffer)
    return 0


def serve(server: Server, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer one line after the other; of a line that is too long only the beginning is kept."""
    while line := requests.readline(MAX_LINE + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := requests.readline(MAX_LINE)):
            pass
        if not line.strip():
            continue
        reply = server.answer(line)
        if reply is not None:
            replies.write(reply)
            replies.flush()


def reloading(path: Path) -> Callable[[], Config]:
    """Return a function that reads the file again when it has changed: names may be withdrawn at any time."""
    last: tuple[tuple[int, ...], Config] | None = None

    def load() -> Config:
        nonlocal last
        version: tuple[int, ...] = ()
        with suppress(OSError):  # loading it names the fault
            found = path.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
        if last is None or last[0] != version:
            last = None
            last = version, load_apart(path)
        return last[1]

    return load


def report(error: Exception) -> str:
    """Print a fault of ours for the user, and return the words for the client."""
    from agent.observe.logs import frames  # noqa: PLC0415 - a session that goes well does without

    print(f"edge-agent: a fault of ours: {frames(error)}; please report this line", file=sys.stderr)
    return "a fault of the agent; the standard error of edge-agent mcp has its place"
