"""The collector of reference cycles after start-up."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from agent.app.memory import NEW, settle


class Node:
    """An object that can refer to itself."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture
def settled() -> Iterator[None]:
    """The collector as the agent has it."""
    before = gc.get_threshold()
    settle()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("settled")
def test_cycles_of_later_objects_are_still_found() -> None:
    """At the latest after so many new objects."""
    gone = weakref.ref(Node())
    kept: list[list[Node]] = [[] for _ in range(2 * NEW)]
    assert gone() is None
    assert len(kept) == 2 * NEW


@pytest.mark.usefixtures("settled")
def test_what_start_up_has_made_is_not_looked_at() -> None:
    """It would be again and again."""
    assert gc.get_freeze_count() > NEW
