"""Findings are matched with true labels; the figures were computed by hand."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.broker import Broker
from simulator.cli import main
from simulator.faults import FaultKind, Label
from simulator.link import Link
from simulator.score import AgentVerdicts, Opening, ScoreFileError, figures, match, read_labels

SHIFT = Label(device="pump", metric="flow", kind=FaultKind.LEVEL_SHIFT, start=100.0, end=120.0)
QUIET = Label(device="room", metric=None, kind=FaultKind.DEVICE_SILENT, start=100.0, end=130.0)
DOOR = Label(device="fridge", metric=None, kind=FaultKind.DOOR_OPEN, start=100.0, end=220.0)


def opening(device: str, seen: float, kind: str = "level_shift", reported: float | None = None) -> Opening:
    return Opening(
        finding_id=f"{device}@{seen}",
        device=device,
        kind=kind,
        seen=seen,
        reported=seen if reported is None else reported,
    )


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def verdict(
    device: str, to: float, *, finding: str | None = None, kind: str = "none", **more: Any
) -> dict[str, Any]:
    """Return a verdict of the window of 60 s that ends at ``to``, published 2 s later."""
    return {
        "id": f"{device}/{to}",
        "device": device,
        "status": "normal" if kind == "none" else "anomaly",
        "kind": kind,
        "source": "local",
        "tokens": None,
        "cost_usd": None,
        "latency_ms": None,
        "trace_id": None,
        "window": {"from": iso(to - 60), "to": iso(to), "readings": 2},
        "finding_id": finding,
        "created_at": iso(to + 2),
        **more,
    }


def bill(trace: str, tokens: int, cost: float) -> dict[str, Any]:
    return {
        "source": "ai",
        "tokens": {"input": tokens - 10, "output": 10},
        "cost_usd": cost,
        "latency_ms": 250.0,
        "trace_id": trace,
    }


def test_fault_is_found_between_its_start_and_its_end_plus_grace() -> None:
    """Both ends count; before the start and after the grace it is a false finding."""
    for seen, found in ((99.9, 0), (100.0, 1), (130.0, 1), (130.1, 0)):
        score = match([SHIFT], [opening("pump", seen)], grace_s=10)
        assert (score.found, len(score.false)) == (found, 1 - found), seen


def test_finding_of_another_device_is_false() -> None:
    """Only the fault's own device counts."""
    score = match([SHIFT], [opening("room", 105)], grace_s=10)
    assert score.found == 0
    assert [one.device for one in score.false] == ["room"]


def test_first_finding_counts_and_the_second_is_not_false() -> None:
    """Two findings in one fault: the first is the find, the other is not held against the agent."""
    score = match([SHIFT], [opening("pump", 110), opening("pump", 103)], grace_s=10)
    found = score.matches[0].opening
    assert found is not None
    assert found.seen == 103
    assert score.matches[0].findings == 2
    assert score.false == ()


def test_delay_runs_until_it_was_told() -> None:
    """The delay is what an operator waits: from the true start to the message."""
    score = match([SHIFT], [opening("pump", 103, reported=104.5)], grace_s=10)
    assert score.matches[0].delay_s == 4.5


def test_right_name_depends_on_the_fault() -> None:
    """Silence names a silent device, a spike does not name a level shift."""
    score = match(
        [SHIFT, QUIET], [opening("pump", 103, "spike"), opening("room", 106, "silence")], grace_s=10
    )
    assert [one.named_rightly for one in score.matches] == [False, True]


def test_what_is_normal_is_no_fault_and_a_finding_there_is_false() -> None:
    """An open door fools an agent that reports it; a fault at the same time excuses the finding."""
    score = match([DOOR], [opening("fridge", 150)], grace_s=10)
    assert (score.found, len(score.faults), len(score.false), len(score.fooled)) == (0, 0, 1, 1)
    stuck = Label(device="fridge", metric="t", kind=FaultKind.FLATLINE, start=140.0, end=160.0)
    score = match([DOOR, stuck], [opening("fridge", 150)], grace_s=10)
    assert (score.found, len(score.false), len(score.fooled)) == (1, 0, 0)


@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE, FaultKind.OUT_OF_ORDER, FaultKind.CLOCK_SKEW])
def test_faults_of_the_line_count_as_normal(kind: FaultKind) -> None:
    """A repeat, another order and a wrong clock are nothing to raise an alarm about."""
    label = Label(device="pump", metric=None, kind=kind, start=100.0, end=120.0)
    score = match([label], [opening("pump", 110)], grace_s=10)
    assert (score.found, len(score.faults), len(score.fooled)) == (0, 0, 1)


LABELS = [
    Label(device="a", metric="t", kind=FaultKind.SPIKE, start=3600.0, end=3660.0),
    Label(device="a", metric="t", kind=FaultKind.SPIKE, start=7200.0, end=7260.0),
    Label(device="b", metric="t", kind=FaultKind.DRIFT, start=3600.0, end=7200.0),
    Label(device="b", metric=None, kind=FaultKind.DEVICE_SILENT, start=10000.0, end=12000.0),
    Label(device="c", metric="t", kind=FaultKind.DOOR_OPEN, start=5000.0, end=5120.0),
]
#: Published 2 s after the end of their windows. Spike 1 twice (after 42 s), as a spike and as noise; spike 2
#: missed; drift after 1,802 s by the wrong name; silence after 302 s; door: fooled; and one false on c.
VERDICTS = [
    verdict("a", 60.0),
    verdict("a", 3640.0, finding="f1", kind="spike", **bill("t1", 110, 0.001)),
    verdict("a", 3700.0, finding="f1"),
    verdict("a", 3720.0, finding="f2", kind="noise"),
    verdict("b", 5400.0, finding="f3", kind="level_shift", **bill("t1", 90, 0.001)),
    verdict("b", 10300.0, finding="f4", kind="silence"),
    verdict("c", 5060.0, finding="f5", kind="spike", **bill("t2", 200, 0.002)),
    verdict("c", 9000.0, finding="f6", kind="drift"),
    verdict("a", 86400.0),
]


def verdicts_of(lines: list[dict[str, Any]]) -> AgentVerdicts:
    collected = AgentVerdicts()
    for line in lines:
        collected.take(line)
    return collected


def test_figures_worked_out_by_hand() -> None:
    """Precision, recall, F1, delay, cost and noise of a small run."""
    # watched: from 0 to 86,400 s, three devices
    result = figures(LABELS, verdicts_of(VERDICTS), window_s=60)
    total = result.total
    assert result.device_days == 3.0
    assert (total.faults, total.found, total.named) == (4, 3, 2)
    assert total.recall == 3 / 4
    assert total.precision == 3 / 5  # f1, f3, f4 against f5, f6; f2 is neither
    assert total.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)
    assert (total.delay_median_s, total.delay_p95_s) == (302.0, 1802.0)
    assert total.findings_per_fault == 4 / 3
    assert (result.false_findings, result.false_per_device_day) == (2, 2 / 3)
    assert (result.normal_events, result.fooled, result.fooled_by) == (1, 1, {"door_open": 1})
    assert (result.calls, result.tokens) == (2, 400)
    assert result.cost_usd == pytest.approx(0.004)
    assert result.tokens_per_detection == pytest.approx(400 / 3)
    assert result.tokens_per_device_day == pytest.approx(400 / 3)
    assert result.sources == {"ai": 3 / 9, "local": 6 / 9}


def test_figures_of_each_kind() -> None:
    """A kind's precision is that of the findings with its name."""
    kinds = figures(LABELS, verdicts_of(VERDICTS), window_s=60).kinds
    spike, drift, silent = kinds["spike"], kinds["drift"], kinds["device_silent"]
    assert (spike.found, spike.faults, spike.precision, spike.findings_per_fault) == (1, 2, 1 / 2, 2.0)
    assert (drift.recall, drift.named, drift.precision, drift.f1) == (1.0, 0, 0.0, 0.0)
    assert (silent.recall, silent.precision, silent.f1, silent.delay_median_s) == (1.0, 1.0, 1.0, 302.0)
    assert set(kinds) == {"spike", "drift", "device_silent"}


def test_repeats_count_once() -> None:
    """A repeated verdict adds neither findings nor cost."""
    once, twice = (
        figures(LABELS, verdicts_of(VERDICTS), window_s=60),
        figures(LABELS, verdicts_of(VERDICTS + VERDICTS), window_s=60),
    )
    assert once == twice


def test_agent_that_alarms_always_has_no_precision() -> None:
    """It finds everything, and nine of ten of its findings are false."""
    always = [
        verdict(device, 60.0 * minute, finding=f"{device}{minute}", kind="spike")
        for device in "abc"
        for minute in range(1, 1441)
    ]
    result = figures(LABELS, verdicts_of(always), window_s=60)
    assert result.total.recall == 1.0
    assert result.fooled == result.normal_events
    assert result.total.precision is not None
    assert result.total.precision < 0.01
    assert result.total.findings_per_fault is not None
    assert result.total.findings_per_fault > 20


def test_agent_that_never_alarms_finds_nothing() -> None:
    """Nothing found, nothing false, and no figure where nothing is to be divided."""
    result = figures(LABELS, verdicts_of([verdict("a", 60.0), verdict("a", 86400.0)]), window_s=60)
    assert (result.total.found, result.total.recall, result.false_findings, result.fooled) == (0, 0.0, 0, 0)
    assert (result.total.precision, result.total.delay_median_s, result.total.findings_per_fault) == (
        None,
        None,
        None,
    )
    assert (result.calls, result.cost_per_detection_usd) == (0, None)


def test_events_tell_when_a_finding_opened() -> None:
    """With events, a finding that was open before the recording began does not open in it."""
    lines = [
        verdict("a", 3640.0, finding="old", kind="spike"),
        {"event_type": "opened", "finding_id": "f", "verdict": verdict("b", 5400.0, kind="drift")},
        {"event_type": "cleared", "finding_id": "old", "verdict": verdict("a", 3760.0)},
    ]
    assert [one.finding_id for one in verdicts_of(lines).openings] == ["f"]
    assert [one.finding_id for one in verdicts_of(lines[:1]).openings] == ["old"]


def test_finding_may_be_given_a_better_name() -> None:
    """A shift that was first reported as a spike is named rightly in the end; when it opened stays."""
    verdicts = [
        verdict("pump", 160.0, finding="f", kind="spike"),
        verdict("pump", 220.0, finding="f", kind="level_shift"),
    ]
    events = [
        {"event_type": what, "finding_id": "f", "verdict": one}
        for what, one in zip(("opened", "updated"), verdicts, strict=True)
    ]
    for lines in (verdicts, events):
        opened = verdicts_of(lines).openings
        assert [(one.kinds, one.seen) for one in opened] == [(frozenset({"spike", "level_shift"}), 160.0)]
        assert match([replace(SHIFT, start=150.0, end=170.0)], opened, grace_s=10).matches[0].named_rightly


def _write(folder: Path, labels: list[Label], runs: dict[str, list[str]]) -> list[str]:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps({**one.as_dict(), "normal": False}) + "\n" for one in labels))
    for name, lines in runs.items():
        (folder / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
    return ["score", "--labels", str(path), "--verdicts", *(str(folder / f"{name}.jsonl") for name in runs)]


def test_command_compares_recordings_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain verdicts and what `edge-sim record` writes give the same figures, in a table and as JSON."""
    plain = [json.dumps(line) for line in VERDICTS]
    recorded = [
        json.dumps({"topic": f"edge-agent/gw/verdicts/{line['device']}", "payload": encoded, "qos": 1})
        for line, encoded in (
            (line, base64.b64encode(json.dumps(line).encode()).decode()) for line in VERDICTS
        )
    ] + [json.dumps({"topic": "sensors/a", "payload": "MQ=="})]
    command = _write(tmp_path, LABELS, {"plain": plain, "recorded": recorded})
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["plain"] == result["recorded"]
    assert result["plain"]["total"]["recall"] == 0.75
    both = _write(
        tmp_path, LABELS, {"two": [*recorded, *(line.replace("/gw/", "/gw2/") for line in recorded)]}
    )
    assert main([*both, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["two: edge-agent/gw", "two: edge-agent/gw2"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "3 of 4" in out
    assert out.splitlines()[0].split() == ["plain", "recorded"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"a": 1', "is not a JSON object"),
        ('{"window": {}, "id": 1}', "is not a verdict"),
        ('{"topic": "edge-agent/g/verdicts/d", "payload": "?"}', "not base64"),
        ('{"topic": "sensors/a", "payload": "MQ=="}', "holds no verdict"),
    ],
)
def test_command_refuses_what_is_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    """One line names file, line and remedy."""
    assert main(_write(tmp_path, LABELS, {"bad": [line]})) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "bad.jsonl" in error
    assert error.count("\n") == 1


@pytest.mark.broker
def test_command_listens_to_a_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without recordings it subscribes and scores each agent that publishes; silence is one line.

    Retained messages are older, and not part of the run.
    """
    _write(tmp_path, LABELS, {})
    labels = str(tmp_path / "labels.jsonl")
    with (
        Broker() as broker,
        closing(Link(host="127.0.0.1", port=broker.port, client_id="agents")) as link,
        ThreadPoolExecutor(1) as pool,
    ):
        link.open(10.0)
        link.publish("edge-agent/gw0/verdicts/a", json.dumps(VERDICTS[1]).encode(), retain=True)
        link.flush(5.0)
        command = ["score", "--labels", labels, "--broker", broker.url, "--json", "--for"]
        assert main([*command, "0.3"]) == 69
        assert "no verdict was received" in capsys.readouterr().err
        stop = threading.Event()
        said = pool.submit(_say_again, link, stop)
        try:
            assert main([*command, "1.5"]) == 0
        finally:
            stop.set()
            said.result(60)
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["edge-agent/gw1", "edge-agent/gw2"]
    assert result["edge-agent/gw1"]["total"]["found"] == 3
    assert result["edge-agent/gw2"]["verdicts"] == 1


def _say_again(link: Link, stop: threading.Event) -> None:
    """Publish the verdicts of two agents repeatedly: a repeat counts once."""
    while not stop.wait(0.1):
        for agent, lines in (("gw1", VERDICTS), ("gw2", VERDICTS[:1])):
            for line in lines:
                link.publish(f"edge-agent/{agent}/verdicts/{line['device']}", json.dumps(line).encode())


def test_the_truth_of_a_label_prevails_over_its_kind(tmp_path: Path) -> None:
    """An open door may be a fault, a planned shift normal; a file of labels keeps it."""
    door = Label(device="a", metric=None, kind=FaultKind.DOOR_OPEN, start=0.0, end=60.0, truth="fault")
    planned = replace(SHIFT, device="b", start=0.0, end=60.0, truth="normal")
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(one.as_dict()) + "\n" for one in (door, planned)))
    assert read_labels(path) == [door, planned]
    score = match([door, planned], [opening("a", 30.0, "spike"), opening("b", 30.0)], grace_s=10)
    assert (score.found, len(score.faults), len(score.fooled), len(score.false)) == (1, 1, 1, 1)
    assert score.faults[0].named_rightly  # no name of an open door is wrong
    path.write_text(json.dumps({**door.as_dict(), "truth": "perhaps"}) + "\n")
    with pytest.raises(ScoreFileError, match="is not a label"):
        read_labels(path)
