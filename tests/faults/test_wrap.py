"""Equal payloads past the wrap of packet ids: each message counts."""

from pathlib import Path

import pytest

from tests.faults.wrap import run_wraps, show

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

PLAN = (("constant", "restart"), ("registers", "kill"), ("repeating", "reset"))


def test_equal_payloads_past_the_wrap_lose_nothing(tmp_path: Path) -> None:
    """A lap and more, then SIGTERM, kill -9 or RST: acknowledged = journaled + quarantined."""
    ends = run_wraps(tmp_path, PLAN)
    print(show(ends))
    assert [text for one in ends for text in one.problems()] == []
    assert all(one.in_flight > 0 and one.redelivered > 0 for one in ends)
    assert all(one.there == one.acked + one.duplicated for one in ends)
