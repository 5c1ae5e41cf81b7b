"""Fixtures for the tests of every folder, and the check of their marks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.broker import Broker
from tests.support.marks import FIXTURES, ProcessGuard

# No time is asserted, that of generating data included.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A mutant needs a failure, not the smallest one, and the same examples each time.
settings.register_profile(
    "mutation",
    settings.get_profile("any machine"),
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "any machine"))

GUARD = ProcessGuard()


def marks_of(item: pytest.Item) -> set[str]:
    """Return the names of its marks."""
    return {mark.name for mark in item.iter_markers()}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the fixtures that it uses."""
    for fixture in getattr(item, "fixturenames", ()):
        for mark in FIXTURES.get(fixture, ()):
            item.add_marker(mark)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait for processes, so that those that compute fill the cores at the end."""
    waiting = {item.path for item in items if marks_of(item) & {"broker", "browser", "process"}}
    items.sort(key=lambda item: item.path not in waiting)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip what needs another user, and let fixtures start what the test's marks announce."""
    marks = marks_of(item)
    if "root" in marks and os.geteuid() != 0:
        pytest.skip("needs root")
    with GUARD.allowing(marks):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Let the test start what its marks announce."""
    with GUARD.allowing(marks_of(item)):
        yield


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One Mosquitto for the session; tests take topics and client ids of their own."""
    folder: Path = tmp_path_factory.mktemp("mosquitto")
    broker = Broker(folder).start()
    yield broker
    broker.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A Mosquitto that the test may stop, kill and start again."""
    broker = Broker(tmp_path / "broker").start()
    yield broker
    broker.stop()
