"""Debian's Chromium, driven by Playwright: for pages on loopback only."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, expect, sync_playwright

expect.set_options(timeout=20_000)  # ms; a shared machine may take its time

# Without these it asks the network for updates and experiments, which no test of ours wants.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str:
    """Return where the browser is.

    Raises:
        FileNotFoundError: Chromium is not installed.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("chromium is not installed: `make tools` installs it")
    return path


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser until the block ends.

    Raises:
        FileNotFoundError: Chromium is not installed.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
