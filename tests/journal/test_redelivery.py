"""Which PUBLISH is recognised as one that is journaled already."""

from pathlib import Path
from typing import Any

import pytest

from agent.journal.redelivery import key_of
from tests.journal.rig import Rig, arrival, link_up

FIRST = arrival(7)

# What arrives in which generation after FIRST was journaled in generation 1, and whether it is new.
CASES = [
    pytest.param(2, {"dup": True}, False, id="previous generation, DUP=1: the same"),
    pytest.param(1, {"dup": True}, True, id="same generation"),
    pytest.param(3, {"dup": True}, True, id="older generation"),
    pytest.param(2, {"dup": False}, True, id="DUP=0"),
    pytest.param(2, {"dup": True, "payload": b"28"}, True, id="another payload"),
    pytest.param(2, {"dup": True, "topic": "sensors/d8/temperature"}, True, id="another topic"),
    pytest.param(2, {"dup": True, "mid": 9}, True, id="another packet id"),
]


@pytest.mark.parametrize(("generation", "changes", "new"), CASES)
def test_only_the_same_publish_is_recognised(
    tmp_path: Path, generation: int, changes: dict[str, Any], *, new: bool
) -> None:
    """DUP=1 with packet id and hash of the previous generation is not inserted again; all else is new."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), FIRST])
        rig.offer([link_up(number) for number in range(2, generation + 1)])
        again = arrival(7, **{"generation": generation, **changes})
        rig.offer([again])
        rig.settle()
        assert (2 if new else 1) == len(rig.rows)
        assert [(1, 8), (generation, again.mid)] == rig.acks
        assert rig.journal.stats.redelivered == (0 if new else 1)


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    """The keys of the last generation survive the process."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), FIRST])
        rig.settle()
    with Rig(tmp_path) as again:
        assert again.journal.generation == 1
        again.offer([link_up(2), arrival(7, generation=2, dup=True), arrival(8, generation=2, dup=True)])
        again.settle()
        assert again.acks == [(2, 8), (2, 9)]
        assert [row.seq + 6 for row in again.rows] == [9]  # only the second; seq 2 is the restart itself


def test_the_key_moves_with_each_redelivery(tmp_path: Path) -> None:
    """A PUBLISH that is sent again in every generation is recognised every time, over restarts too."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), FIRST])
        for generation in range(2, 6):
            rig.offer([link_up(generation), arrival(7, generation=generation, dup=True)])
        rig.settle()
        assert len(rig.rows) == 1
    with Rig(tmp_path) as again:
        again.offer([link_up(6), arrival(7, generation=6, dup=True)])
        again.settle()
        assert again.rows == []
        assert again.journal.stats.redelivered == 1


def test_a_quarantined_message_is_recognised_too(tmp_path: Path) -> None:
    """Sent again, it makes no second quarantine row."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"{")])
        rig.offer([link_up(2), arrival(1, payload=b"{", generation=2, dup=True)])
        rig.settle()
        assert sum(rig.journal.stats.quarantined.values()) == 1
        assert rig.acks == [(1, 2), (2, 2)]


def test_a_lost_session_has_nothing_to_send_again(tmp_path: Path) -> None:
    """Without a session at the broker even a matching key is a new message."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), FIRST, link_up(2, session_present=False)])
        rig.offer([arrival(7, generation=2, dup=True)])
        rig.settle()
        assert len(rig.rows) == 2


def test_key_separates_topic_and_payload() -> None:
    """Bytes that move from topic to payload make another key; it is the same in every process."""
    assert key_of(b"ab", b"c") != key_of(b"a", b"bc")
    assert key_of(b"sensors/d1/temperature", b"21.5") == -1_301_765_822_075_475_713
