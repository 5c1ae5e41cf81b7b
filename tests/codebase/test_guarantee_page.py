"""docs/guarantee.md names tests as evidence: they exist, and each row has one.

docs/errors.md names events: the agent reports them.
"""

import re
from pathlib import Path

import pytest

from agent.testing.failpoint import POINTS

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "guarantee.md").read_text()
FAULTS = PAGE.partition("## Faults")[2].partition("## Outside")[0]
ROWS = [line for line in FAULTS.splitlines() if line.startswith("| ") and "Shown by" not in line]


def shown_by(row: str) -> str:
    return row.rstrip(" |").rpartition("|")[2]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_fault_names_tests_that_exist(row: str) -> None:
    """Each clause is `test_a`, `test_b` in `file`, or a file alone; the functions are in that file."""
    clauses = [clause for clause in shown_by(row).split(";") if "`" in clause]
    assert clauses
    for clause in clauses:
        named = re.findall(r"`([^`]+)`", clause)
        files = [REPO / name for name in named if name.startswith("tests/")]
        assert len(files) == 1, clause
        text = files[0].read_text()
        for name in named:
            assert name.startswith("tests/") or f"def {name}(" in text, f"{name} is not in {files[0]}"


def test_each_crash_point_has_a_row() -> None:
    """C1 to C13, with the failpoint that kills there."""
    table = PAGE.partition("## Crash points")[2].partition("## Faults")[0]
    for point in POINTS:
        number, _, _ = point.partition("_")
        if re.fullmatch(r"c\d+", number):
            assert re.search(rf"^\| {number.upper()} \|.*`{point}`", table, re.MULTILINE), point


def test_each_event_of_the_error_table_is_reported() -> None:
    """An event that is renamed is renamed there too."""
    page = (REPO / "docs" / "errors.md").read_text()
    events = {name for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page) if not name.endswith("_total")}
    assert len(events) > 10
    code = "".join(path.read_text() for path in (REPO / "agent").rglob("*.py"))
    assert {event for event in events if f'"{event}"' not in code} == set()
