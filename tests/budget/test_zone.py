"""Which zone the budget's days begin in."""

from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.budget.periods import find_zone

BERLIN = "Europe/Berlin"


def offsets(zone: tzinfo) -> list[timedelta | None]:
    return [datetime(2026, month, 15, 12, tzinfo=zone).utcoffset() for month in (1, 7)]


@pytest.fixture
def localtime(tmp_path: Path) -> Path:
    """A copy of a zone file, as /etc/localtime is one."""
    path = next(Path(folder) / BERLIN for folder in ("/usr/share/zoneinfo",) if Path(folder).is_dir())
    copy = tmp_path / "localtime"
    copy.write_bytes(path.read_bytes())
    return copy


def test_each_source_of_the_zone_follows_summer_time(localtime: Path) -> None:
    """The configured name, TZ as a name or a file, and the system's file all know both offsets."""
    for zone in (
        find_zone(BERLIN, environ={"TZ": "UTC"}, localtime=Path("/nowhere")),
        find_zone(None, environ={"TZ": f":{BERLIN}"}, localtime=Path("/nowhere")),
        find_zone(None, environ={"TZ": str(localtime)}, localtime=Path("/nowhere")),
        find_zone(None, environ={}, localtime=localtime),
        find_zone(None, environ={"TZ": "No/Such_Zone"}, localtime=localtime),
    ):
        assert offsets(zone) == offsets(ZoneInfo(BERLIN)) == [timedelta(hours=1), timedelta(hours=2)]


def test_without_any_zone_the_days_are_utc(tmp_path: Path) -> None:
    """A missing or damaged zone file stops nothing."""
    (tmp_path / "damaged").write_bytes(b"no zone")
    assert find_zone(None, environ={}, localtime=tmp_path / "none") is UTC
    assert find_zone(None, environ={}, localtime=tmp_path / "damaged") is UTC
