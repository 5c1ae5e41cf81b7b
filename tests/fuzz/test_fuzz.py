"""A small run of the fuzzers, and a control: a slow or failing reader is found."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fuzz import __main__ as fuzzing
from tests.fuzz.targets import TARGETS, Target, decode


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_hostile_inputs_end_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised but what a reader may raise, and no input takes long (`make fuzz` is the whole)."""
    monkeypatch.setattr(fuzzing, "LIMIT_S", 1.0)  # other work on the machine counts in part
    result = fuzzing.fuzz(name, inputs=1500, seed=2)
    assert result.inputs == 1500
    assert result.findings == []


@pytest.mark.slow
def test_a_failing_reader_and_a_slow_one_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the runs above could not fail."""

    def reads(data: bytes) -> None:
        if data[:1] == b"{" and data.endswith(b"}"):
            raise KeyError(data)
        while len(data) > 2000:
            data = data[1:] if len(data) > 200_000 else data[:-1]

    @contextmanager
    def bad() -> Iterator[Target]:
        with decode() as target:
            yield Target(target.make, reads)

    monkeypatch.setitem(TARGETS, "decode", bad)
    found = fuzzing.fuzz("decode", inputs=4000, seed=1).findings
    assert any("KeyError" in one for one in found)
    assert any(" ms for " in one for one in found)
