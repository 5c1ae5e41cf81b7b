"""A real agent reports only facts: of series, of the model, after a restart."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.verdict.encode import iso
from tests.integration.model_site import DEVICE, LIMIT_S, Site
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import answer_of, windows_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

OVER = {
    "sources": [{"topic": "truth/{device}/{metric}"}],
    "limits": {
        "*/temperature": {"high": 85, "unit": "degC"},
        "*/power": {"high": 3000, "unit": "W"},
        "boiler/temprature": {"high": 90},
    },
    "review": {"mode": "none", "window": {"max_age_s": 60, "max_readings": 51}},
}


def command(capsys: pytest.CaptureFixture[str], agent: AgentProcess, *argv: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main([*argv, "--config", str(agent.config_path)])
    return code, capsys.readouterr().out


def verdicts(client: Any, device: str) -> list[dict[str, Any]]:
    """Return what came on a device's verdict topic."""
    said = [json.loads(item.payload) for item in client.heard if f"/verdicts/{device}" in item.topic]
    return [one for one in said if one["device"] == device]


def readings(client: Any, device: str) -> int:
    """Return how many readings the verdicts of a device cover."""
    return sum(one["window"]["readings"] for one in verdicts(client, device))


@pytest.mark.process
def test_learning_limits_and_findings_are_said_also_after_a_restart(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """102 of 150 readings are not learnt, a limit in another unit does not hold. Restarts forget nothing."""
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings=OVER)
    with peer(broker.port, f"{agent.base_topic}/#") as client, agent:
        for place in range(101):
            send(client, "truth/room/temperature", json.dumps({"value": 21 + place % 7 / 10, "unit": "C"}))
        send(client, "truth/room/temperature", '{"value": 84, "unit": "C"}')
        for _ in range(51):
            send(client, "truth/plug/power", '{"value": 9.5, "unit": "A"}')
            send(client, "truth/oven/temperature", '{"value": 99, "unit": "C"}')
        counts = {"room": 102, "plug": 51, "oven": 51}
        for name, count in counts.items():
            wait_for(lambda name=name, count=count: readings(client, name) == count, LIMIT_S, name)  # type: ignore[misc]
        room, plug, oven = (verdicts(client, name)[-1] for name in counts)
        assert (room["learning"]["seen"], room["learning"]["needed"]) == (102, 150)
        assert room["summary"].startswith("still learning (102 of 150): temperature")
        assert "The limit of power is in W, the readings are in A" in plug["summary"]
        assert (oven["status"], oven["kind"]) == ("anomaly", "out_of_range")
        _, words = command(capsys, agent, "inspect", "room")
        assert "still learning (102 of 150), so that only limits alarm" in words
        _, words = command(capsys, agent, "inspect", "plug")
        assert "not checked: the limit is in W, the readings are in A" in words

        def told() -> dict[str, Any]:
            return agent.status()

        wait_for(lambda: told()["counters"]["learning"] == 3, 2 * LIMIT_S, "the count of the learning")
        (metric,) = next(one for one in told()["devices"] if one["id"] == "room")["metrics"]
        assert metric["learning"].items() >= {"seen": 102, "needed": 150}.items()
        (unfit,) = [one for one in told()["problems"] if "'*/power'" in one]
        assert "is in W, but plug/power sends A" in unfit
        assert told()["state"] == "degraded"
        said = [*told()["problems"], *told()["notes"]]
        (unmatched,) = [one for one in said if "'boiler/temprature'" in one]
        assert "matches no series" in unmatched
        (before,) = told()["findings"]
        assert before["summary"] == oven["summary"]
        agent.stop()
        agent.start().wait_ready()
        (after,) = told()["findings"]
        assert after == before
        assert (after["advice"], after["verdict_id"]) == (oven["advice"], oven["id"])
        assert after["evidence"] == oven["evidence"]
        _, out = command(capsys, agent, "doctor", "--json", "--no-ai", "--listen", "0.1")
        lines = {line["check"]: line for line in json.loads(out)["lines"]}
        assert "plug/power sends A" in lines["limits */power"]["what"]
        assert "matches no series" in lines["limits boiler/temprature"]["what"]


@pytest.mark.broker
@pytest.mark.process
def test_refused_verdicts_are_named_with_since_when_and_what_helps(tmp_path: Path) -> None:
    """An ACL without the right to write: topic, time, code and remedy, the same after a restart."""
    acl = tmp_path / "acl"
    acl.write_text("topic read load/#\ntopic write load/#\ntopic write edge-agent/gw/status\n")
    acl.chmod(0o644)
    broker = Broker(tmp_path / "broker", f"acl_file {acl}").start()
    try:
        agent = AgentProcess(tmp_path / "agent", broker_url=broker.url)
        with peer(broker.port) as client, agent:
            send(client, "load/d1", "20")

            def refused() -> list[str]:
                return [one for one in agent.status()["problems"] if "has refused" in one]

            wait_for(refused, 3 * LIMIT_S, "the refusal is said")
            (said,) = refused()
            assert "the messages of edge-agent/gw/verdicts/d1 since " in said
            assert "reason code 0x87" in said
            assert "Allow the agent to write below edge-agent/gw/" in said
            wait_for(lambda: _refused_at(agent) is not None, LIMIT_S, "the refusal is journaled")
            at = _refused_at(agent)
            assert at is not None
            wait_for(lambda: _since(refused()[0]) == iso(at), 2 * LIMIT_S, "the time of the refusal")
            agent.stop()
            agent.start()
            wait_for(lambda: agent.is_ready() and refused(), 3 * LIMIT_S, "it is said again")
            wait_for(lambda: _since(refused()[0]) == iso(at), 2 * LIMIT_S, "since the same moment")
    finally:
        broker.stop()


def _refused_at(agent: AgentProcess) -> float | None:
    with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True)) as connection:
        at: float | None = connection.execute("SELECT min(refused) FROM outbox").fetchone()[0]
    return at


def _since(said: str) -> str:
    return said.partition(" since ")[2].partition(" ")[0]


def test_a_model_that_does_not_exist_is_never_called_available(
    start: Callable[..., Site], capsys: pytest.CaptureFixture[str]
) -> None:
    """State and doctor report that it has never answered, why, and what to change; then that it answers."""
    site = start(default="404")
    assert site.agent.status()["ai"]["answering"] == "not_asked"
    site.feed(DEVICE, windows=2)
    status = site.agent.status()
    assert (status["state"], status["ai"]["answering"]) == ("degraded", "never")
    (said,) = [one for one in status["problems"] if "model" in one]
    assert said.startswith("The model has never answered: HTTP 404")
    assert "check ai.model" in said
    assert "ends as the server wants it, usually in /v1" in said
    wait_for(lambda: site.agent.events("ai_call_failure"), LIMIT_S, "the log")
    assert site.agent.events("ai_call_failure")[0]["remedy"].startswith("check ai.model")
    wait_for(lambda: "model.journaled" in _doctor(capsys, site)[1], LIMIT_S, "the journaled call")
    code, lines = _doctor(capsys, site)
    assert (code, lines["model.journaled"]["level"]) == (69, "fail")
    assert "HTTP 404" in lines["model.journaled"]["what"]
    assert lines["model.journaled"]["remedy"].startswith("check ai.model")
    site.endpoint.default = "fine"
    site.feed(DEVICE, windows=1)
    status = site.agent.status()
    assert status["ai"]["answering"] == "yes"
    assert [one for one in status["problems"] if "model" in one] == []


def test_a_first_model_that_never_answers_is_named_although_another_does(start: Callable[..., Site]) -> None:
    """Its fallback answers for it, which would hide a wrong name."""

    def answers(request: dict[str, Any]) -> str:
        return json.dumps({"windows": [answer_of(one) for one in windows_of(request)]})

    site = start(*["404", answers] * 4, over={"ai": {"fallback": ["m2"]}})
    for _ in range(4):
        site.feed(DEVICE)  # a call each
    status = site.agent.status()
    assert status["ai"]["answering"] == "yes"
    (said,) = [one for one in status["problems"] if "model" in one]
    assert said.startswith("The model m1 has never answered: HTTP 404")
    assert "another one answers in its place" in said


def _doctor(capsys: pytest.CaptureFixture[str], site: Site) -> tuple[int, dict[str, Any]]:
    code, out = command(capsys, site.agent, "doctor", "--json", "--listen", "0.1")
    return code, {line["check"]: line for line in json.loads(out)["lines"]}
