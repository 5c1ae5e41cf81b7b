"""Values in the output of commands."""

import math

import pytest

from agent.commands.printing import roughly


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-19.2992, -17.1702, "-19.3 to -17.17"),
        (0.000163146, 13.0492, "0 to 13"),
        (0.0001, 0.00234567, "0.0001 to 0.00235"),
        (12345.678, 98765.432, "12300 to 98800"),
        (5.0, 5.0, "5 to 5"),
        (None, 85.25, "up to 85.25"),
        (-40.125, None, "-40.125 and more"),
        (-math.inf, 3.0, "-inf to 3"),
    ],
)
def test_a_learnt_range_has_the_digits_of_its_width(
    low: float | None, high: float | None, words: str
) -> None:
    """Three of them; a range of one value, or with one end, stays as it is."""
    assert roughly(low, high) == words
