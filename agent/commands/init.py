"""``edge-agent init [FILE]``: writes the commented default configuration."""

import argparse
from pathlib import Path

from agent.commands.discovery.written import default_text, write
from agent.config import one_line


def run(args: argparse.Namespace) -> int:
    """Write the file, or print it for ``-``."""
    if str(args.file) == "-":
        print(default_text(Path("agent.yaml")), end="")
        return 0
    write(args.file, default_text(args.file), force=args.force)
    print(
        one_line(f"{args.file} written. Name your topics in it, then: edge-agent check --config {args.file}")
    )
    return 0
