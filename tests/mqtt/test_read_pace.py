"""When the socket is read."""

from itertools import pairwise

import pytest

from agent.mqtt.selector import FAST_PER_S, LEAD_S, LONG_REST_S, SHORT_REST_S, ReadPace

COMMIT_S = 0.1


def reads(arrivals: list[float], *, commit_s: float = COMMIT_S) -> list[tuple[float, float]]:
    """Return when bytes that come at these times are read, and since when the first may have waited."""
    pace, now, found = ReadPace(commit_s), 0.0, list[tuple[float, float]]()
    waiting = sorted(arrivals)
    while waiting:
        if rest_s := pace.rest_s(now):
            now += rest_s
        else:
            now = max(now, waiting[0])
        came = sum(at <= now for at in waiting)
        if came:
            found.append((now, now - pace.waited_s(now)))
        waiting = waiting[came:]
        pace.note(now, messages=came, more=False)
    return found


def at_rate(per_s: int, seconds: float = 1.0) -> list[float]:
    """Return messages at equal distances."""
    return [100.0 + number / per_s for number in range(int(per_s * seconds))]


@pytest.mark.parametrize("gap_s", [LONG_REST_S, 1.0, 60.0])
def test_a_message_after_a_pause_is_read_at_once(gap_s: float) -> None:
    """A quiet site has no delay and no further wake-ups."""
    arrivals = [100.0 + gap_s * number for number in range(50)]
    assert reads(arrivals) == [(at, at) for at in arrivals]


def test_steady_messages_are_read_at_long_intervals() -> None:
    """A thousand in a second are some twenty reads, and the first of them is read at once."""
    arrivals = at_rate(1000)
    times = [at for at, _ in reads(arrivals)]
    assert len(times) <= 1 / LONG_REST_S + 5
    assert times[0] == arrivals[0]


@pytest.mark.parametrize("per_s", [30, 300, 1000, FAST_PER_S * 3])
def test_no_message_came_before_the_time_that_its_read_names(per_s: int) -> None:
    """The commit interval begins with it."""
    arrivals = at_rate(per_s)
    before = 0.0
    for at, since in reads(arrivals):
        came = [one for one in arrivals if before < one <= at]
        assert since <= came[0] + 1e-9
        before = at


@pytest.mark.parametrize("commit_s", [0.001, 0.02, 0.05, 0.1, 0.25, 1.0])
def test_the_last_read_is_just_before_the_commit(commit_s: float) -> None:
    """One that misses it has messages whose interval has begun, and would take a commit of its own."""
    times = [at for at, _ in reads(at_rate(1000, 10 * commit_s + 1.0), commit_s=commit_s)][5:]
    began = times[0]
    last = max(at for at in times if at < began + commit_s)
    assert began + commit_s - last <= LEAD_S + 1e-9
    assert max(later - one for one, later in pairwise(times)) <= LONG_REST_S + 1e-9


def test_fast_messages_are_read_at_short_intervals() -> None:
    """Before they fill the broker's window of unacknowledged messages."""
    times = [at for at, _ in reads(at_rate(3 * FAST_PER_S))][3:]
    assert max(later - one for one, later in pairwise(times)) <= SHORT_REST_S + 1e-9


def test_an_acknowledgement_ends_a_short_rest_alone() -> None:
    """It lets the broker send further messages; a long rest goes on to its read before the next commit."""
    pace = ReadPace(COMMIT_S)
    for now, messages, rests in ((100.0, 1, False), (100.01, 1000, True), (100.02, 10, True)):
        pace.note(now, messages=messages, more=False)
        assert (pace.rest_s(now) > 0) == rests
        pace.acknowledged()
        assert (pace.rest_s(now) > 0) == (rests and messages < 1000)


def test_a_socket_that_is_not_empty_is_read_on() -> None:
    """A backlog has no intervals."""
    pace = ReadPace(COMMIT_S)
    for now in (100.0, 100.001, 100.002):
        pace.note(now, messages=500, more=True)
        assert pace.rest_s(now) == 0.0
