"""``edge-sim run``: repeated bytes, its own metrics, errors in one line."""

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from simulator import scrape
from simulator.cli import main
from simulator.exposition import MAX_CLIENTS, Exposition, FleetCollector
from simulator.outgoing import LinkStats
from tests.simulator.listener import Listener
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
SCENARIO = """
title: t
history: {span_s: 60, per_message: 20}
devices:
  - {id: d-1, signal: freezer, topic: "NAME/{device}", availability: "NAME/{device}/availability"}
  - {id: d-2, signal: pump, topic: "NAME/{device}/{metric}", payload: value, qos: 0}
faults:
  - {device: d-1, metric: temperature, kind: spike, from_s: 2, for_s: 3, size: 9}
"""


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(SCENARIO.replace("NAME", name))
    return path


def run(broker: Broker, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "simulator", "run", "--broker", broker.url, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.process
def test_a_manifest_repeats_a_run_byte_for_byte_on_the_wire(broker: Broker, tmp_path: Path) -> None:
    """Topics, payloads, QoS, times and order that a subscriber sees are the same; another seed's are not."""
    scenario, manifest = write(tmp_path, "twice"), tmp_path / "run.json"
    seen = []
    for args in (
        [
            str(scenario),
            "--seed",
            "7",
            "--for",
            "0.4",
            "--speed",
            "60",
            "--history",
            "--manifest",
            str(manifest),
        ],
        ["--again", str(manifest)],
        [str(scenario), "--seed", "8", "--for", "0.4", "--speed", "60", "--history"],
    ):
        listener = Listener(broker, "twice/#")
        done = run(broker, *args)
        assert (done.returncode, done.stderr) == (0, "")
        count = int(json.loads(manifest.read_text())["messages"])

        def fresh(listener: Listener = listener) -> list[tuple[str, bytes, int, dict[str, str]]]:
            """Return the messages except the retained ones of the last run."""
            return [item[:4] for item in listener.got if not item[4]]

        wait_for(lambda fresh=fresh, count=count: len(fresh()) >= count + 2)  # type: ignore[misc]  # with online and offline
        seen.append(fresh())
        listener.close()
        if "--again" in args:
            assert "the same bytes as before, in the same order\n" in done.stdout
    assert len(seen[0]) == count + 2 > 100
    assert seen[0] == seen[1] != seen[2]
    assert {item[2] for item in seen[0]} == {0, 1}
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", item[3]["sent"])
        for item in seen[0]
        if not item[0].endswith("/availability")
    )


@pytest.mark.process
def test_a_run_that_was_cut_short_is_repeated_as_far_as_it_went(broker: Broker, tmp_path: Path) -> None:
    """The number of messages is in the manifest: a run without an end is repeated to where it ended."""
    manifest = tmp_path / "run.json"
    scenario = write(tmp_path, "short")
    assert (
        run(broker, str(scenario), "--for", "0.3", "--speed", "60", "--manifest", str(manifest)).returncode
        == 0
    )
    body = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**body, "for_s": None}))
    done = run(broker, "--again", str(manifest))
    assert done.returncode == 0
    assert f"live: {body['messages']} messages" in done.stdout
    assert "the same bytes" in done.stdout


def test_what_cannot_be_repeated_is_said(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A changed scenario, other bytes than noted, a file of another kind, options that it decides."""
    scenario, manifest = write(tmp_path, "other"), tmp_path / "run.json"
    args = ["--for", "0.2", "--speed", "20", "--manifest", str(manifest), "--broker", broker.url]
    assert main(["run", str(scenario), *args]) == 0
    body = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**body, "wire_sha256": "0" * 64}))
    assert main(["run", "--again", str(manifest), "--broker", broker.url]) == 70
    assert "other bytes than before" in capsys.readouterr().err
    assert main(["run", "--again", str(manifest), "--seed", "5"]) == 2
    assert "--seed is decided by the manifest" in capsys.readouterr().err
    scenario.write_text(scenario.read_text() + "# changed\n")
    assert main(["run", "--again", str(manifest)]) == 2
    assert "is not what it was in that run" in capsys.readouterr().err
    for text in ("", "{}", '{"manifest": 2}', "[" * 100_000, json.dumps({**body, "seed": "x"})):
        manifest.write_text(text)
        assert main(["run", "--again", str(manifest)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"edge-sim: {manifest}: is ")
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "says", "code"),
    [
        (["demo", "--manifest", "/nowhere/x"], "/nowhere/x: cannot be written: No such file", 2),
        (["demo", "--labels", "/nowhere/x"], "/nowhere/x: cannot be written: No such file", 2),
        (["demo", "--metrics", "192.0.2.1:1"], "--metrics 192.0.2.1:1: cannot be served there", 69),
        (["nix"], "no scenario 'nix'; use one of ", 2),
    ],
)
def test_what_is_wrong_is_one_line(
    broker: Broker, args: list[str], says: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where and why, before a message is sent."""
    assert main(["run", *args, "--broker", broker.url, "--for", "0.1"]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--flap=x", "--flap=1", "--flap=9:0", "--flap=9:1:2", "--connections=one"]
)
def test_options_that_make_no_sense_are_wrong_usage(option: str) -> None:
    """They end with 2."""
    with pytest.raises(SystemExit) as caught:
        main(["run", "demo", option])
    assert caught.value.code == 2


@pytest.mark.process
@pytest.mark.slow
def test_run_serves_its_own_metrics(broker: Broker, tmp_path: Path) -> None:
    """A scrape during the run shows sent and acknowledged messages, and the connections."""
    port = free_port()
    args = ["--broker", broker.url, "--for", "3", "--speed", "5", "--flap", "4:1", "--connections", "each"]
    args.append(f"--metrics=127.0.0.1:{port}")
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "run", str(write(tmp_path, "scraped")), *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    last = None
    while process.poll() is None:
        last = scrape.metrics(f"http://127.0.0.1:{port}", 1.0) or last
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert f"metrics: http://127.0.0.1:{port}/metrics\n" in out
    assert last is not None
    assert last.total("edge_sim_connections") == 2
    assert last.total("edge_sim_messages_sent_total") > 20
    assert last.total("edge_sim_messages_acked_total") > 10
    assert last.total("edge_sim_disconnects_total") >= last.total("edge_sim_reconnects_total") > 0
    assert last.total("edge_sim_messages_refused_total") == 0


@pytest.mark.slow
def test_idle_clients_do_not_block_a_scrape() -> None:
    """Some idle clients leave room; another address than /metrics is not there."""
    collector = FleetCollector(stats=lambda: LinkStats(published=5, acked=3), links=1, up=lambda: 1)
    with Exposition(host="127.0.0.1", port=0, collector=collector) as served:
        base = served.url.removesuffix("/metrics")
        port = int(base.rpartition(":")[2])
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_CLIENTS - 2)]
        samples = scrape.metrics(base, 60.0)
        assert samples is not None
        assert samples.total("edge_sim_messages_in_flight") == 2
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{base}/", timeout=60)
        for one in idle:
            one.close()
