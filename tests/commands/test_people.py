"""Findings, devices and maintenance from the command line, with a running agent."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.commands.checks.feedback import look_at_feedback
from agent.config import load_apart
from agent.domain.records import Command, CommandOutcome, CommandReason, CommandRow, Do
from agent.journal import commands
from agent.journal.store import Store
from tests.commands.kit import as_json, ask, write_config
from tests.integration.test_commands import SOON_S, agent_of, break_limit, findings, person
from tests.journal.rig import Rig
from tests.mqtt.link_harness import send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

DEAD = {"url": f"mqtt://127.0.0.1:{free_port()}"}


def test_a_person_works_through_the_findings(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """List, acknowledge, snooze, a refusal with its reason, maintenance, forget."""
    agent = agent_of(tmp_path, broker)
    config = ("--config", str(agent.config_path))
    with agent, person(agent, broker) as someone:
        finding = break_limit(agent, someone)
        wait_for(lambda: bool(listed(capsys, agent)), SOON_S, "the finding is journaled")
        assert listed(capsys, agent)[0] | {"open_s": 0} == {
            "id": finding,
            "device": "oven",
            "kind": "out_of_range",
            "severity": "critical",
            "opened_at": findings(agent)[0]["opened_at"],
            "open_s": 0,
            "verdicts": 1,
            "state": "open",
            "until": None,
            "maintenance": False,
            "cites": ["temperature"],
        }
        code, out, err = ask(capsys, "finding", "ack", finding[:6], "--note", "door", *config)
        assert (code, out, err) == (0, f"finding {finding} of oven is acknowledged\n", "")
        told = as_json(capsys, "finding", "snooze", "--device", "oven", "--for", "2h", *config)
        assert (told["state"], told["accepted"]) == ("snoozed", True)
        code, out, err = ask(capsys, "finding", "snooze", finding, "--for", "-5m", *config)
        assert (code, out) == (2, "")
        assert "for is not a time span" in err
        code, out, err = ask(capsys, "finding", "normal", finding, *config)
        assert (code, out) == (2, "")
        assert err.startswith("edge-agent: refused (limit): a configured limit was broken")
        assert ask(capsys, "finding", "false-alarm", finding, *config)[0] == 0
        code, out, _ = ask(capsys, "maintenance", "ov*", "--for", "4h", *config)
        assert (code, out.startswith("ov* is under maintenance until 2")) == (0, True)
        assert listed(capsys, agent)[0]["maintenance"] is True
        assert ask(capsys, "maintenance", *config)[1].startswith("ov*: 2")
        code, out, _ = ask(capsys, "maintenance", "ov*", "--for", "0s", *config)
        assert (code, out) == (0, "the maintenance of ov* is over\n")
        assert ask(capsys, "maintenance", *config)[1] == "No maintenance is planned.\n"
        assert as_json(capsys, "device", "list", *config)["devices"][0]["id"] == "oven"
        assert ask(capsys, "device", "forget", "oven", *config)[:2] == (
            0,
            "oven is forgotten; it begins again with its next reading\n",
        )
        assert listed(capsys, agent) == []
        assert [one["state"] for one in listed(capsys, agent, "--all")] == ["forgotten"]
        assert ask(capsys, "device", "list", *config)[1] == "No device is known.\n"
        assert ask(capsys, "device", "forget", "oven", *config)[0] == 2


def test_an_incident_is_acknowledged(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its findings at once, but a broken limit only by its own name."""
    agent = agent_of(tmp_path, broker)
    config = ("--config", str(agent.config_path))
    with agent, person(agent, broker) as someone:
        break_limit(agent, someone)
        for value in (b"0", b"0", b"1"):
            send(someone.client, f"{tmp_path.name}/cellar/water_leak", value)
        wait_for(lambda: len(findings(agent)) == 2, SOON_S, "both are open")
        incidents = {one["device"]: one["incident_id"] for one in findings(agent)}
        code, out, _ = ask(capsys, "finding", "ack", "--incident", incidents["cellar"], *config)
        assert (code, out) == (0, "1 of 1 open findings are acknowledged\n")
        code, _, err = ask(
            capsys, "finding", "snooze", "--incident", incidents["oven"], "--for", "1h", *config
        )
        assert (code, "refused (limit)" in err) == (2, True)
        states = {one["device"]: one["state"] for one in findings(agent)}
        assert states == {"cellar": "acknowledged", "oven": "open"}


def listed(capsys: pytest.CaptureFixture[str], agent: AgentProcess, *more: str) -> list[dict[str, Any]]:
    told = as_json(capsys, "finding", "list", *more, "--config", str(agent.config_path))
    found: list[dict[str, Any]] = told["findings"]
    return found


def test_without_an_agent_nobody_answers(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 69 after five seconds, with the place to look at."""
    config = write_config(tmp_path, mqtt={"url": broker.url})
    code, out, err = ask(capsys, "finding", "ack", "0a1b", "--config", str(config))
    assert (code, out) == (69, "")
    assert "no answer within 5 s on edge-agent/gw1/command/result; does agent gw1 run" in err


@pytest.mark.parametrize(
    "argv", [["finding", "ack", "0a1b"], ["device", "forget", "x"], ["maintenance", "x", "--for", "1h"]]
)
def test_without_a_broker_the_command_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    """In one line, with exit 69."""
    config = write_config(tmp_path, mqtt=DEAD)
    code, out, err = ask(capsys, *argv, "--config", str(config))
    assert (code, out, err.count("\n")) == (69, "", 1), err
    assert err.startswith("edge-agent: ")


@pytest.mark.parametrize(
    "argv",
    [
        ["finding", "ack"],
        ["finding", "ack", "0a1b", "--device", "x"],
        ["finding", "snooze", "0a1b"],
        ["finding", "snooze", "0a1b", "--for", "1h", "--until", "5"],
        ["finding"],
        ["device", "forget"],
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    """Exit 2."""
    with pytest.raises(SystemExit) as end:
        ask(capsys, *argv, "--config", str(tmp_path))
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_plan_without_an_end_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so is a time that is none."""
    config = str(write_config(tmp_path, mqtt=DEAD))
    assert ask(capsys, "maintenance", "x", "--config", config)[0] == 2
    assert ask(capsys, "maintenance", "x", "--until", "soon", "--config", config)[0] == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["finding", "ack", "freezer-1"], "finding_id is not an id of a finding; copy it"),
        (["finding", "confirm", "0a1"], "finding_id is not an id of a finding; copy it"),
        (["finding", "ack", "--incident", "x"], "incident_id is not an id of an incident"),
        (["finding", "snooze", "0a1b", "--for", "1w"], "for is not a time span"),
        (["device", "forget", "x" * 1025], "device is not a name"),
        (["maintenance", "", "--for", "1h"], "device is not a name"),
    ],
)
def test_a_wrong_word_is_named_and_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    """Exit 2 in one line; there is no broker that could have had it."""
    config = write_config(tmp_path, mqtt=DEAD)
    code, out, err = ask(capsys, *argv, "--config", str(config))
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"edge-agent: command: {words}")


def test_lists_without_a_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 69, as with every command that reads it."""
    config = str(write_config(tmp_path, mqtt=DEAD))
    for argv in (["finding", "list"], ["device", "list"], ["maintenance"]):
        assert ask(capsys, *argv, "--config", config)[0] == 69


def test_doctor_names_a_series_with_many_false_alarms(tmp_path: Path) -> None:
    """From the third false alarm on, if fewer were confirmed."""
    config = load_apart(write_config(tmp_path))
    assert list(look_at_feedback(config)) == []
    said = ["false_alarm", "false_alarm", "confirmed", "false_alarm"]
    with Rig(config.agent.state_dir) as rig:
        for number, do in enumerate(said):
            row = CommandRow(number + 1, 1.0, Command(Do(do)))
            told = CommandOutcome(
                accepted=True,
                reason=CommandReason.DONE,
                device="oven",
                finding_id=f"f{number}",
                series=("temperature",),
            )
            rig.write(partial(journaled, row=row, told=told))
            lines = list(look_at_feedback(config))
            assert len(lines) == (number == 3)
    assert lines[0].check == "feedback oven/temperature"
    assert lines[0].what == "3 findings called false alarms, 1 confirmed"


def journaled(store: Store, *, row: CommandRow, told: CommandOutcome) -> None:
    commands.insert(store._connection, [(row, 0.0)])
    store.decide(row.seq, told)
