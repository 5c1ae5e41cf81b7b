"""The cost of calls."""

from hypothesis import given, strategies as st

from agent.budget.pricing import Price, Pricing, apportion
from agent.domain.model_calls import Usage
from tests.ai.kit import PRICING


def test_cost_counts_cached_input_apart() -> None:
    """USD per million tokens: 100 plain, 50 cached, 10 output."""
    assert PRICING.cost("m", Usage(150, 10, cached_input=50)) == 100 * 1000 + 50 * 500 + 10 * 4000
    without = Pricing({"m": Price(1.0, 4.0)})
    assert without.cost("m", Usage(150, 10, cached_input=50)) == 150 * 1000 + 10 * 4000


def test_cost_is_rounded_up() -> None:
    """A fraction of a nano-USD is a whole one."""
    assert Pricing({"m": Price(0.000001, 0.0)}).cost("m", Usage(1, 0)) == 1


def test_an_unpriced_model_costs_as_much_as_the_dearest() -> None:
    """Only what is priced 0 is free."""
    pricing = Pricing({"a": Price(1.0, 2.0), "b": Price(0.5, 8.0), "free": Price(0.0, 0.0)})
    assert pricing.cost("unheard", Usage(1, 1)) == 1000 + 8000
    assert not pricing.knows("unheard")
    assert pricing.cost("free", Usage(1000, 1000)) == 0


def test_the_worst_case_is_a_token_per_byte() -> None:
    """Of all text, and the full output."""
    assert PRICING.worst_case("m", 3000, 180) == 3000 * 1000 + 180 * 4000


def test_the_worst_case_holds_where_cached_text_is_the_dearer() -> None:
    """A price of cached input above the plain one is booked, so no report of the endpoint passes a cap."""
    pricing = Pricing({"m": Price(1.0, 4.0, cached_input=5.0)})
    worst = pricing.worst_case("m", 3000, 180)
    assert worst >= max(pricing.cost("m", Usage(3000, 180, cached)) for cached in (0, 1, 1500, 3000))


@given(
    st.integers(min_value=0, max_value=10**12),
    st.lists(st.integers(min_value=0, max_value=10**6), min_size=1),
)
def test_shares_add_up_exactly(total: int, weights: list[int]) -> None:
    """Whatever is shared out is the whole, and each share within one of its fair part."""
    shares = apportion(total, weights)
    assert sum(shares) == total
    whole = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        fair = total * weight / whole if whole else total / len(weights)
        assert abs(share - fair) <= 1 + 1e-9 * fair
