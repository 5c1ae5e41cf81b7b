"""Record and replay through a real broker: the messages return unchanged."""

import base64
import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulator.cli import main
from tests.simulator.listener import Listener
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]


class Recorder:
    """A ``record`` that listens; its first line reports that."""

    def __init__(self, broker: Broker, topic_filter: str, sign: str, out: Path) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "simulator",
                "record",
                topic_filter,
                "--broker",
                broker.url,
                "--out",
                str(out),
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

        def recording() -> bool:
            subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", sign, "-m", "sign"], check=True)
            return out.exists() and out.read_bytes() != b""

        wait_for(recording, 10, "the recording begins", 0.1)

    def end(self, count: int, sign: str) -> list[dict[str, Any]]:
        """Return the recorded messages without the mark, once ``count`` messages are there."""
        wait_for(lambda: len(self._read(sign)) >= count, 10, f"{count} messages are recorded")
        self.process.send_signal(signal.SIGINT)
        _, error = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        assert "messages recorded in" in error
        return self._read(sign)

    def _read(self, sign: str) -> list[dict[str, Any]]:
        whole = self.out.read_text().rpartition("\n")[0]
        return [one for line in whole.splitlines() if (one := json.loads(line))["topic"] != sign]


def say_everything(broker: Broker, base: str) -> int:
    """Publish what a recording must keep, on one connection; returns how many."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("traceparent", "00-a-b-01"), ("k", "1"), ("k", "zwei")]
    properties.ContentType = "application/json"
    properties.ResponseTopic = f"{base}/answer"
    properties.CorrelationData = b"\x00\xff"
    properties.MessageExpiryInterval = 86_400
    properties.PayloadFormatIndicator = 1
    said: list[tuple[str, bytes, int, bool, Properties | None]] = [
        (f"{base}/a", b'{"value":1}', 1, False, properties),
        (f"{base}/b/c", b"\x00\xff\n\r", 1, True, None),
        (f"{base}/b/c", b"", 1, True, None),
        (f"{base}/\u00fc/\u65e5", "\u00b0".encode(), 0, False, None),
        (f"{base}/big", b"x" * 100_000, 1, False, None),
        *((f"{base}/n", str(number).encode(), number % 2, False, None) for number in range(100)),
    ]
    for topic, payload, qos, retain, more in said:
        client.publish(topic, payload, qos, retain, more).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    return len(said)


@pytest.mark.process
@pytest.mark.slow
def test_what_is_recorded_and_replayed_is_the_same_byte_for_byte(broker: Broker, tmp_path: Path) -> None:
    """Topic, payload, QoS, retain flag, properties and order of two recordings, the second of a replay."""
    first = Recorder(broker, "tape/#", "tape/sign", tmp_path / "a.jsonl")
    count = say_everything(broker, "tape")
    before = first.end(count, "tape/sign")
    assert len(before) == count
    tape = tmp_path / "tape.jsonl"
    tape.write_text("".join(json.dumps(one) + "\n" for one in before))
    second = Recorder(broker, "tape/#", "tape/sign", tmp_path / "b.jsonl")
    assert main(["replay", str(tape), "--broker", broker.url, "--fast"]) == 0
    after = second.end(count, "tape/sign")
    assert [strip(one) for one in after] == [strip(one) for one in before]
    assert [one["offset"] for one in before] == sorted(one["offset"] for one in before)
    assert before[1]["retain"] is True
    assert base64.b64decode(before[1]["payload"]) == b"\x00\xff\n\r"
    assert before[0]["properties"]["user"] == [["traceparent", "00-a-b-01"], ["k", "1"], ["k", "zwei"]]
    assert set(before[0]["properties"]) == {
        "user",
        "content_type",
        "response_topic",
        "correlation_data",
        "expiry_s",
        "payload_format",
    }


def strip(one: dict[str, Any]) -> dict[str, Any]:
    properties = {name: value for name, value in one.get("properties", {}).items() if name != "expiry_s"}
    return {**one, "offset": None, "properties": properties}


def test_a_recording_can_go_to_other_topics_at_its_own_pace(broker: Broker, tmp_path: Path) -> None:
    """Twice as fast, below another topic, at another QoS."""
    tape = tmp_path / "x.jsonl"
    tape.write_text("".join(line(offset, "t") for offset in (0, 0.4, 0.8)))
    listener = Listener(broker, "moved/#")
    began = time.monotonic()
    args = ["--speed", "2", "--topic", "moved/{topic}", "--qos", "0"]
    assert main(["replay", str(tape), "--broker", broker.url, *args]) == 0
    assert time.monotonic() - began >= 0.4
    assert [item[:3] for item in listener.wait_for(3)] == [("moved/t", b"1", 0)] * 3
    listener.close()


def line(offset: float, topic: str) -> str:
    return json.dumps({"offset": offset, "topic": topic, "payload": "MQ=="}) + "\n"


WIDE = "Time;temp;hum\n2026-01-01 00:00:00;20.5;40\n2026-01-01T00:00:01Z;21.5;\n1767225602000;;42.25\n"


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (
            ["--topic", "csv/{name}/{metric}"],
            [
                ("csv/my-room/temp", {"ts": 1767225600.0, "value": 20.5}),
                ("csv/my-room/hum", {"ts": 1767225600.0, "value": 40}),
                ("csv/my-room/temp", {"ts": 1767225601.0, "value": 21.5}),
                ("csv/my-room/hum", {"ts": 1767225602.0, "value": 42.25}),
            ],
        ),
        (
            ["--topic", "csv/{name}"],
            [
                ("csv/my-room", {"ts": 1767225600.0, "temp": 20.5, "hum": 40}),
                ("csv/my-room", {"ts": 1767225601.0, "temp": 21.5}),
                ("csv/my-room", {"ts": 1767225602.0, "hum": 42.25}),
            ],
        ),
    ],
)
def test_a_wide_table_becomes_readings(
    broker: Broker, tmp_path: Path, args: list[str], wanted: list[tuple[str, object]]
) -> None:
    """A topic per column, or one for the row; three ways to write a time, and a missing value."""
    path = tmp_path / "my room.csv"
    path.write_text("\ufeff" + WIDE)
    listener = Listener(broker, "csv/#")
    assert main(["replay", str(path), "--broker", broker.url, "--fast", *args]) == 0
    assert [(item[0], json.loads(item[1])) for item in listener.wait_for(len(wanted))] == wanted
    listener.close()


@pytest.mark.process
def test_a_table_can_be_of_now_and_go_round(broker: Broker, tmp_path: Path) -> None:
    """Each round goes on where the last ended, one step later; the first ends about now."""
    path = tmp_path / "round.csv"
    path.write_text("timestamp,value\n1000,1\n1060,2\n1120,3\n")
    listener = Listener(broker, "round/#")
    args = ["--broker", broker.url, "--speed", "600", "--topic", "round/{metric}", "--now", "--loop"]
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "replay", str(path), *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    got = [json.loads(item[1]) for item in listener.wait_for(7)[:7]]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert [one["value"] for one in got] == [1, 2, 3, 1, 2, 3, 1]
    assert [round(b["ts"] - a["ts"]) for a, b in itertools.pairwise(got)] == [60] * 6
    assert abs(got[2]["ts"] - time.time()) < 60
    listener.close()


@pytest.mark.process
def test_record_ends_with_its_reader(broker: Broker) -> None:
    """A pipe that is closed ends it without a word of Python's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "record", "pipe/#", "--broker", broker.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()

    def ended() -> bool:
        subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", "pipe/a", "-m", "1"], check=True)
        return process.poll() is not None

    wait_for(ended, 20, "the end of the process", 0.1)
    assert process.returncode == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "says", "code"),
    [
        (["record", "#", "--out", "/nowhere/x"], "/nowhere/x: cannot be written: No such file", 69),
        (["record", "#", "--broker", "127.0.0.1:PORT"], "broker 127.0.0.1:PORT: Connection refused", 69),
        (["replay", "/nowhere/x.jsonl"], "/nowhere/x.jsonl: cannot be read: No such file", 2),
        (["replay", "/nowhere/x.csv"], "/nowhere/x.csv: cannot be read: No such file", 2),
        (["replay", "/etc"], "/etc: cannot be read: Is a directory", 2),
        (["replay", "GOOD", "--broker", "127.0.0.1:PORT"], "broker 127.0.0.1:PORT: Connection refused", 69),
        (["replay", "GOOD", "--now"], "--now is for CSV files", 2),
        (["replay", "GOOD", "--topic", "a/#"], "message 1 has the topic 'a/#' with a wildcard", 2),
    ],
)
def test_what_is_wrong_is_one_line(
    args: list[str], says: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, where and why."""
    good, port = tmp_path / "good.jsonl", str(free_port())
    good.write_text(line(0, "a"))
    assert main([one.replace("PORT", port).replace("GOOD", str(good)) for one in args]) == code
    error = capsys.readouterr().err
    assert says.replace("PORT", port) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "a/#/b", "a#", "a+/b", "a\0"])
def test_what_is_no_filter_is_wrong_usage(text: str) -> None:
    """It ends with 2 before anything is connected."""
    with pytest.raises(SystemExit) as caught:
        main(["record", text])
    assert caught.value.code == 2
