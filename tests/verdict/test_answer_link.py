"""Links in notices are signed, bound to one finding, and end."""

from urllib.parse import urlsplit

import pytest

from agent.domain.records import Do
from agent.verdict.answer_link import VALID_S, AnswerLinks, with_answer

NOTICE = {
    "type": "finding", "event": "opened", "kind": "spike", "finding_id": "0123abcd",
    "at": "2026-11-27T17:00:00.000Z", "link": "https://gw.example/site/",
}  # fmt: skip
AT = 1_795_798_800.0
LINKS = AnswerLinks(b"key")


def query(**changed: str) -> str:
    """Return the query of a notice's link."""
    link = LINKS.link({**NOTICE, **changed})
    assert link is not None
    return urlsplit(link).query


def test_a_link_lies_next_to_the_page_and_is_the_same_each_time() -> None:
    """A repeat of a notice has the same bytes."""
    link = LINKS.link(NOTICE)
    assert link is not None
    assert link == LINKS.link(NOTICE)
    assert link.startswith("https://gw.example/site/answer?")
    assert AnswerLinks(b"other").link(NOTICE) != link


def test_what_is_signed_is_read() -> None:
    """Finding, limit and answer; after a week it has expired."""
    asked = LINKS.read(query(), AT)
    assert asked is not None
    assert (asked.finding_id, asked.limit, asked.do, asked.expired) == ("0123abcd", False, None, False)
    asked = LINKS.read(with_answer(query(kind="out_of_range"), Do.ACK), AT + VALID_S + 1)
    assert asked is not None
    assert (asked.limit, asked.do, asked.expired) == (True, Do.ACK, True)
    assert LINKS.read(asked.query, AT) is not None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "f=0123abcd",
        query().replace("0123abcd", "0123abce"),
        query().replace("l=0", "l=1"),
        query().replace("u=", "u=9"),
        query()[:-1],
        query().partition("&s=")[0] + "&s=",
        query() + "&f=ffff",
        query() + "&do=normal_here",
        query() + "&do=forget",
        query() + "&x=1" * 9,
        query() + "&do=ack" + "x" * 300,
        query() + "&s=%ff%00",
    ],
)
def test_nothing_else_is_read(forged: str) -> None:
    """Neither changed parts, nor answers that a link does not give."""
    assert LINKS.read(forged, AT) is None


@pytest.mark.parametrize(
    "notice",
    [
        {**NOTICE, "event": "cleared"},
        {**NOTICE, "type": "summary"},
        {**NOTICE, "type": "digest"},
        {**NOTICE, "link": None},
    ],
)
def test_what_cannot_be_answered_has_no_link(notice: dict[str, str | None]) -> None:
    """An end, a message about many incidents, and a site without an address of the page."""
    assert LINKS.link(notice) is None
