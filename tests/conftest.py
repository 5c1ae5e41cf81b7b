"""Fixtures that every room's tests may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.broker import Broker

settings.register_profile("any machine", deadline=None)  # a time is never asserted
settings.load_profile("any machine")


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
