"""Parts that several commands share: exit codes, options, Ctrl-C."""

import argparse
import contextlib
import signal
import sys
import threading
from datetime import UTC, datetime
from types import FrameType

BROKER_LIMIT_S = 2.0
EXIT_OK, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_FAULT = 0, 2, 69, 70

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for the result of add_subparsers


def complain(line: str, code: int) -> int:
    """Print the problem in one line on stderr; return ``code``."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(f"edge-sim: {line}", file=sys.stderr)
    return code


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def interrupt_on_sigterm() -> None:
    """Take SIGTERM as Ctrl-C, so that broker and agents are ended."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, interrupt)


def positive(text: str) -> float:
    """Read a number above 0 and below 1e7 (115 days, where it is seconds)."""
    value = float(text)
    if not 0 < value < 1e7:  # noqa: PLR2004 - 115 days
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def seconds(text: str) -> float | None:
    """Read a number of seconds; 0 is without end."""
    return None if text == "0" else positive(text)


def moment(text: str) -> float:
    """Read a moment: Unix seconds, or ISO 8601 (UTC where it names no zone)."""
    try:
        value = float(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 2026-01-31T12:00:00Z") from None
        value = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if not 0 < value < 1e11:  # noqa: PLR2004 - the year 5138
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1970 and 5138; write Unix seconds")
    return value


def address(text: str) -> tuple[str, int]:
    """Read ``mqtt://host:port``; scheme and port may be left out."""
    host, _, port = text.removeprefix("mqtt://").rstrip("/").partition(":")
    if not host or not (port or "1883").isdecimal() or not 0 <= int(port or "1883") <= 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not an address; write mqtt://host:1883")
    return host, int(port or "1883")


def port(text: str) -> int:
    """Read a port's number; 0 is one that is free."""
    if not text.isascii() or not text.isdecimal() or int(text[:6]) > 65_535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write 0 to 65535")
    return int(text)


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Add ``--broker``, the address of a broker that runs."""
    parser.add_argument("--broker", type=address, default=("127.0.0.1", 1883), metavar="mqtt://HOST:PORT")


def add_pace(parser: argparse.ArgumentParser) -> None:
    """Add ``--for``, ``--speed`` and ``--seed``."""
    parser.add_argument(
        "--for", dest="for_s", type=seconds, metavar="SECONDS", help="0 or left out: until Ctrl-C"
    )
    parser.add_argument("--speed", type=positive, default=1.0, metavar="N", help="event seconds per second")
    parser.add_argument("--seed", type=int, default=1)
