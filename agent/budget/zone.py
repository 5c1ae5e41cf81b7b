"""The time zone that hours, days and months of the budget begin in."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALTIME = Path("/etc/localtime")


def find_zone(
    name: str | None, *, environ: Mapping[str, str] | None = None, localtime: Path = LOCALTIME
) -> tzinfo:
    """Return the zone ``name``, else that of ``TZ``, else the system's; each with its summer time.

    Raises:
        ZoneInfoNotFoundError: ``name`` is given and unknown.
    """
    if name is not None:
        return ZoneInfo(name)
    wanted = (os.environ if environ is None else environ).get("TZ", "").removeprefix(":")
    if wanted:
        with suppress(OSError, ValueError, KeyError):
            return _read(Path(wanted)) if wanted.startswith("/") else ZoneInfo(wanted)
    with suppress(OSError, ValueError):
        return _read(localtime)
    return UTC


def _read(path: Path) -> ZoneInfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=str(path))
