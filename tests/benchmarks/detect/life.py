"""The weeks of one device before one contestant: its findings and its silences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.records import Trigger, Window
from simulator.events import Message
from tests.benchmarks.detect.contestants import CONTESTANTS, PRODUCT
from tests.benchmarks.inprocess import LocalAgent


@dataclass(slots=True)
class Life:
    """The agent after the messages, its readings and silences."""

    agent: LocalAgent
    readings: int
    silences: list[float] = field(default_factory=list)  # clocks at which a silence was reported


def live(contestant: str, source: Mapping[str, Any], messages: Iterable[Message], *, end: float) -> Life:
    """Return what a contestant makes of the messages, read by the product's own path."""
    silences: list[float] = []
    readings = 0

    def look(window: Window) -> None:
        nonlocal readings
        readings += window.count
        if window.trigger is Trigger.SILENCE:
            silences.append(window.sealed)

    rival = None if contestant == PRODUCT else CONTESTANTS[contestant]()
    agent = LocalAgent(sources=[source], rival=rival, on_window=look)
    agent.hear(messages)
    agent.pass_time(end)
    return Life(agent, readings, silences)
