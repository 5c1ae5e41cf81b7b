"""The day and the week as signals see them; all hours are UTC."""

import math

from simulator.signals.signal import Event, Events

DAY_S = 86_400.0
_DAYS = 7
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
_SATURDAY = 5


def hour(at: float) -> float:
    """Return the hour of the day, 0 to 24."""
    return at % DAY_S / 3600.0


def day_curve(at: float, peak_hour: float) -> float:
    """Return a cosine of one day, 1 at ``peak_hour`` and -1 twelve hours later."""
    return math.cos(2.0 * math.pi * (at / DAY_S - peak_hour / 24.0))


def daylight(at: float, rise_hour: float = 6.0, set_hour: float = 18.0) -> float:
    """Return the height of the sun, 0 at night and 1 at noon."""
    place = (hour(at) - rise_hour) / (set_hour - rise_hour)
    return math.sin(math.pi * place) if 0.0 < place < 1.0 else 0.0


def daylight_sum(at: float, rise_hour: float = 6.0, set_hour: float = 18.0) -> float:
    """Return the share of the day's light that has come by now, 0 to 1."""
    place = min(1.0, max(0.0, (hour(at) - rise_hour) / (set_hour - rise_hour)))
    return (1.0 - math.cos(math.pi * place)) / 2.0


def is_weekend(at: float) -> bool:
    """Return whether it is Saturday or Sunday."""
    return weekday(at) >= _SATURDAY


def weekday(at: float) -> int:
    """Return the day of the week; Monday is 0."""
    return (math.floor(at / DAY_S) + _EPOCH_WEEKDAY) % _DAYS


def people_clock(at: float, events: Events) -> float:
    """Return the time that people's clocks show: an hour more from a DST change on."""
    return at + 3600.0 if _on(events.get("dst_change")) else at


def day_off(at: float, events: Events) -> bool:
    """Return whether nobody works: at the weekend, or on a day that is like one."""
    return is_weekend(at) or _on(events.get("weekend"))


def _on(event: Event | None) -> bool:
    return event is not None and event.elapsed_s < event.for_s


def present(at: float, *, arrive: float, leave: float, spread_h: float, lag_h: float = 0.0) -> float:
    """Return how many of the people are there, 0 to 1, with soft edges.

    Args:
        at: instant (Unix seconds).
        arrive: hour at which half of them have come.
        leave: hour at which half of them have gone.
        spread_h: hours from a quarter to three quarters of them, about.
        lag_h: hours that the effect comes later than the people.
    """
    now = hour(at) - lag_h
    come, gone = (now - arrive) / spread_h, (now - leave) / spread_h
    # The logistic function with 2.2, in a form that no number makes too large.
    return 0.25 * (1.0 + math.tanh(1.1 * come)) * (1.0 - math.tanh(1.1 * gone))
