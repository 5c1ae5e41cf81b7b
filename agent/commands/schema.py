"""``edge-agent schema``: prints the JSON Schema of a published message."""

import argparse
import json

from agent.verdict.encode import published_schema


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(json.dumps(published_schema(args.name), indent=2, ensure_ascii=False))
    return 0
