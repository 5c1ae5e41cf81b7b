"""The demo's last line where the model answered nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.text import model_silence
from tests.support.broker import free_port
from tests.support.model_endpoint import ModelEndpoint

ROOT = Path(__file__).parents[2]


@pytest.mark.process
@pytest.mark.slow
def test_a_demo_with_a_wrong_endpoint_fails_with_the_remedy(tmp_path: Path) -> None:
    """The key is good, the address lacks /v1: the demo reports it at its end and does not end with 0."""
    text = (ROOT / "configs" / "demo.yaml").read_text()
    config = tmp_path / "demo.yaml"
    config.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "EDGE_"))}
    with ModelEndpoint(default="404") as endpoint:
        environment = {
            **kept,
            "TMPDIR": str(tmp_path),
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": endpoint.url.removesuffix("/v1"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "simulator", "demo", "--config", str(config), "--for", "20", "--plain"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 69, done.stdout + done.stderr
    end = done.stdout.rpartition("--- after")[2]
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
