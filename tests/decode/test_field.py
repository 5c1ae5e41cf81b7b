"""Messages as real sites send them: devices, metrics, values, units, times and what was skipped."""

import pytest

from tests.decode.cases import FIELD, Case
from tests.decode.judge import faults, pending


@pytest.mark.parametrize("case", FIELD, ids=str)
def test_a_message_of_the_field_is_read(case: Case) -> None:
    """It gives the expected readings and no other; what is left out is named."""
    if key := pending(case):
        pytest.skip(f"the registry does not take {key}")
    assert faults(case) == []
