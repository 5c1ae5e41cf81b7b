"""Commands, metrics and keys that the runbook names exist."""

import re
from pathlib import Path

import pytest
import yaml

from agent.cli import _parser
from agent.decode.family import Skip
from agent.domain.records import Reason
from tests.monitoring.test_rules import ALERTS, RECORDED

REPO = Path(__file__).resolve().parents[2]
QUOTED = sorted(set(re.findall(r"`([^`]+)`", (REPO / "docs" / "runbook.md").read_text())))
CONFIG = yaml.safe_load((REPO / "configs" / "agent.yaml").read_text())


def starting(*words: str) -> list[str]:
    """Return what the runbook quotes that begins so; there must be some."""
    found = [one for one in QUOTED if one.startswith(words)]
    assert found
    return found


@pytest.mark.parametrize("command", starting("edge-agent "))
def test_each_command_exists(command: str) -> None:
    """The arguments are taken by the real parser."""
    assert _parser().parse_args(command.split()[1:]).command


@pytest.mark.parametrize("name", starting("ai_", "ai:", "edge_"))
def test_each_metric_exists(name: str) -> None:
    """It is in docs/metrics.md, which a scrape is compared with, or a recording rule, or a log line."""
    bare = name.partition("{")[0]
    known = set(re.findall(r"`(\w+)`", (REPO / "docs" / "metrics.md").read_text()))
    assert bare in known | {rule["record"] for rule in RECORDED} | {"ai_call_failure"}


@pytest.mark.parametrize("key", [one for one in QUOTED if one.split(".")[0] in CONFIG])
def test_each_key_exists(key: str) -> None:
    """The shipped configuration has it."""
    found = CONFIG
    for part in key.split("."):
        assert part in found
        found = found[part]


def test_the_rest_is_known() -> None:
    """The other words: placeholders, words of verdicts, other people's commands, files."""
    rest = [one for one in QUOTED if not one.startswith(("edge-agent ", "ai_", "ai:", "edge_"))]
    others = ("systemctl ", "journalctl ", "mosquitto_sub ", "$SYS/")
    unknown = [
        one
        for one in rest
        if one.split(".")[0] not in CONFIG
        and not re.fullmatch(r"<\w+>", one)
        and not one.startswith(others)
        and one not in {*Reason, *Skip, "other", "error_type", "max_queued_messages", "budget.sqlite"}
        and not (REPO / one).is_file()
    ]
    assert unknown == []


def test_each_entry_says_what_the_alert_says() -> None:
    """The severity is the rule's, and there is an entry for nothing else."""
    text = (REPO / "docs" / "runbook.md").read_text()
    entries = dict(re.findall(r"^## (\w+)\n\n- \*\*Means\*\* \((\w+)\)", text, re.MULTILINE))
    assert entries == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
