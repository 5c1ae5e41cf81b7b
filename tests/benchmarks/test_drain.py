"""The promised memory ceilings, on a small backlog."""

import pytest

from tests.benchmarks.drain import Drain, run, show

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

MESSAGES, SERIES = 12_000, 300
MAX_MIB, MAX_AI_MIB = 54, 86


@pytest.fixture(scope="module")
def drains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drain]:
    """One small run, by the name of its row."""
    drains = run(messages=MESSAGES, series=SERIES, folder=tmp_path_factory.mktemp("drain"))
    print(show(drains))
    return {drain.name: drain for drain in drains}


def test_without_ai_it_is_small_and_loads_no_client(drains: dict[str, Drain]) -> None:
    """Review `none` at 300 series: at most 54 MiB at the peak, neither openai nor grpc loaded."""
    drain = drains["agent, review none"]
    assert (drain.openai, drain.grpc) == (False, False)
    assert drain.peak_rss_mib <= MAX_MIB


def test_with_ai_it_stays_below_its_ceiling(drains: dict[str, Drain]) -> None:
    """Review `suspicious` at 300 series after AI calls: at most 86 MiB at the peak, grpc not loaded."""
    drain = drains["agent, suspicious"]
    assert (drain.openai, drain.grpc) == (True, False)
    assert drain.peak_rss_mib <= MAX_AI_MIB


def test_the_yardstick_reads_the_same_backlog(drains: dict[str, Drain]) -> None:
    """Bare paho drains as many messages, and uses neither client."""
    bare = drains["bare paho"]
    assert (bare.messages, bare.openai, bare.grpc) == (MESSAGES, False, False)
    assert bare.us_per_reading > 0
