"""The demo's last line where the model answered nothing."""

from pathlib import Path

import pytest

from simulator.text import model_silence
from tests.simulator.demo_process import Demo, write_config
from tests.support.model_endpoint import ModelEndpoint


@pytest.mark.process
@pytest.mark.slow
def test_a_demo_with_a_wrong_endpoint_fails_with_the_remedy(tmp_path: Path) -> None:
    """The key is good, the address lacks /v1: the demo reports it at its end and does not end with 0."""
    with (
        ModelEndpoint(default="404") as endpoint,
        Demo(
            tmp_path,
            write_config(tmp_path),
            "--plain",
            OPENAI_API_KEY="sk-test",
            OPENAI_BASE_URL=endpoint.url.removesuffix("/v1"),
        ) as demo,
    ):
        demo.read_until("  local, error")
        assert demo.interrupt() == 69, demo.text
    end = demo.text.rpartition("--- after")[2]
    assert "The model has never answered: HTTP 404" in end
    assert "usually in /v1" in end
    assert "no verdict above is the model's" in end


@pytest.mark.parametrize(
    ("ai", "said"),
    [
        ({"answering": "yes", "in_flight": 1}, ""),
        ({"answering": "not_asked", "in_flight": 0}, ""),
        ({"answering": "not_asked", "in_flight": 2, "endpoint": "h"}, "2 calls to h still wait;"),
        ({"answering": "failing", "last_error": "timeout: no answer"}, "timeout: no answer"),
    ],
)
def test_silence_is_told_from_having_asked_nothing(ai: dict[str, object], said: str) -> None:
    """Calls that still wait at the end are reported; a demo without calls is fine."""
    words = model_silence({"ai": ai, "problems": []})
    assert said in words
    assert bool(words) == bool(said)
