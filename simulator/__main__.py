"""``python -m simulator`` and the entry point ``edge-sim``."""

import sys

from simulator.cli import main as run


def main() -> None:
    """Run the command line and exit."""
    sys.exit(run())


if __name__ == "__main__":
    main()
