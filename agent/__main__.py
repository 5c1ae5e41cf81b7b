"""`python -m agent` and the `edge-agent` command."""

import sys

from agent.cli import main as run_command


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_command())


if __name__ == "__main__":
    main()
