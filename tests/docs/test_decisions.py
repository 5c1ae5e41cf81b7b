"""The decisions: a number each, a date, a status, and an index of all topics."""

import re
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs" / "decisions"
ENTRY = re.compile(r"^## (\d+)\. .+[^.]\n\n\d{4}-\d\d-\d\d, (accepted|superseded by (\d+))", re.MULTILINE)


def test_each_entry_has_a_number_a_date_and_a_status() -> None:
    """No number is missing or used twice, and a superseded entry names a later one."""
    numbers = []
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        entries = list(ENTRY.finditer(text))
        assert len(entries) == text.count("\n## "), page.name
        assert all(not entry[3] or int(entry[3]) > int(entry[1]) for entry in entries)
        numbers += [int(entry[1]) for entry in entries]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_the_index_lists_each_topic() -> None:
    """Nobody has to list the folder."""
    index = PAGES.with_suffix(".md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(decisions/(.+?)\)", index)) == {page.name for page in PAGES.glob("*.md")}
