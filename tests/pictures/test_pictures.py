"""The pictures of the documentation: present, current, self-contained."""

import re
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from simulator.view_frame import frame
from tests.pictures.__main__ import HEIGHT, PAGES, WIDTH, svg
from tests.simulator.test_view import NOW, board

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
#: By `make bench-detect SVG=docs/pictures`, and `make bench-peers SVG=docs/pictures/peers.svg`.
DRAWN = (
    "detect-after-incident.svg",
    "detect-first-days.svg",
    "detect-hourly.svg",
    "detect-nights.svg",
    "peers.svg",
)


def test_pages_show_each_picture_once_and_no_other() -> None:
    """Every image is one that the command makes, and the reverse; each has a description."""
    text = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        text += page.read_text().replace("](pictures/", "](docs/pictures/")
    shown = re.findall(r"!\[([^\]]*)\]\(docs/pictures/([^)]+)\)", text)
    assert sorted(name for _, name in shown) == sorted(["demo.svg", *PAGES, *DRAWN])
    assert all(len(words) > 20 for words, _ in shown)
    assert {path.name for path in PICTURES.iterdir()} == {"demo.svg", *PAGES, *DRAWN}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_screenshots_have_the_size_of_their_screen(name: str) -> None:
    data = (PICTURES / name).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    options = PAGES[name]
    scale, viewport = options.get("device_scale_factor", 1), options["viewport"]
    assert struct.unpack(">II", data[16:24]) == (viewport["width"] * scale, viewport["height"] * scale)


def test_terminal_picture_shows_the_demo_and_fetches_nothing() -> None:
    """The three faults, found; no font and no image from elsewhere."""
    text = (PICTURES / "demo.svg").read_text()
    words = "".join(ET.fromstring(text).itertext()).replace("\xa0", " ")
    for word in ("freezer-1", "found as spike", "found as silence", "level_shift", "Devices", "Verdicts"):
        assert word in words
    assert not re.search(r"(?:url\(|href=|src=)['\"]?(?:https?:)?//", text)
    assert "@font-face" not in text


def test_picture_is_made_of_a_frame() -> None:
    text = svg(frame(board(), width=WIDTH, height=HEIGHT, now=NOW), title="a test")
    assert "freezer-1" in "".join(ET.fromstring(text).itertext())
    assert "https://" not in text.replace("http://www.w3.org", "").replace("https://www.textualize.io", "")
