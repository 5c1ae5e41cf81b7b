"""The commands of edge-sim: clear lines, right exit codes, nothing left behind."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.cli import main
from tests.support.broker import Broker, free_port

ROOT = Path(__file__).parents[2]


def start(*args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_list_shows_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    """A line names the scenario, what it is and how much is in it."""
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"(?m)^demo +A pump, a freezer and a room, each with a fault \(3 devices, 7 faults", out)
    assert re.search(r"(?m)^quiet +Twenty healthy devices, one reading a minute \(20 devices, 0 faults", out)


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs, with devices and what happens to them."""
    assert main(["list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert len(found) >= 11
    assert {"id": "pump-1", "signal": "pump"}.items() <= found["demo"]["devices"][0].items()
    assert {fault["normal"] for fault in found["freezer"]["faults"]} == {True, False}


def test_validate_names_every_bad_file_and_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line for each file: good on stdout, what is wrong on stderr, and exit code 2."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("title: x\ndevices: [{id: a, signal: pomp}]\n")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert main(["validate", str(bad), "freezer", str(binary)]) == 2
    out, err = capsys.readouterr()
    assert out == "freezer: good (6 devices, 6 faults, 9 hard negatives)\n"
    first, second = err.splitlines()
    assert first.startswith(f"edge-sim: {bad}: devices[0].signal: 'pomp' is not a signal; use one of ")
    assert second == f"edge-sim: {binary}: cannot be read: is not UTF-8"


def test_validate_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is JSON, for editors."""
    assert main(["validate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "edge-sim scenario"


def test_validate_without_a_file_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to check is not good."""
    assert main(["validate"]) == 2
    assert "no file given" in capsys.readouterr().err


def test_unknown_scenario_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line that lists the choices."""
    assert main(["demo", "--scenario", "nix"]) == 2
    assert capsys.readouterr().err.startswith("edge-sim: no scenario 'nix'; use one of ")


@pytest.mark.parametrize(
    "args", [["demo", "--for", "-1"], ["demo", "--for", "x"], ["run"], [], ["run", "demo", "--broker", "a:b"]]
)
def test_wrong_usage_exits_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that make no sense end with 2, as argparse does."""
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.process
def test_run_puts_devices_on_a_broker_and_writes_the_labels(broker: Broker, tmp_path: Path) -> None:
    """The devices of a scenario run against any broker, with their true labels in a file."""
    labels = tmp_path / "labels.jsonl"
    process = start(
        "run", "demo", "--broker", broker.url, "--for", "1", "--speed", "15", "--labels", str(labels)
    )
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "4 of" not in out
    kinds = [json.loads(line)["kind"] for line in labels.read_text().splitlines()]
    assert sorted(kinds) == ["device_silent", "level_shift", "spike"]


@pytest.mark.process
def test_run_without_a_broker_exits_69() -> None:
    """Nobody at the address is a missing service."""
    process = start("run", "demo", "--broker", f"127.0.0.1:{free_port()}")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 69
    assert "Connection refused" in err
    assert err.count("\n") == 1


@pytest.mark.process
def test_model_serves_until_it_is_told_to_stop() -> None:
    """The endpoint prints its address and ends cleanly on SIGTERM."""
    process = start("model", "--port", str(free_port()), "--behaviour", "slow")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("model http://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert time.monotonic() - began < 60


def test_unknown_behaviour_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A behaviour that is not there is wrong usage."""
    assert main(["model", "--behaviour", "lazy"]) == 2
    assert "'lazy' is not a behaviour" in capsys.readouterr().err
