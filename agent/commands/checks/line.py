"""One finding of the doctor."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: a failure keeps the agent from its promises, a warning weakens them."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Line:
    """The subject of a check, its result and, unless it is well, the remedy."""

    check: str
    level: Level
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Line:
    """Return a line that needs nothing."""
    return Line(check, Level.OK, what)


def warn(check: str, what: str, remedy: str) -> Line:
    """Return a line that should be changed."""
    return Line(check, Level.WARN, what, remedy)


def fail(check: str, what: str, remedy: str) -> Line:
    """Return a line that must be changed."""
    return Line(check, Level.FAIL, what, remedy)
