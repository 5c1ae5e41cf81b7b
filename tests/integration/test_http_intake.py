"""Readings over HTTP as a user sends them: curl, verdicts, doctor; not the broker."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.commands.checks.intake import look_at_intake
from agent.config import load_apart
from agent.journal.reader import Reader
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def curl(agent: AgentProcess, path: str, body: str, *headers: str) -> tuple[int, dict[str, Any]]:
    """Post with curl; return status and content."""
    program = shutil.which("curl")
    assert program is not None
    argv = [program, "-sS", "-m", "10", "-w", "\n%{http_code}", "-d", body]
    for header in ("Content-Type: application/json", *headers):
        argv += ["-H", header]
    out = subprocess.run(
        [*argv, f"http://127.0.0.1:{agent.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    text, _, code = out.rpartition("\n")
    return int(code), json.loads(text)


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> AgentProcess:
    """An agent that takes readings from the broker and over HTTP; not started."""
    name = tmp_path.name
    return AgentProcess(
        tmp_path / "agent",
        broker_url=broker.url,
        settings={
            "agent": {"id": "gw"},
            "mqtt": {"base_topic": f"{name}/gw"},
            "sources": [
                {"topic": f"{name}/{{device}}"},
                {"topic": "http/plant/{device}"},
                {"topic": "http/ttn", "format": "ttn"},
            ],
            "limits": {"freezer/temperature": {"high": -10}},
            "web": {"intake": True},
        },
    )


def test_a_posted_reading_is_journaled_traced_and_judged(agent: AgentProcess) -> None:
    """A broken limit is a finding; the trace of the sender is kept, and a repeat counts once."""
    with agent:
        bodies = [
            json.dumps({"device_id": "freezer", "temperature": 4.5}),
            json.dumps([{"device_id": "a", "t": 1}, {"device_id": "b", "t": 2}]),
        ]
        traced = f"traceparent: {TRACEPARENT}"
        assert curl(agent, "/iot/data", bodies[0], traced, "Idempotency-Key: 1") == (
            202, {"status": "accepted"},
        )  # fmt: skip
        assert curl(agent, "/iot/data", bodies[0], traced, "Idempotency-Key: 1")[0] == 202
        assert curl(agent, "/iot/data", bodies[1])[0] == 202
        assert curl(agent, "/intake/plant/pump", '{"pressure": 2.5}')[0] == 202
        code, content = curl(agent, "/intake/elsewhere", "{}")
        assert (code, content["detail"]) == (404, "no source has this topic")
        wait_for(lambda: agent.status()["findings"], 20, "the limit is a finding")
        (finding,) = agent.status()["findings"]
        assert finding["device"] == "freezer"
        names = {"freezer", "a", "b", "pump"}
        wait_for(lambda: {one["id"] for one in agent.status()["devices"]} == names, 20, "all are shown")
        assert 'source="http/iot/data"' in agent.get("/metrics")[1]
        with closing(sqlite3.connect(agent.journal)) as journal:
            traces = [trace for (trace,) in journal.execute("SELECT traceparent FROM messages ORDER BY seq")]
        assert traces == [TRACEPARENT, "", ""]


def test_a_webhook_of_the_things_stack_is_read_by_its_family(agent: AgentProcess) -> None:
    """As the page on configuration has it; an uplink without a decoded payload is refused, a join is not."""
    ids = {"device_id": "dev1", "application_ids": {"application_id": "app1"}}
    uplink = {"end_device_ids": ids, "uplink_message": {"f_port": 1, "decoded_payload": {"temperature": 4.5}}}
    join = {"end_device_ids": ids, "join_accept": {"session_key_id": "AX"}}
    bare = {"end_device_ids": ids, "uplink_message": {"f_port": 1, "frm_payload": "gkHe"}}
    with agent:
        assert curl(agent, "/intake/ttn", json.dumps(uplink))[0] == 202
        assert curl(agent, "/iot/data", json.dumps(uplink))[0] == 202
        assert curl(agent, "/intake/ttn", json.dumps(bare))[0] == 422
        assert curl(agent, "/intake/ttn", json.dumps(join))[0] == 200
        wait_for(lambda: agent.status()["devices"], 20, "the device is there")
        assert [one["id"] for one in agent.status()["devices"]] == ["app1/dev1"]


def test_what_http_feeds_is_not_subscribed(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The broker is asked for the other sources alone; `check` and `explain` name both."""
    with agent:
        with Reader.open(agent.state_dir) as reader:
            subscribed = str(reader.meta("filters"))
        assert f"{agent.base_topic}/feedback" in subscribed
        assert "http/" not in subscribed
        doctor = [(line.level, line.what) for line in look_at_intake(load_apart(agent.config_path), agent=1)]
        assert [level for level, _ in doctor] == ["ok", "ok"]
        assert "takes readings on 127.0.0.1" in doctor[1][1]
    assert main(["check", "--config", str(agent.config_path)]) == 0
    assert "http/plant/{device}, http/ttn, http/iot/data over HTTP" in capsys.readouterr().out
    argv = ["explain", "http/iot/data", '{"device_id": "x", "t": 1}', "--config", str(agent.config_path)]
    assert main(argv) == 0
    assert "x / t = 1" in capsys.readouterr().out


def test_doctor_finds_an_agent_without_the_intake(agent: AgentProcess) -> None:
    """The file was changed and the agent was not restarted; or no agent answers at all."""
    agent.settings["web"]["intake"] = False
    with agent:
        path = agent.config_path
        path.write_text(path.read_text().replace("intake: false", "intake: true"))
        _, line = look_at_intake(load_apart(path), agent=1)
        assert line.level == "warn"
        assert "with 404: it runs with another configuration" in line.what
    _, line = look_at_intake(load_apart(path), agent=1)
    assert "no answer on" in line.what
    (line,) = look_at_intake(load_apart(path), agent=None)
    assert line.level == "ok"


def test_a_stop_under_posts_is_clean(agent: AgentProcess) -> None:
    """SIGTERM while a client posts: exit code 0 within the limit."""
    with agent:
        assert curl(agent, "/iot/data", '{"device_id": "x", "t": 1}')[0] == 202
        assert agent.stop() == 0


def test_an_open_port_without_a_password_is_a_weakness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` warns that anybody may post."""
    path = tmp_path / "agent.yaml"
    path.write_text('web: {listen: "0.0.0.0:8000", insecure: true, intake: true}\n')
    assert main(["check", "--config", str(path)]) == 0
    assert "web.intake: every client that reaches 0.0.0.0:8000 can post readings" in capsys.readouterr().err
