"""``build`` connects the parts of an agent; two agents in one process are apart."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from agent.app.build import Agent, build
from agent.config.load import load
from tests.commands.kit import write_config
from tests.journal.rig import arrival, link_up
from tests.observe.sink import Log
from tests.support.waiting import wait_for

LIMIT_S = 20.0


@contextmanager
def built(folder: Path) -> Iterator[Agent]:
    """Build an agent and run all its threads but that of the link."""
    folder.mkdir()
    config = load(write_config(folder, web={"listen": "127.0.0.1:0"}), {})
    log, loop, errors = Log(), asyncio.new_event_loop(), list[BaseException]()
    agent = build(config, logs=log.writer, loop=loop, fail=errors.append)
    threads = [threading.Thread(target=body) for body in (loop.run_forever, agent.journal.run, agent.web.run)]
    for thread in threads:
        thread.start()
    try:
        yield agent
    finally:
        agent.web.stop()
        agent.journal.stop(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        for thread in threads:
            thread.join(LIMIT_S)
        loop.close()
        log.writer.close(LIMIT_S)
    assert errors == []


def test_a_message_goes_from_the_inbox_to_the_detector_of_its_own_agent(tmp_path: Path) -> None:
    """The journal's thread decodes and commits it and the loop takes it; the other agent sees nothing."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(built(tmp_path / name)) for name in ("a", "b"))
        assert first.journal.inbox.offer([link_up(1), arrival(1)]) == 2
        wait_for(lambda: first.pipeline.seq >= 1, LIMIT_S, "the row is taken")
        assert "edge_devices 1.0" in first.metrics.render()[0].decode()
        assert "edge_devices 0.0" in second.metrics.render()[0].decode()
        assert (second.pipeline.seq, first.problems.state()) == (0, "down")


def test_an_agent_is_frozen(tmp_path: Path) -> None:
    """Its parts are those of the build; each loop that the watchdog knows has a heartbeat."""
    with built(tmp_path / "a") as agent:
        with pytest.raises(FrozenInstanceError):
            agent.link = agent.link  # type: ignore[misc]
        assert set(agent.heartbeats()) == {"net", "journal", "analyst", "web"}
        assert agent.page.startswith("http://127.0.0.1:")
