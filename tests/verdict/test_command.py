"""Commands are read strictly; answers stay below the agent's own topic."""

import json
import random
from contextlib import suppress

import pytest

from agent.domain.records import Command, CommandOutcome, CommandReason, Do, Reply
from agent.verdict.command import CommandError, answer, correlation_of, read_command, reply_topic

BASE = "edge-agent/gw1"


def say(**keys: object) -> bytes:
    return json.dumps(keys).encode()


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        (say(do="ack", finding_id="0a1b", id="c-1"), Command(Do.ACK, "c-1", "0a1b")),
        (say(do="ack", device="k/\N{DEGREE SIGN}", note=None), Command(Do.ACK, device="k/\N{DEGREE SIGN}")),
        (
            say(do="snooze", finding_id="0a1b", until="2026-05-01T08:00:00+02:00"),
            Command(Do.SNOOZE, finding_id="0a1b", until=1777615200.0),
        ),
        (say(do="snooze", device="d", **{"for": "24h"}), Command(Do.SNOOZE, device="d", for_s=86_400.0)),
        (
            say(do="maintenance", device="cold/*", **{"from": 5, "until": 9.5}, note="new\ncompressor"),
            Command(Do.MAINTENANCE, device="cold/*", since=5.0, until=9.5, note="new compressor"),
        ),
        (say(do="ack", incident_id="0a1b"), Command(Do.ACK, incident_id="0a1b")),
        (say(do="pause_model"), Command(Do.PAUSE_MODEL)),
        (say(do="pause_model", **{"for": "4h"}), Command(Do.PAUSE_MODEL, for_s=14_400.0)),
        (say(do="resume_model", note="back"), Command(Do.RESUME_MODEL, note="back")),
        (say(do="forget", device="old"), Command(Do.FORGET, device="old")),
        (say(do="confirmed", finding_id="a" * 16), Command(Do.CONFIRMED, finding_id="a" * 16)),
    ],
)
def test_a_command_is_read(payload: bytes, command: Command) -> None:
    """Times have their zone or are Unix seconds; a note is one line."""
    assert read_command(payload) == command


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "command: "),
        (b"[]", "is not an object"),
        (b'{"do":"ack","do":"forget"}', "command: "),
        (b"\xff", "command: "),
        (say(), "do is unknown; use one of ack, snooze"),
        (say(do=["ack"]), "do is unknown"),
        (say(do="ack"), "ack needs one of device, finding_id, incident_id"),
        (say(do="ack", finding_id="0a1b", device="d"), "ack needs one of"),
        (say(do="ack", finding_id="0a1b", incident_id="0a1b"), "ack needs one of"),
        (say(do="ack", incident_id="../x"), "incident_id is not an id of an incident"),
        (say(do="normal_here", incident_id="0a1b"), "normal_here has the key 'incident_id'"),
        (say(do="pause_model", device="d"), "pause_model has the key 'device'"),
        (say(do="pause_model", until=5, **{"for": "4h"}), "pause_model needs one of until and for"),
        (say(do="resume_model", **{"for": "4h"}), "resume_model has the key 'for'"),
        (say(do="confirmed"), "confirmed needs one of device, finding_id"),
        (say(do="ack", finding_id="0A1B"), "finding_id is not an id of a finding"),
        (say(do="ack", finding_id="0a1"), "finding_id is not an id of a finding"),
        (say(do="ack", device=""), "device is not a name"),
        (say(do="ack", device="x" * 1025), "device is not a name"),
        (say(do="ack", device="x", until=5), "ack has the key 'until'; leave it out"),
        (say(do="ack", device="x", **{"a\u202eb": 5}), "ack has the key 'a b'"),
        (say(do="ack", device="x", id="a b"), "id is not an id"),
        (say(do="ack", device="x", note=5), "note is not text"),
        (say(do="forget"), "forget names no device"),
        (say(do="snooze", device="x"), "snooze needs one of until and for"),
        (say(do="snooze", device="x", until=5, **{"for": "1h"}), "snooze needs one of until and for"),
        (say(do="snooze", device="x", until="2026-05-01T08:00:00"), "until is not a time"),
        (say(do="snooze", device="x", until=True), "until is not a time"),
        (say(do="snooze", device="x", **{"for": "1w"}), "for is not a time span"),
        (say(do="snooze", device="x", **{"for": 5}), "for is not a time span"),
        (b'{"do":"snooze","device":"x","until":1e999}', "command: "),
        (b'{"do":"forget","device":"\\ud800"}', "command: "),
    ],
)
def test_anything_else_is_refused_with_a_remedy(payload: bytes, words: str) -> None:
    """The words name the key and what to send."""
    with pytest.raises(CommandError, match=r"^\w+: command: ") as caught:
        read_command(payload)
    assert words in caught.value.detail


def test_json_that_is_not_a_command_has_a_reason_of_its_own() -> None:
    """A broken payload keeps the reason of JSON."""
    for payload, reason in (
        (say(do="ack", finding_id="x"), "bad_command"),
        (b"[]", "bad_command"),
        (b"{", "bad_json"),
    ):
        with pytest.raises(CommandError) as caught:
            read_command(payload)
        assert caught.value.reason == reason


def test_the_id_of_a_refused_command_is_known_for_the_answer() -> None:
    """If it is one."""
    for given, known in (("c-1", "c-1"), ("c 1", ""), (5, "")):
        with pytest.raises(CommandError) as caught:
            read_command(say(do="nothing", id=given))
        assert caught.value.command_id == known


def test_noise_raises_nothing_else() -> None:
    """A thousand damaged commands are commands or refused."""
    rng = random.Random(5)
    whole = bytearray(say(do="snooze", finding_id="0a1b", until="2026-05-01T08:00:00Z", id="c", note="x"))
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with suppress(CommandError):
            read_command(bytes(damaged))


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "elsewhere",
        f"{BASE}/command",
        f"{BASE}/command/",
        f"{BASE}/command/+",
        f"{BASE}/command/a#",
        f"{BASE}/command/a\0",
        f"{BASE}/command/{'a' * 300}",
        f"{BASE}/status",
        f"{BASE}/verdicts/th1",
        f"{BASE}2/command/a",
    ],
)
def test_an_answer_goes_nowhere_but_below_command(topic: str) -> None:
    """A client that may command the agent must not publish verdicts through it."""
    assert reply_topic(BASE, Reply(topic)) == f"{BASE}/command/result"


def test_an_answer_goes_where_its_sender_waits() -> None:
    """With its correlation data, unless that is out of proportion."""
    assert reply_topic(BASE, Reply(f"{BASE}/command/result/7")) == f"{BASE}/command/result/7"
    assert reply_topic(BASE, None) == f"{BASE}/command/result"
    assert correlation_of(Reply("", b"\0\1")) == b"\0\1"
    assert correlation_of(Reply("", b"x" * 257)) is None
    assert correlation_of(None) is None


def test_an_answer_names_the_reason() -> None:
    """A command that could not be read has no word and perhaps no id."""
    outcome = CommandOutcome(accepted=False, reason=CommandReason.INVALID, detail="why")
    body = json.loads(answer("", None, outcome))
    assert (body["id"], body["do"], body["accepted"], body["reason"]) == (None, None, False, "invalid")
