"""`show` and `inspect` with a running agent, and after it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from agent.commands import show
from agent.journal.reader import Reader
from tests.commands.kit import as_json, ask, write_config
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

DEVICE, CALM = "hall/boiler", "hall/room"


@pytest.fixture(scope="module")
def agent(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent with a model, one device that broke a limit, and one that did not."""
    settings = {
        "agent": {"id": "asked"},
        "sources": [{"topic": "asked/{a}/{b}/{metric}"}],
        "limits": {"*/temperature": {"high": 85, "unit": "degC"}},
        "tuning": [{"match": "*/temperature", "sensitivity": "eager"}],
        "review": {"mode": "all"},
        "logs": {"content": "full"},
    }
    with ModelEndpoint() as endpoint:
        settings["ai"] = {"base_url": endpoint.url}
        folder = tmp_path_factory.mktemp("asked")
        with AgentProcess(folder, broker_url=broker.url, settings=settings) as agent:
            feed(broker)
            wait_for(lambda: len(verdicts(agent)) >= 2, 15, "two verdicts")
            yield agent


def feed(broker: Broker) -> None:
    """Publish 40 calm readings of two devices, and one of one of them that breaks its limit."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    values = [20 + n % 5 / 10 for n in range(39)] + [99.0]
    sent = []
    for n, value in enumerate(values):
        sent.append(client.publish(f"asked/{DEVICE}/temperature", f"{value}", qos=1))
        body = json.dumps({"value": 50 + n % 3, "unit": "%"})
        sent.append(client.publish(f"asked/{CALM}/humidity", body, qos=1))
    for one in sent:
        one.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def verdicts(agent: AgentProcess) -> list[dict[str, Any]]:
    """Return the verdicts on the boiler that broke its limit, and of the room, as journaled and delivered."""
    with Reader.open(agent.state_dir) as reader:
        records = [r for r in reader.verdicts(limit=50) if r.state == "acknowledged"]
    bodies = [json.loads(record.body) for record in records]
    alarm = [one for one in bodies if one["status"] == "anomaly"]
    return alarm[:1] + [one for one in bodies if one["device"] == CALM][:1]


def config_of(agent: AgentProcess) -> str:
    return str(agent.config_path)


def test_show_in_words(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, window, opinion, section, answer, checks, batch, cost and delivery are printed."""
    verdict = verdicts(agent)[0]
    code, out, err = ask(capsys, "show", "--config", config_of(agent), verdict["id"])
    assert (code, err) == (0, "")
    for words in (
        f"verdict {verdict['id']} on hall/boiler: anomaly, critical, out_of_range",
        "delivery: acknowledged",
        "expected is up to 85",
        "    1 attempt, ",
        "local opinion: anomaly, out_of_range",
        "prompt section (",
        "answer: anomaly",
        "checks: grounded",
        "  held ",
        "batch ",
        "cost: 0.0000",
        "trace id: none; request id: ",
        " (this verdict's): ",
    ):
        assert words in out, out


def test_show_as_json(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is there as data, found by the beginning of the id too."""
    verdict = verdicts(agent)[0]
    told = as_json(capsys, "show", "--config", config_of(agent), verdict["id"][:12])
    assert told["verdict"] == verdict
    assert (
        told["window"]["count"] == told["window"]["readings_still_journaled"] or told["window"]["count"] > 0
    )
    assert told["window"]["section"]["candidates"]
    assert told["review"]["answer"]["status"] == "anomaly"
    assert all(check["held"] for check in told["review"]["checks"])
    assert verdict["id"] in told["batch"]["windows"]
    assert told["cost_usd"] == verdict["cost_usd"] > 0
    assert told["outbox"] == []


def test_show_the_words_of_the_call(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The prompt as it was sent and the reply as it came are shown; no device name is in the prompt."""
    verdict = verdicts(agent)[0]
    told = as_json(capsys, "show", "--config", config_of(agent), verdict["id"])
    (call,) = told["batch"]["detail"]["calls"]
    assert '"w":' in call["user"]
    assert '"verdicts"' in call["reply"] or '"w"' in call["reply"]
    assert "boiler" not in call["user"]


def test_the_exact_prompt_of_an_answer(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict's request id finds its prompt, line breaks and all, in the log and in the journal."""
    verdict = verdicts(agent)[0]
    request = verdict["request_id"]
    assert agent.status()["ai"]["calls"] >= 1
    told = as_json(capsys, "show", "--config", config_of(agent), verdict["id"])
    assert told["request_id"] == request
    (call,) = [one for one in told["batch"]["detail"]["calls"] if one["request_id"] == request]
    (start,) = [one for one in agent.events("ai_call_start") if one["request_id"] == request]
    (end,) = [one for one in agent.events("ai_call_success") if one["request_id"] == request]
    assert start["prompt"] == f"{call['system']}\n{call['user']}"
    assert end["response"] == call["reply"]
    assert start["prompt"].count("\n") > 5
    assert verdict["device"] in start["devices"]
    (opened,) = [one for one in agent.events("finding_opened") if one["verdict_id"] == verdict["id"]]
    assert opened["request_id"] == request
    code, out, err = ask(capsys, "show", "--config", config_of(agent), request)
    if len(call["windows"]) == 1:
        assert (code, err) == (0, "")
        assert f"verdict {verdict['id']} on " in out
    else:
        assert (code, out) == (2, "")
        assert verdict["id"] in err


def test_show_a_verdict_of_an_older_version(agent: AgentProcess) -> None:
    """A row without a request id is shown as before, with none."""
    with Reader.open(agent.state_dir) as reader:
        record = reader.verdict(verdicts(agent)[0]["id"])
        assert record is not None
        body = json.loads(record.body)
        del body["request_id"]
        old = replace(record, body=json.dumps(body).encode())

        class Old:
            """The reader, except for one verdict as the version before wrote it."""

            def __getattr__(self, name: str) -> Any:
                return getattr(reader, name)

            def verdict(self, _verdict_id: str) -> Any:
                return old

        told = show.show(cast("Reader", Old()), old.id)
    assert told["request_id"] is None
    lines = show._lines(told)
    assert any(line.endswith("request id: none") for line in lines)
    assert not any("this verdict's" in line for line in lines)


def test_show_a_verdict_that_no_call_was_about(agent: AgentProcess) -> None:
    """A window that was left when the calls of its batch failed shows no prompt as its own."""
    with Reader.open(agent.state_dir) as reader:
        told = show.show(reader, verdicts(agent)[0]["id"])
    told["request_id"] = told["verdict"]["request_id"] = None
    lines = show._lines(told)
    assert "  this verdict names none of these calls: its window was not part of them" in lines
    assert any("still learning: temperature, " in line for line in lines)


def test_inspect_a_device(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """Readings, limits, the last value and the open finding are printed in words."""
    code, out, err = ask(capsys, "inspect", "--config", config_of(agent), DEVICE)
    assert (code, err) == (0, "")
    for words in (
        "hall/boiler: 1 series, 40 readings",
        "open finding ",
        "out_of_range, critical",
        "temperature: 40 readings, still learning",
        "limits: high 85",
        "tuning: sensitivity eager, by */temperature",
        "its rhythm is not known yet: ",
        " of 20 gaps",
        "last value 99",
    ):
        assert words in out, out


def test_inspect_one_series_and_all(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """A device id with a slash and its metric are distinguished; without a name all devices are listed."""
    told = as_json(capsys, "inspect", "--config", config_of(agent), f"{CALM}/humidity")
    (series,) = told["series"]
    assert (told["device"], series["metric"], series["unit"], series["readings"]) == (
        CALM,
        "humidity",
        "%",
        40,
    )
    assert (series["last_value"], series["recent"][-1], told["finding"]) == (50, 50, None)
    every = as_json(capsys, "inspect", "--config", config_of(agent))
    assert [one["device"] for one in every["devices"]] == [DEVICE, CALM]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["show", "nonsense"], "none is journaled that begins so"),
        (["show", ""], "none is journaled"),
        (["inspect", "hall/boilr"], "known are: hall/boiler"),
        (["inspect", "hall/boiler/pressure"], "it has: temperature"),
    ],
)
def test_what_is_unknown(
    agent: AgentProcess, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    """One line that names what there is, exit code 2."""
    code, out, err = ask(capsys, argv[0], "--config", config_of(agent), argv[1])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


@pytest.mark.parametrize("command", ["show", "inspect"])
def test_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """One line that names the path and the remedy, exit code 69; nothing is made."""
    path = write_config(tmp_path)
    code, out, err = ask(capsys, command, "--config", str(path), "x")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert f"there is none at {tmp_path / 'state' / 'journal.sqlite'}" in err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", ["show", "inspect"])
def test_a_damaged_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """It is reported with its consequence, and left as it is."""
    path = write_config(tmp_path)
    (tmp_path / "state").mkdir()
    file = tmp_path / "state" / "journal.sqlite"
    file.write_text("no database")
    code, out, err = ask(capsys, command, "--config", str(path), "x")
    assert (code, out, err.count("\n")) == (69, "", 1)
    assert "is damaged" in err
    assert [one.name for one in file.parent.iterdir()] == ["journal.sqlite"]
    assert file.read_text() == "no database"


def test_afterwards(agent: AgentProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """After a clean stop the same is printed, from the snapshot, and no file is left behind."""
    before = as_json(capsys, "inspect", "--config", config_of(agent), DEVICE)
    verdict = verdicts(agent)[0]
    assert agent.stop() == 0
    stamps = {path.name: path.stat().st_mtime_ns for path in agent.state_dir.iterdir()}
    after = as_json(capsys, "inspect", "--config", config_of(agent), DEVICE)
    assert before | {"last_ago_s": 0} == after | {"last_ago_s": 0}
    assert as_json(capsys, "show", "--config", config_of(agent), verdict["id"])["verdict"] == verdict
    assert {path.name: path.stat().st_mtime_ns for path in agent.state_dir.iterdir()} == stamps


def test_the_doctor_shows_a_prompt_on_a_journaled_window(
    agent: AgentProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a device with facts, and it names an entry that covers no journaled device."""
    config = write_config(
        tmp_path,
        agent={"state_dir": str(agent.state_dir)},
        mqtt={"url": "mqtt://127.0.0.1:9"},
        ai={"base_url": "http://127.0.0.1:9/v1", "share": "names"},
        knowledge={"hall/boil?r": "It is old.", "nothing-like-it": "It is new."},
    )
    out = ask(capsys, "doctor", "--no-ai", "--listen", "0", "--json", "--config", str(config))[1]
    lines = {line["check"]: line for line in json.loads(out)["lines"]}
    example = lines["model.example"]["what"]
    assert example.startswith("all text of a call on a journaled window")
    assert f'"device":"{DEVICE}"' in example
    assert ("It is old." in example, "It is new." in example) == (True, False)
    assert lines["knowledge.nothing-like-it"]["level"] == "warn"
    assert "knowledge.hall/boil?r" not in lines
