"""Open incidents of the time in which another agent published."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import TimerKind, Window
from agent.pipeline.review_queue import Gate
from agent.sinks.mqtt import NAME, mqtt_routes
from tests.journal.rig import arrival, link_up
from tests.pipeline.test_restart import AGE_S, Life, in_a_life

ROUTES = [replace(one, sink="list") for one in mqtt_routes("base") if one.sink == NAME]
INCIDENT, DEVICE = "base/incidents/", "d1"


async def _seal(life: Life, number: int, payload: bytes) -> None:
    life.rig.offer([arrival(number, topic=f"sensors/{DEVICE}/temperature", payload=payload)])
    await life.feed()
    await asyncio.sleep(2 * AGE_S)
    life.pipeline.note(TimerKind.TICK)
    await life.feed()


def _covered(shows: Callable[[Window], bool], then: Callable[[Life], None]) -> Any:
    async def body(life: Life) -> list[tuple[str, str]]:
        life.pipeline.review_queue.gate = lambda _window: Gate.COVERED
        life.pipeline.conclusions.shows = shows
        life.rig.offer([link_up(1)])
        await _seal(life, 1, b"150")
        then(life)
        await life.feed()
        assert sum(life.pipeline.conclusions.stats.verdicts.values()) == 1
        return [(one.key, json.loads(one.payload)["state"]) for one in life.sent if one.retain]

    return body


@pytest.mark.parametrize("seen", [False, True])
def test_a_covered_window_opens_an_incident_that_is_seen_if_that_of_the_other_agent_goes(
    tmp_path: Path, seen: bool
) -> None:
    """Without a verdict or an event, which the other agent has published."""
    sent = in_a_life(tmp_path, _covered(lambda _window: seen, lambda _life: None), high=100, routes=ROUTES)
    assert [(key.startswith(INCIDENT), state) for key, state in sent] == [(True, "open")] * seen


def test_what_is_open_is_published_as_it_is_now(tmp_path: Path) -> None:
    """When the agent holds the partition again."""
    sent = in_a_life(
        tmp_path,
        _covered(lambda _window: False, lambda life: life.pipeline.conclusions.show_incidents()),
        high=100,
        routes=ROUTES,
    )
    assert [(key.startswith(INCIDENT), state) for key, state in sent] == [(True, "open")]
