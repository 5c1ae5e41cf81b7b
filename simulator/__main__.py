"""``python -m simulator`` and the entry point ``edge-sim``."""

import sys


def main() -> None:
    """Run the command line and exit."""
    try:
        from simulator.cli import main as run  # noqa: PLC0415 - Ctrl-C may come while the modules are loaded

        code = run()
    except KeyboardInterrupt:
        print("edge-sim: ended at once", file=sys.stderr)
        code = 70  # as the command line has it
    sys.exit(code)


if __name__ == "__main__":
    main()
