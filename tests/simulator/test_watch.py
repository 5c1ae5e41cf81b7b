"""The demo's received messages and lines: counted once, safe for a terminal."""

import json
from typing import Any

from simulator import text
from simulator.faults import FaultKind, Label
from simulator.link import Link
from simulator.score import Opening, match
from simulator.score.verdicts import seconds
from simulator.scrape import parse
from simulator.watch import Received, Watch
from tests.support.broker import Broker
from tests.support.waiting import wait_for

LIVE = "2026-09-21T14:13:25Z"
OLD = "2026-09-21T13:00:00Z"


def verdict(to: str = LIVE, **more: Any) -> dict[str, Any]:
    return {
        "device": "pump-1",
        "status": "anomaly",
        "severity": "critical",
        "score": 4.5,
        "kind": "spike",
        "summary": "vibration jumped to 6.5 mm/s.",
        "source": "ai",
        "reason": "reviewed",
        "cost_usd": 0.001,
        "window": {"from": to, "to": to, "readings": 15, "trigger": "suspicion"},
        **more,
    }


def event(what: str, **more: Any) -> dict[str, Any]:
    return {"event_type": what, "finding_id": "f1", "verdict": verdict(**more)}


def test_watch_counts_all_and_tells_what_is_live(broker: Broker) -> None:
    """Verdicts of the history are counted, live ones printed, and an opening is kept with its kinds."""
    kinds: list[str] = []
    watch = Watch(
        host="127.0.0.1",
        port=broker.port,
        base_topic="watch/a",
        on_message=lambda kind, _: kinds.append(kind),
    )
    watch.live_from = seconds(LIVE) - 5
    watch.now = lambda: seconds(LIVE) + 1.5
    watch.open()
    link = Link(host="127.0.0.1", port=broker.port, client_id="agent-of-watch")
    link.open(5)
    messages: list[tuple[str, Any]] = [
        ("status", {"state": "online"}),
        ("verdicts/a", verdict(OLD, source="local", reason="not_suspicious", cost_usd=None)),
        ("verdicts/a", verdict()),
        ("events/a", event("opened")),
        ("events/a", event("updated", kind="level_shift")),
        ("events/a", event("cleared", kind="none")),
        ("events/a", ["not", "an", "event"]),
    ]
    for topic, body in messages:
        link.publish(f"watch/a/{topic}", json.dumps(body).encode())
    wait_for(lambda: watch.received.malformed >= 1, 5, "the last message", 0.01)
    link.close()
    watch.close()
    received = watch.received
    assert watch.online.is_set()
    assert (received.verdicts, received.live, received.malformed) == (2, 1, 1)
    assert received.sources == {("local", "not_suspicious"): 1, ("ai", "reviewed"): 1}
    assert kinds == ["verdict", "event", "event", "event"]
    assert [(one.kind, one.seen, one.reported) for one in received.openings] == [
        ("spike", seconds(LIVE), seconds(LIVE) + 1.5)
    ]
    assert received.kinds == {"f1": ["spike", "level_shift"]}


def test_verdict_line_shows_who_said_what() -> None:
    """Time, device, status and kind, score, source with reason, and the summary are on one line."""
    line = text.verdict_line(verdict(), seconds(LIVE))
    assert " ".join(line.split()) == (
        "14:13:25 pump-1 ANOMALY spike 4.50 ai, reviewed vibration jumped to 6.5 mm/s."
    )


def test_text_from_the_broker_cannot_steer_the_terminal() -> None:
    """Control characters are shown as question marks and long text is cut."""
    line = text.verdict_line(verdict(summary="a\x1b[2Jb\nc\u202e" + "x" * 500), 0.0)
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\u202e" not in line
    assert len(line) < 200


def test_last_lines_hold_every_number_that_was_asked_for() -> None:
    """Readings, windows, calls, cost, verdicts by source and findings come from the scrape and the broker."""
    samples = parse(
        "# HELP x y\n"
        "edge_readings_total 1500\n"
        'edge_windows_total{trigger="age"} 20\nedge_windows_total{trigger="count"} 5\n'
        'ai_api_calls_total{model="m",provider="p",status="success"} 3\n'
        'ai_api_calls_total{model="m",provider="p",status="failure"} 1\n'
        'ai_tokens_processed_total{model="m",provider="p",direction="input"} 2400\n'
        'ai_tokens_processed_total{model="m",provider="p",direction="output"} 300\n'
        'ai_estimated_cost_usd_total{model="m",provider="p"} 0.00054\n'
    )
    received = Received(verdicts=25)
    received.sources.update({("local", "not_suspicious"): 22, ("ai", "reviewed"): 3})
    received.events.update({"opened": 2, "cleared": 1})
    assert text.traffic_lines(received, samples, history=1400, live=100) == [
        "readings   1,500 journaled of 1,500 sent (1,400 of history, 100 live)",
        "windows    25 sealed",
        "AI calls   4 (3 answered, 1 failed), 2,400 tokens in, 300 out, 0.000540 USD",
        "verdicts   25 from the broker: ai 3, cache 0, local 22 (not_suspicious 22)",
        "findings   2 opened, 0 updated, 1 cleared",
    ]


def test_each_fault_is_told_as_found_missed_or_too_young() -> None:
    """The truth is printed next to the findings; a fault of the last seconds is not called missed."""
    labels = [
        Label(device="a", metric="m", kind=FaultKind.SPIKE, start=10.0, end=12.0),
        Label(device="b", metric="m", kind=FaultKind.DRIFT, start=20.0, end=40.0),
        Label(device="c", metric=None, kind=FaultKind.DEVICE_SILENT, start=48.0, end=90.0),
    ]
    found = Opening(finding_id="f", device="a", kind="spike", seen=11.0, reported=12.5)
    score = match(labels, [found], grace_s=10)
    assert text.score_lines(score, kinds={"f": ["spike", "level_shift"]}, until=50.0, grace_s=10.0) == [
        "fault      spike on a/m                           found as spike, then level_shift after 2.5 s",
        "fault      drift on b/m                           MISSED",
        "fault      device_silent on c                     too new to judge",
    ]


def test_what_is_normal_is_told_as_left_alone_or_as_fooling() -> None:
    """A hard negative without a finding is not a miss; one with a finding has fooled the agent."""
    labels = [
        Label(device="a", metric=None, kind=FaultKind.DEFROST, start=10.0, end=12.0),
        Label(device="b", metric=None, kind=FaultKind.DOOR_OPEN, start=10.0, end=12.0),
    ]
    false = Opening(finding_id="f", device="b", kind="drift", seen=11.0, reported=12.5)
    score = match(labels, [false], grace_s=10)
    assert text.score_lines(score, kinds={}, until=50.0, grace_s=10.0) == [
        "normal     defrost on a                           left alone",
        "normal     door_open on b                         FOOLED: reported as drift",
        "beside     1 finding: drift on b",
    ]
    assert text.fault_line(labels[0], 0.0, begins=True).endswith("--- what is normal begins: defrost")
