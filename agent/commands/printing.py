"""Output of the commands: text for people, one JSON object for programs."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.domain.records import AgentError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


class UnknownError(AgentError):
    """The user asked for something that does not exist; the text names the existing ones."""


class UnavailableError(AgentError):
    """A service that the command needs is not there."""


def print_result(
    result: dict[str, Any], to_lines: Callable[[dict[str, Any]], list[str]], *, as_json: bool
) -> None:
    """Print the result of a command, as one JSON object or as lines for people."""
    if as_json:
        print_json(result)
    else:
        print("\n".join(to_lines(result)))


def print_json(value: Any) -> None:
    """Print one JSON object; a value without a JSON number becomes null."""
    print(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def instant(at: float | None) -> str | None:
    """Return Unix seconds as an ISO 8601 time, UTC, milliseconds."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{at:.3f} s since 1970"


def number(value: float | None) -> str:
    """Return a value with at most 6 significant digits."""
    return "none" if value is None else f"{value:.6g}"


def span(seconds: float) -> str:
    """Return a duration in the unit that a person would use."""
    size = abs(seconds)
    if size < MINUTE:
        return f"{seconds:.3g} s"
    if size < HOUR:
        return f"{seconds / MINUTE:.3g} min"
    return f"{seconds / HOUR:.3g} h" if size < 2 * DAY else f"{seconds / DAY:.3g} days"


def printable(text: str) -> str:
    """Return ``text`` without characters that could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def between(low: float | None, high: float | None) -> str:
    """Return a range in words; a limit may have one side only."""
    if low is None:
        return "anything" if high is None else f"up to {number(high)}"
    return f"{number(low)} and more" if high is None else f"{number(low)} to {number(high)}"


def roughly(low: float | None, high: float | None) -> str:
    """Return a learnt range in words, with the digits that its width takes."""
    if low is None or high is None or not 0 < high - low < math.inf:
        return between(low, high)
    decimals = 2 - math.floor(math.log10(high - low))
    return between(round(low, decimals), round(high, decimals))


def many(count: int, word: str, plural: str = "") -> str:
    """Return ``1 batch`` or ``2 batches``."""
    return f"{count} {word if count == 1 else plural or word + 's'}"
