"""Event times: a fast run ends in the present; two forms of a moment."""

import argparse
import threading

import pytest

from simulator.commands.common import moment
from simulator.pace import Pace, live_start

NOW = 1_790_000_000.5


@pytest.mark.parametrize(
    ("speed", "for_s", "start"),
    [
        (1.0, None, 1_790_000_000.0),
        (0.5, 10.0, 1_790_000_000.0),
        (60.0, 10.0, 1_789_999_410.0),
        (60.0, None, 1_790_000_000.0 - 59 * 3600),
    ],
)
def test_a_fast_run_ends_in_the_present(speed: float, for_s: float | None, start: float) -> None:
    """Ten seconds at speed 60 begin 590 s ago, so that the last reading is of now and none of the future."""
    assert live_start(now=NOW, speed=speed, for_s=for_s) == start
    if for_s is not None:
        assert start + for_s * speed <= NOW + for_s


@pytest.mark.parametrize("text", ["1790000000", "2026-09-21T14:13:20Z", "2026-09-21 14:13:20"])
def test_a_moment_is_unix_seconds_or_iso(text: str) -> None:
    """Without a zone it is UTC."""
    assert moment(text) == 1_790_000_000


@pytest.mark.parametrize("text", ["yesterday", "nan", "-5", "1e300", "1790000000000"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """Words, numbers that are none and milliseconds are distinguished from a time."""
    with pytest.raises(argparse.ArgumentTypeError, match="write"):
        moment(text)


def test_a_stop_ends_the_wait() -> None:
    """A moment that is due at once is not waited for; one in a day ends with the stop."""
    stop = threading.Event()
    pace = Pace(start=NOW, speed=60)
    assert pace.wait(NOW, stop)
    stop.set()
    assert not pace.wait(NOW + 86_400, stop)
    assert not pace.wait(NOW - 1, stop)
