"""The runbook's page: all of its text, and nothing that a browser could run."""

import re
from html import unescape
from pathlib import Path

from agent.web.runbook import runbook

REPO = Path(__file__).resolve().parents[2]


def test_the_page_has_the_text_of_the_runbook() -> None:
    """Placeholders such as `<value>` are text; no mark of Markdown is left over."""
    page = runbook().body.decode()
    body = page.partition("<body>")[2]
    shown = " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())
    assert "<value>" in shown
    assert not re.search(r"\*\*|`|\]\(|##", shown)
    text = (REPO / "docs/runbook.md").read_text()
    words = re.findall(r"[A-Za-z]{3,}", re.sub(r"\]\([^)]*\)", "", text))
    assert re.findall(r"[A-Za-z]{3,}", shown)[: len(words)] == words


def test_the_page_runs_nothing() -> None:
    """Its policy allows its own style alone."""
    page = runbook()
    assert "<script" not in page.body.decode()
    ((_, policy),) = page.headers
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "form-action 'none'" in policy
