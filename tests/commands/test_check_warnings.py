"""Warnings of ``check`` and ``doctor`` about a valid configuration."""

from pathlib import Path

import pytest

from agent.ai.errors import remedy
from agent.domain.model_calls import ErrorType
from tests.commands.kit import ask, write_config

pytestmark = pytest.mark.process


def test_check_warns_of_limits_in_a_unit_that_cannot_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without I/O it sees a unit that nobody knows or that does not fit; the file is valid all the same."""
    limits = {
        "*/temperature": {"high": 85, "unit": "W"},
        "*/power": {"high": 3, "unit": "Kilo"},
        "*/humidity": {"high": 90, "unit": "%"},
    }
    code, _, err = ask(capsys, "check", "--config", str(write_config(tmp_path, limits=limits)))
    warnings = sorted(line for line in err.splitlines() if line.startswith("edge-agent: warning: "))
    assert (code, len(warnings)) == (0, 2)
    assert "'*/temperature' is in W, which does not fit its metric; write one of degC" in warnings[1]
    assert "'Kilo', which is not a known unit" in warnings[0]


@pytest.mark.parametrize(
    ("url", "warns"), [("http://127.0.0.1:11434", True), ("http://127.0.0.1:11434/v1", False)]
)
def test_check_warns_of_an_address_without_a_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str, warns: bool
) -> None:
    """The usual slip: the server's address without /v1."""
    path = write_config(tmp_path, ai={"base_url": url})
    code, _, err = ask(capsys, "check", "--config", str(path))
    assert (code, "write http://127.0.0.1:11434/v1" in err) == (0, warns)


@pytest.mark.parametrize("status", [404, 405])
def test_the_remedy_for_what_is_not_there_names_model_and_address(status: int) -> None:
    """One of the two is wrong."""
    words = remedy(ErrorType.BAD_REQUEST, status)
    assert "check ai.model" in words
    assert "/v1" in words
    assert "ai.profile" in remedy(ErrorType.BAD_REQUEST, 400)


def test_check_prints_the_client_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the agent's name in it: a session is removed by it."""
    path = write_config(
        tmp_path, mqtt={"client_id": "mine-{id}"}, partition={"index": 1, "of": 2}, agent={"id": "gw1"}
    )
    code, out, _ = ask(capsys, "check", "--config", str(path))
    assert (code, "Client id: mine-gw1-1\n" in out) == (0, True)
