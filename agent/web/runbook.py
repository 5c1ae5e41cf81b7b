"""The runbook as a page, so that the link of an alert works as shipped."""

import re
from functools import cache
from pathlib import Path
from string import Template

from agent.web.http import Response
from agent.web.page import escape, policy_of

_HERE = Path(__file__).parent
#: In the wheel, and in a checkout.
_PLACES = (_HERE / "runbook.md", _HERE.parents[1] / "docs/runbook.md")
_LINK = re.compile(r"\[([^][]*)\]\([^()]*\)")
_CODE = re.compile(r"`([^`]*)`")
_BOLD = re.compile(r"\*\*([^*]*)\*\*")


@cache
def runbook() -> Response:
    """Return the page; the entry of an alert has its name in lower case as its id."""
    text = next(place for place in _PLACES if place.exists()).read_text("utf-8")
    page = Template((_HERE / "runbook.html").read_text("utf-8")).substitute(body=_html(text))
    headers = (("Content-Security-Policy", policy_of(page)),)
    return Response(
        page.encode(), content_type="text/html; charset=utf-8", headers=headers, tag=page.encode()
    )


def _html(text: str) -> str:
    """Return our own Markdown as HTML: headings, paragraphs and lists of one level."""
    blocks = []
    for block in text.strip().split("\n\n"):
        level = len(block) - len(block.lstrip("#"))
        if level:
            words = block[level:].strip()
            blocks.append(f'<h{level} id="{escape(words.lower())}">{_inline(words)}</h{level}>')
        elif block.startswith("- "):
            items = block.removeprefix("- ").split("\n- ")
            blocks.append(f"<ul>{''.join(f'<li>{_inline(one)}</li>' for one in items)}</ul>")
        else:
            blocks.append(f"<p>{_inline(block)}</p>")
    return "\n".join(blocks)


def _inline(text: str) -> str:
    """Return text with bold and code; of a link to another page the words remain."""
    text = _LINK.sub(r"\1", escape(" ".join(text.split())))
    return _CODE.sub(r"<code>\1</code>", _BOLD.sub(r"<strong>\1</strong>", text))
