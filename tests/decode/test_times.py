"""Event times: which are believed, and what replaces the others."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.decode.family import Note, TimeFrom
from agent.decode.times import Moment, moment_of, offset_of, read_time

NOW = datetime(2026, 6, 26, 12, 0, 0, tzinfo=UTC).timestamp()
SKEW_S = 300.0


@pytest.mark.parametrize(
    "given",
    [
        NOW,
        NOW * 1e3,
        NOW * 1e6,
        NOW * 1e9,
        f"{NOW:.0f}",
        f"{NOW:.3f}",
        f" {NOW * 1e3:.0f} ",
        "2026-06-26T12:00:00Z",
        "2026-06-26T12:00:00.000Z",
        "2026-06-26T12:00:00.000000000Z",
        "2026-06-26 12:00:00+00:00",
        "2026-06-26T14:00:00+02:00",
        "20260626T120000Z",
        "2026-06-26T12:00:00",
        "2026-06-26 12:00",
        "2026-06-26T12:00:00+00:00[UTC]",
        "2026-06-26T12:00:00Z[Etc/UTC]",
        "2026-06-26T12:00:00[UTC]",
        "2026-06-26 12:00:00 UTC",
        "2026/06/26 12:00:00",
        "26.06.2026 12:00:00",
    ],
)
def test_one_moment_in_many_forms(given: object) -> None:
    """Epochs of four scales and ISO 8601 mean the same moment; without a zone UTC fits the receipt."""
    assert pytest.approx(read_time(given, NOW, SKEW_S), abs=1e-3) == NOW


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("yesterday", Note.TIME_UNREADABLE),
        ("", Note.TIME_UNREADABLE),
        ("12:00:00", Note.TIME_UNREADABLE),
        ("2026-06-26", Note.TIME_UNREADABLE),
        ("2026-W26-5", Note.TIME_UNREADABLE),
        ("2026-02-30T00:00:00Z", Note.TIME_UNREADABLE),
        ("\u0661\u0667\u0661\u0668\u0660\u0660\u0660\u0660\u0660\u0660", Note.TIME_UNREADABLE),
        ("1" * 60_000, Note.TIME_UNREADABLE),
        (None, Note.TIME_UNREADABLE),
        (True, Note.TIME_UNREADABLE),
        ({"h": 1.0}, Note.TIME_UNREADABLE),
        (0.0, Note.TIME_NOT_EPOCH),
        (12.5, Note.TIME_NOT_EPOCH),
        (86_400_000.0, Note.TIME_NOT_EPOCH),
        (-NOW, Note.TIME_NOT_EPOCH),
        (1e300, Note.TIME_NOT_EPOCH),
        ("123456789", Note.TIME_NOT_EPOCH),
        ("2026-06-26T14:00:00", Note.TIME_WITHOUT_ZONE),
        ("2026-06-26T10:00:00", Note.TIME_WITHOUT_ZONE),
        ("9999-12-31T23:59:59", Note.TIME_WITHOUT_ZONE),
        ("1970-01-01T00:00:12Z", Note.TIME_TOO_OLD),
        ("2016-01-01T00:00:00+00:00", Note.TIME_TOO_OLD),
        (946_684_812.0, Note.TIME_TOO_OLD),
        (NOW + 301, Note.TIME_IN_FUTURE),
        ("2036-06-26T12:00:00Z", Note.TIME_IN_FUTURE),
        ("9999-12-31T23:59:59-23:59", Note.TIME_IN_FUTURE),
    ],
)
def test_not_believed(given: object, expected: Note) -> None:
    """A text or number without a calendar time, without a zone or ahead of the receipt is not used."""
    assert expected is read_time(given, NOW, SKEW_S)


@pytest.mark.parametrize("given", [NOW + 299, NOW - 400 * 86_400, "2020-01-01T00:00:00Z"])
def test_past_is_never_wrong(given: object) -> None:
    """A little ahead is allowed, and a backlog may be as old as it likes."""
    assert isinstance(read_time(given, NOW, SKEW_S), float)


def test_gateway_without_a_clock_believes_the_device() -> None:
    """A receipt time before 2025 is an unset clock and refuses no device's time."""
    assert read_time(NOW, 100.0, SKEW_S) == NOW


def test_zone_of_the_source() -> None:
    """A time without a zone is in that of the source; one with a zone keeps its own."""
    berlin = ZoneInfo("Europe/Berlin")
    assert read_time("2026-06-26T14:00:00", NOW, SKEW_S, berlin) == NOW
    assert read_time("2026-06-26T12:00:00Z", NOW, SKEW_S, berlin) == NOW


def test_first_readable_property_wins() -> None:
    """The user property gives the time; unreadable ones are noted and passed over."""
    properties = (("x", "1"), ("ts", "soon"), ("time", "2026-06-26T12:00:00Z"), ("timestamp", "1"))
    assert Moment(NOW, NOW + 9, TimeFrom.PROPERTY) == moment_of(properties, NOW + 9, SKEW_S)


def test_receipt_stands_in() -> None:
    """Without a readable property the receipt time is the time."""
    assert Moment(NOW, NOW) == moment_of((), NOW, SKEW_S)
    expected = Moment(NOW, NOW, TimeFrom.RECEIPT, (Note.TIME_UNREADABLE,))
    assert expected == moment_of((("time", "soon"),), NOW, SKEW_S)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    "given", [NOW + 7200.0, (NOW + 7200.0) * 1e3, "2026-06-26T14:00:00Z", "2026-06-26T14:00:00"]
)
def test_local_time_that_claims_to_be_utc(given: object) -> None:
    """With the source's zone it is read as local time, where it would be in the future."""
    assert read_time(given, NOW, SKEW_S, BERLIN) == NOW


@pytest.mark.parametrize("zone", [BERLIN, ZoneInfo("America/New_York")])
@pytest.mark.parametrize(
    "given",
    [NOW, NOW - 3600.0, NOW - 4 * 3600.0, NOW - 5 * 86_400.0, "2026-06-26T08:00:00Z", NOW + 86_400.0],
)
def test_a_zone_leaves_other_times_in_utc(given: object, zone: ZoneInfo) -> None:
    """An old time is old, whatever the zone, and one of tomorrow is not believed."""
    assert read_time(given, NOW, SKEW_S, zone) == read_time(given, NOW, SKEW_S)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (NOW + 7200.0, 7200.0),
        ("2026-06-26T07:00:00", -18_000.0),
        ("1970-01-01T00:00:00Z", -NOW),
        ("soon", None),
    ],
)
def test_the_distance_of_a_time_that_is_not_believed(given: object, expected: float | None) -> None:
    """A zone and a clock that is not set differ in it."""
    assert offset_of(given, NOW) == expected
    moment = moment_of((("time", str(given)),), NOW, SKEW_S)
    assert (moment.at, moment.off_s) == (NOW, expected)
