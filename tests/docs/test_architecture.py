"""The architecture page names existing files and lists every folder of the agent."""

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_each_file_of_the_path_exists() -> None:
    """A move or a rename has to be made here, too."""
    named = set(re.findall(r"`(agent/[\w/.]+)`", PAGE))
    assert len(named) > 30
    assert sorted(name for name in named if not (REPO / name).exists()) == []


def test_each_folder_has_a_row() -> None:
    """A reader learns the job of a folder here."""
    rows = " ".join(re.findall(r"^\| (.+?) \|", PAGE, re.MULTILINE))
    folders = {path.parent.name for path in (REPO / "agent").glob("*/__init__.py")}
    assert folders <= set(re.findall(r"`agent/(\w+)`", rows))
