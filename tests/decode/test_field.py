"""Messages as real sites send them: devices, metrics, values, units, times and what was skipped."""

import pytest

from agent.decode.families import formats
from tests.decode.cases import FIELD, Case
from tests.decode.judge import faults

#: Cases that need words, zones and paths of the reader in the generic family.
PENDING = frozenset({"A7", "A8", "N20"})


@pytest.mark.parametrize("case", FIELD, ids=str)
def test_a_message_of_the_field_is_read(case: Case) -> None:
    """It gives the expected readings and no other; what is left out is named."""
    if case.source.get("format", "auto") not in formats() or case.wanted.get("id") in PENDING:
        pytest.xfail("the family does not read it yet")
    assert faults(case) == []
