"""The share of the hour's money that one device may use up."""

from agent.budget.device_share import STEPS, Shares


def test_a_device_has_a_quarter_of_the_hour() -> None:
    """Its first call is always allowed; what is older than an hour is forgotten; others are not touched."""
    shares = Shares(share=0.25)
    assert shares.allows("d", 90, limit=100, clock=0.0)
    shares.add("d", 20, clock=0.0)
    assert shares.allows("d", 5, limit=100, clock=10.0)
    assert not shares.allows("d", 6, limit=100, clock=10.0)
    assert shares.allows("e", 6, limit=100, clock=10.0)
    assert shares.allows("d", 6, limit=100, clock=3600.0)


def test_what_is_free_needs_no_share() -> None:
    """A local model priced 0 may be asked by anyone."""
    shares = Shares(share=0.25)
    shares.add("d", 100, clock=0.0)
    assert shares.allows("d", 0, limit=100, clock=0.0)


def test_the_number_of_devices_is_bounded() -> None:
    """A flood of device names costs bounded memory."""
    shares = Shares(share=0.25)
    for place in range(5000):
        shares.add(f"d{place}", 1, clock=0.0)
    assert len(shares._costs) == 1000


def test_what_was_held_for_a_call_is_forgotten_with_it() -> None:
    """An hour later only what calls have cost counts, never less than nothing."""
    shares = Shares(share=0.25)
    shares.hold("d", 20)
    assert not shares.allows("d", 10, limit=100, clock=0.0)
    shares.add("d", 15, clock=5.0)
    shares.hold("d", -20)
    assert shares.spent("d", 3604.0) == 15
    assert not shares.allows("d", 11, limit=100, clock=3604.0)
    assert shares.spent("d", 3605.0) == 0
    assert not shares._held


def test_what_devices_cost_is_kept_in_bounded_memory() -> None:
    """Ten calls a second for three hours: an hour's sums are kept, no money is forgotten."""
    shares = Shares(share=0.25)
    for tick in range(30 * 3600):
        shares.add("d1", 7, clock=tick / 10)
    assert len(shares) <= STEPS + 1, "before anybody asked"
    newest = 30 * 3600 / 10
    hour = 7 * 10 * 3600
    assert hour - hour / STEPS <= shares.spent("d1", newest) <= hour
    assert shares.spent("d1", newest + 3600) == 0
    assert len(shares) == 0
