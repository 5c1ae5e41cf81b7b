"""Sentences about link, journal and outbox, for page, health topic and /readyz."""

import pytest

from agent.journal.clocks import Fault, Faulty
from agent.mqtt import LinkState, LinkStats
from agent.status.sentences import (
    backlog_words,
    clock_words,
    given_up_words,
    intake_words,
    journal_words,
    link_notes,
    link_problems,
    offset_words,
    refused_words,
)
from tests.support.make import T0

SINCE = "2023-11-14T22:13:20.000Z"
URL = "mqtt://broker:1883"
WELL = {"connected": True, "subscribed": True, "protocol": "5"}


def problems(**state: object) -> list[str]:
    return link_problems(LinkState(**state), LinkStats(), url=URL, now=0.0)  # type: ignore[arg-type]


def test_a_link_that_works_has_no_problem() -> None:
    """Nothing is reported."""
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
    """It names the fault."""
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
    """It works, so it is not a problem, but it is reported."""
    assert "3.1.1" in link_notes(LinkState(protocol="3.1.1"), ids_reused=False)[0]
    assert link_notes(LinkState(protocol="5"), ids_reused=False) == []
    assert "reuses packet ids" in link_notes(LinkState(protocol="5"), ids_reused=True)[0]


def test_what_is_kept_back_is_named_with_since_when_and_what_helps() -> None:
    """Each counter has its context."""
    said = {
        journal_words("490 of 512 MiB used; raise journal.max_mib", T0): "raise journal.max_mib",
        intake_words(T0): "raise mqtt.max_intake_mib",
        backlog_words(1500, T0): "1500 messages wait for the broker",
        refused_words(
            "the broker",
            ["gw/verdicts/a", "gw/verdicts/b"],
            reason="reason code 0x87",
            remedy="allow the agent to write below gw/",
            since=T0,
        ): "(reason code 0x87): they wait on disk, are tried again within the hour and given up after 24 h."
        " Allow the agent to write below gw/.",
        given_up_words(3, topic="gw/verdicts/a", since=T0, keep_days=7): "see the broker's ACL",
    }
    for words, helps in said.items():
        assert SINCE in words
        assert helps in words


def test_clocks_of_many_devices_are_one_short_sentence() -> None:
    """Names are cut and cleaned, and beyond three they are counted."""
    names = ["a", "b\x1b[2J", "c" * 500, "d", "e"]
    text = clock_words([Faulty(name, Fault.WRONG, -200_000.0) for name in names], Fault.WRONG)
    assert text.startswith("Wrong clock: a (2 days behind), b")
    assert text.endswith("c (2 days behind) and 2 more")
    assert len(text) < 200
    assert text.isprintable()


@pytest.mark.parametrize(
    ("off_s", "words"),
    [
        (3600.0, "1:00 h ahead"),
        (19_800.4, "5:30 h ahead"),
        (-18_001.0, "5:00 h behind"),
        (-3e7, "347 days behind"),
    ],
)
def test_the_distance_of_a_clock_in_words(off_s: float, words: str) -> None:
    """Hours as a zone has them, else days."""
    assert offset_words(off_s) == words
