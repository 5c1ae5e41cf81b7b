"""When the socket is read."""

import pytest

from agent.mqtt.selector import GAP_S, ReadPace


def reads(arrivals: list[float], *, more: bool = False) -> list[float]:
    """Return when bytes that come at these times are read."""
    pace, now, times = ReadPace(), 0.0, list[float]()
    waiting = sorted(arrivals)
    while waiting:
        now = max(now + pace.rest_s(now), waiting[0])
        waiting = [at for at in waiting if at > now]
        pace.note(now, more=more)
        times.append(now)
    return times


@pytest.mark.parametrize("gap_s", [GAP_S, 1.0, 60.0])
def test_a_message_after_a_pause_is_read_at_once(gap_s: float) -> None:
    """A quiet site has no delay and no further wake-ups."""
    arrivals = [100.0 + gap_s * number for number in range(50)]
    assert reads(arrivals) == arrivals


def test_steady_messages_are_read_at_intervals() -> None:
    """A thousand in a second are a hundred reads, none waits longer than the interval."""
    arrivals = [100.0 + number / 1000 for number in range(1000)]
    times = reads(arrivals)
    assert 95 <= len(times) <= 110
    assert times[0] == arrivals[0]
    delays = [min(at for at in times if at >= one) - one for one in arrivals]
    assert max(delays) <= GAP_S + 1e-9


def test_a_socket_that_is_not_empty_is_read_on() -> None:
    """A backlog has no intervals."""
    pace = ReadPace()
    for now in (100.0, 100.001, 100.002):
        pace.note(now, more=True)
        assert pace.rest_s(now) == 0.0
