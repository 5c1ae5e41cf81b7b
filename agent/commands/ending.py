"""The line and the exit code of a command that failed."""

import contextlib
import errno
import sys
from pathlib import Path

from agent.commands.printing import UnavailableError, UnknownError
from agent.config import ConfigError, ConfigFaultError, one_line
from agent.journal import JournalError
from agent.testing.time_scale import TimeScaleRefusedError

USAGE = 2
UNAVAILABLE = 69
FAULT = 70
_OUTPUT_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def report(error: Exception, *, path: Path | None) -> int:
    """Print what a command raised, for people, and return the exit code; ``path``: its configuration."""
    match error:
        case ConfigError():
            place = "configuration" if path is None else str(path)
            for problem in error.problems:
                complain(problem if problem.startswith(place) else f"{place}: {problem}")
            return USAGE
        case ConfigFaultError():
            complain(str(error))
            return FAULT
        case UnknownError() | TimeScaleRefusedError():
            complain(str(error))
            return USAGE
        case UnavailableError() | JournalError():
            complain(str(error))
            return UNAVAILABLE
        case OSError(filename=str() | bytes() | int() as name):
            complain(f"{name!s}: {error.strerror}; correct the path, or run this as the file's owner")
            return UNAVAILABLE
        case OSError(errno=number) if number in _OUTPUT_FAULTS:
            complain(f"output: cannot be written: {error.strerror}")
            return UNAVAILABLE
    from agent.observe.logs import frames  # noqa: PLC0415 - only for a fault of ours

    complain(f"a fault of ours: {frames(error)}; please report this line")
    return FAULT


def complain(line: str) -> None:
    """Print one line on stderr, with the name of the program."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(f"edge-agent: {one_line(line)}", file=sys.stderr)
