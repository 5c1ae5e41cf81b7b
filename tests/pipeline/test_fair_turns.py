"""Fair turns: a device known longer waits for fewer others, however many came."""

import pytest

from agent.pipeline.fair_turns import MAX_LANE, Turns

FLOOD = 10_000


def crowd() -> Turns:
    """Return turns that all devices of a flood have asked for; a device's name is its seniority."""
    turns = Turns(lambda device: None if device == "unknown" else int(device))
    for device in range(100, FLOOD):
        turns.ask(str(device))
    return turns


@pytest.mark.parametrize("older", [0, 1, 20, 99])
def test_a_device_waits_for_a_multiple_of_those_known_before_it(older: int) -> None:
    """The other lanes have one turn each for each of its own lane's."""
    turns = crowd()
    for device in range(100):
        turns.ask(str(device))
    place = turns.take(FLOOD).index(str(older))
    assert place < 14 * (2 * older + 1)


def test_the_order_in_a_lane_is_that_of_asking_and_asking_twice_changes_nothing() -> None:
    """A device that is served asks again, and comes last."""
    turns = Turns(int)
    for device in ("5", "4", "5", "7"):
        turns.ask(device)
    assert turns.take(1) == ["5"]
    turns.ask("5")
    assert turns.take(9) == ["4", "7", "5"]
    assert (turns.take(9), len(turns)) == ([], 0)


def test_what_is_kept_in_memory_is_bounded() -> None:
    """Ten thousand devices ask; one that is not tracked has the queue's own order."""
    turns = crowd()
    assert len(turns) <= 8 * MAX_LANE
    turns.clear()
    turns.ask("unknown")
    assert len(turns) == 0
