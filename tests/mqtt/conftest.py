"""Fixtures of the link's tests."""

import pytest

from tests.support.broker import free_port


@pytest.fixture
def unused_port() -> int:
    """A port that nobody listens on."""
    return free_port()
