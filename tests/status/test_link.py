"""What is said of the link on the page, on the health topic and by /readyz."""

import pytest

from agent.mqtt import LinkState, LinkStats
from agent.status.link import link_notes, link_problems

URL = "mqtt://broker:1883"
WELL = {"connected": True, "subscribed": True, "protocol": "5"}


def problems(**state: object) -> list[str]:
    return link_problems(LinkState(**state), LinkStats(), url=URL, now=0.0)  # type: ignore[arg-type]


def test_a_link_that_works_has_no_problem() -> None:
    """Nothing is said."""
    assert problems(**WELL) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "Not connected to the broker at mqtt://broker:1883."),
        ({"last_error": "no route: check"}, "no route: check"),
        ({"connected": True}, "Connected, but no filter is subscribed yet."),
        (WELL | {"refused": ("a/#",)}, "The broker refused the filter 'a/#'"),
        (WELL | {"downgraded": ("b/#",)}, "The broker grants 'b/#' at a lower QoS"),
        ({"silent_until": 1e9, "last_error": "taken"}, "Silent until 2001-09-09T01:46:40.000Z: taken"),
    ],
)
def test_each_trouble_is_one_sentence(state: dict[str, object], words: str) -> None:
    """It says what is wrong."""
    (said,) = problems(**state)
    assert said.startswith(words)


def test_what_the_broker_dropped_is_said_for_ten_minutes() -> None:
    """Then it is old."""
    stats = LinkStats()
    stats.broker_drops.note(b"5", 0.0)
    stats.broker_drops.note(b"8", 1.0)
    (said,) = link_problems(LinkState(**WELL), stats, url=URL, now=2.0)  # type: ignore[arg-type]
    assert "dropped 3 messages" in said
    assert link_problems(LinkState(**WELL), stats, url=URL, now=602.0) == []  # type: ignore[arg-type]


def test_an_old_protocol_is_a_note() -> None:
    """It works, so it is no problem, but it is said."""
    assert "3.1.1" in link_notes(LinkState(protocol="3.1.1"), ids_reused=False)[0]
    assert link_notes(LinkState(protocol="5"), ids_reused=False) == []
    assert "reuses packet ids" in link_notes(LinkState(protocol="5"), ids_reused=True)[0]
