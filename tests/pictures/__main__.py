"""``python -m tests.pictures``: the terminal and the status page.

The pictures of the documentation come from here and nowhere else: real broker, real agent, real browser.
"""

import argparse
import io
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from simulator import scenario as scenarios
from simulator.demo import DemoSettings, run
from simulator.view import View
from tests.support.browser import chromium

WIDTH, HEIGHT = 124, 36  # cells
LIMIT_S = 90.0
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
PAGES: dict[str, dict[str, Any]] = {
    "status-page.png": {"viewport": {"width": 1100, "height": 1180}, "color_scheme": "light"},
    "status-page-dark.png": {"viewport": {"width": 1100, "height": 1180}, "color_scheme": "dark"},
    "status-page-phone.png": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "color_scheme": "light",
    },
}


def svg(text: Text, *, title: str) -> str:
    """Return a frame of the live view as a self-contained SVG: no font is fetched from anywhere."""
    console = Console(
        record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True, no_color=False
    )
    console.print(text)
    picture = console.export_svg(title=title, unique_id="demo")
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("font-family: Fira Code, monospace", f"font-family: {FONTS}")
    return "\n".join(line.rstrip() for line in picture.splitlines()) + "\n"


class Photographer(View):
    """The live view, drawn for nobody; once every fault of the demo is found it takes its pictures."""

    def __init__(self, folder: Path) -> None:
        super().__init__(console=Console(file=io.StringIO(), force_terminal=True, width=WIDTH, height=HEIGHT))
        self._folder = folder
        self.taken: list[Path] = []
        self._over = threading.Event()
        self._camera = threading.Thread(target=self._wait_and_take, name="camera", daemon=True)

    def open(self) -> None:
        super().open()
        self._camera.start()

    def close(self) -> None:
        self._over.set()
        super().close()

    def _wait_and_take(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and not self._over.wait(0.5):
            truth = self.truth()
            if (
                truth is not None
                and truth.score.matches
                and truth.score.found == len(truth.score.matches) >= 3
            ):
                self._over.wait(3.0)  # for the status page to have it too
                self._take()
                break
        os.kill(os.getpid(), signal.SIGINT)  # the demo ends as with Ctrl-C

    def _take(self) -> None:
        path = self._folder / "demo.svg"
        path.write_text(svg(self.frame(), title="make demo"), encoding="utf-8")
        self.taken.append(path)
        with chromium() as browser:
            for name, options in PAGES.items():
                page = browser.new_page(**options)
                page.goto(self.board.web)
                page.locator("#devices article").first.wait_for()
                page.locator("#findings figure").first.wait_for()
                page.screenshot(path=self._folder / name)
                page.close()
                self.taken.append(self._folder / name)


def main() -> int:
    """Write the pictures; returns 0 only when all were taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[2] / "docs" / "pictures")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    show = Photographer(folder)
    code = run(DemoSettings(scenario=scenarios.load("demo"), for_s=LIMIT_S, show=show))
    for path in show.taken:
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return code or int(len(show.taken) != 1 + len(PAGES))


if __name__ == "__main__":
    sys.exit(main())
