"""`python -m agent` and the `edge-agent` command."""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code; what it writes is for its own user alone."""
    os.umask(0o077)
    try:
        from agent.cli import main as run_command  # noqa: PLC0415 - Ctrl-C may come while the modules are loaded

        code = run_command()
    except KeyboardInterrupt:
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
