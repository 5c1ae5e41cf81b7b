"""Faults of our own code: logged with their place, counted, shown in the status."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.ai import call
from agent.ai.caller import Caller
from agent.app.ai import AiService
from agent.config.load import load
from agent.decode.receive import Receiver
from agent.detect import Detector
from agent.domain.fault import fault_words, place_of
from agent.domain.records import Arrival, Finding, FindingEvent, Outcome, Reason
from agent.journal import JournalStats
from agent.journal.unread import Unread
from agent.mqtt import LinkState
from agent.mqtt.settings import LinkStats
from agent.observe.faults import SHOWN_S, FaultLog
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Span, Tracer
from agent.observe.verdict_events import PublishSpans, VerdictEvents
from agent.pipeline.events import FindingChanged, Subscribers, VerdictCommitted
from agent.status.journal_view import JournalView
from agent.status.problems import Problems, Start
from agent.status.responses import Responses
from agent.verdict.verdict import conclude
from agent.web.http import Request
from tests.ai.kit import batch, two_windows, window
from tests.commands.kit import write_config
from tests.observe.calls import value
from tests.observe.sink import Log
from tests.support.model_endpoint import ModelEndpoint

CANARY = "canary-payload"
PLACE = re.compile(r"agent/[a-z_/]+\.py:\d+")


def breaks(*_anything: object, **_more: object) -> Any:
    raise RuntimeError(CANARY)


class House:
    """The telemetry, the caller and the status of an agent, below a link that is subscribed."""

    def __init__(self, folder: Path, endpoint: ModelEndpoint | None) -> None:
        ai = {"cache_ttl_s": 60, "model": "m", "prices": {"m": {"input": 1, "output": 1}}}
        sections = {"ai": ai | ({} if endpoint is None else {"base_url": endpoint.url})}
        config = load(write_config(folder, **sections), {})
        config.agent.state_dir.mkdir(parents=True, exist_ok=True)
        self.log = Log()
        self.loop = asyncio.new_event_loop()
        self.ai = AiService(config, secrets=self.log.writer.secrets)
        self.metrics = Metrics(models=self.ai.models, provider="openai")
        self.tracer = Tracer()
        self.recorder = recorder = TelemetryRecorder(
            logs=self.log.writer, metrics=self.metrics, tracer=self.tracer
        )
        self.ai.open(recorder, self.log.log, lambda _transcript: None)
        state = LinkState(connected=True, subscribed=True, protocol="5")
        outbox: Any = SimpleNamespace(feeds={})
        self.view = JournalView(state_dir=config.agent.state_dir, outbox=outbox, quoted=False)
        link: Any = SimpleNamespace(state=state, stats=LinkStats())
        self.problems = Problems(
            config=config,
            link=link,
            journal=JournalStats(),
            unread=Unread(knows=lambda _device: False),
            outbox=outbox,
            detector=Detector(),
            ai=self.ai,
            faults=recorder.fault_log,
            view=self.view,
            idle_s=lambda _loop: 0.0,
            dropped=recorder.dropped,
            limits=(),
            weaknesses=(),
            start=Start(0.0, 0.0),
        )
        self.spans = PublishSpans(tracer=self.tracer, guard=recorder.guard, protocol=lambda: state.protocol)

    @property
    def caller(self) -> Caller:
        assert self.ai.caller is not None
        return self.ai.caller

    def ask(self) -> list[Outcome]:
        return self.loop.run_until_complete(self.caller.ask(two_windows()))

    def internal(self, model: str = "m", provider: str = "openai") -> float:
        labels = {"model": model, "provider": provider, "error_type": "internal"}
        return value(self.metrics, "ai_api_errors_total", **labels)

    def close(self) -> None:
        if self.ai.caller is not None:
            self.loop.run_until_complete(self.ai.caller.aclose())
        if self.ai.ledger is not None:
            self.ai.ledger.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.log.writer.close(5)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An agent with a model that answers well."""
    with ModelEndpoint() as endpoint:
        made = House(tmp_path, endpoint)
        yield made
        made.close()


def check_told(house: House, part: str, event: str) -> dict[str, Any]:
    """Expect one line with the place and without the payload, and a problem; return the line."""
    (problem,) = house.recorder.fault_log.problems()
    assert f"edge-agent itself in the {part}, 1 so far: RuntimeError at agent/" in problem
    assert problem in house.problems.problems()
    lines = house.log.lines()
    (line,) = [one for one in lines if one["event"] == event]
    assert (line["level"], line["error"], line["error_type"]) == ("error", "RuntimeError", "internal")
    assert PLACE.fullmatch(line["place"])
    assert "fault of edge-agent" in line["remedy"]
    assert CANARY not in json.dumps(lines)
    assert CANARY not in problem
    return line


def in_the_look_up(house: House, _patch: pytest.MonkeyPatch) -> None:
    house.caller._cache.get = breaks  # type: ignore[method-assign]


def in_the_validation(_house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call, "validate", breaks)


def in_the_record(_house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(call, "with_reply", breaks)


def in_the_transport(house: House, _patch: pytest.MonkeyPatch) -> None:
    house.caller._transport.complete = breaks  # type: ignore[method-assign]


def in_the_pricing(house: House, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(house.caller._settings.pricing), "cost", breaks)


def in_the_transcript(house: House, _patch: pytest.MonkeyPatch) -> None:
    object.__setattr__(house.caller._parts, "transcribe", breaks)


@pytest.mark.parametrize(
    ("spoil", "answered"),
    [
        (in_the_look_up, False),
        (in_the_validation, False),
        (in_the_record, True),
        (in_the_transport, False),
        (in_the_pricing, False),
        (in_the_transcript, True),
    ],
)
def test_a_fault_in_the_caller_is_said(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[House, pytest.MonkeyPatch], None],
    answered: bool,
) -> None:
    """Wherever it is: one line, one count, a problem; breaker and provider have no part in it."""
    assert house.internal() == 0  # the child is there before the first fault
    spoil(house, monkeypatch)
    outcomes = house.ask()
    assert [one.reason for one in outcomes] == [Reason.REVIEWED if answered else Reason.ERROR] * 2
    assert house.internal() == 1
    errors = [
        sample.value
        for family in house.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "ai_api_errors_total"
    ]
    assert sum(errors) == 1
    status = house.ai.status()
    assert (status["breaker"], status["last_error"]) == ("closed", None)
    line = check_told(house, "caller", "ai_internal_fault")
    assert line["model"] == "m"
    for failure in (one for one in house.log.lines() if one["event"] == "ai_call_failure"):
        assert failure["error_type"] == "internal"
        assert "server" not in failure
        assert "fault of edge-agent" in failure["remedy"]


def test_a_fault_makes_the_state_degraded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that is subscribed and had a fault is degraded, and /readyz names the fault."""
    assert house.problems.state() == "ok"
    monkeypatch.setattr(call, "validate", breaks)
    house.ask()
    assert house.problems.state() == "degraded"
    assert "A fault of edge-agent itself in the caller" in house.problems.one_line("http://127.0.0.1:1/")


def test_a_fault_of_the_ledger_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A booking that fails otherwise than by its disk spends nothing and is reported as ours."""
    ledger = house.ai.ledger
    assert ledger is not None
    monkeypatch.setattr(ledger, "reserve", breaks)
    assert [one.reason for one in house.ask()] == [Reason.BUDGET] * 2
    assert house.internal() == 1
    check_told(house, "caller", "ai_internal_fault")


def test_a_fault_of_the_recorder_is_said_and_costs_no_verdict(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that breaks while a call is counted: the answer remains, the fault is reported."""
    monkeypatch.setattr("agent.observe.recorder.count_call", breaks)
    assert [one.reason for one in house.ask()] == [Reason.REVIEWED] * 2
    assert house.internal() == 1
    check_told(house, "telemetry", "telemetry_failed")


def test_a_fault_while_a_verdict_is_counted_ends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting a verdict is telemetry, and so is opening its span: neither may end the analyst."""
    monkeypatch.setattr(house.tracer, "publish", breaks)
    span = house.spans(trace_id=None, destination="verdicts", device="d")
    assert span.traceparent is None
    assert house.internal() == 1
    check_told(house, "telemetry", "telemetry_failed")


def test_a_subscriber_that_fails_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verdicts and findings are counted and logged by subscribers; the log line is there all the same."""
    events = Subscribers(note=house.recorder.guard.take)
    VerdictEvents(metrics=house.metrics, log=house.log.log, guard=house.recorder.guard).subscribe_to(events)
    monkeypatch.setattr(house.metrics, "verdict", breaks)
    win = window()
    verdict = conclude(win, Outcome(win.id, Reason.NOT_SUSPICIOUS), agent="gw1", created=1.0)
    finding = Finding("f1", win.device, verdict.kind, verdict.severity, 1.0, 1.0)
    events.publish(VerdictCommitted(verdict, 1.0, None))
    events.publish(FindingChanged(FindingEvent.OPENED, finding, verdict))
    assert house.internal() == 1
    check_told(house, "telemetry", "telemetry_failed")
    assert [one["level"] for one in house.log.lines() if one["event"] == "finding_opened"] == ["warning"]


def test_a_span_that_cannot_end_ends_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The span of a publish is ended by the analyst when the broker has acknowledged."""
    live = Span()
    monkeypatch.setattr(live, "end", breaks, raising=False)
    monkeypatch.setattr(house.tracer, "publish", lambda **_: live)
    house.spans(trace_id="t", destination="verdicts", device="d").end()
    check_told(house, "telemetry", "telemetry_failed")


def test_a_line_that_cannot_be_written_stops_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has a line in its place, and the fault is counted and a problem like any other."""
    tidy = house.log.writer.secrets.tidy
    monkeypatch.setattr(
        house.log.writer.secrets,
        "tidy",
        lambda key, value, **more: breaks() if key == "bad" else tidy(key, value, **more),
    )
    house.log.log("reading_lost", bad=CANARY)
    assert house.internal() == 1
    check_told(house, "telemetry", "telemetry_failed")
    (instead,) = [one for one in house.log.lines() if one["event"] == "log_line_failed"]
    assert (instead["about"], instead["error"][:12]) == ("reading_lost", "RuntimeError")


def test_a_log_that_is_quite_broken_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the report of the fault fails as well, that is all: status and metric have it."""
    monkeypatch.setattr(house.log.writer.secrets, "tidy", breaks)
    house.log.log("reading_lost", bad=CANARY)
    assert house.internal() == 1
    assert len(house.recorder.fault_log.problems()) == 1


def test_a_scrape_that_fails_is_said(house: House) -> None:
    """The request gets its 500, and the fault of the metrics is a problem of the status."""
    responses = Responses(
        status=lambda _search: None,
        token="",
        device=lambda _query: b"",
        problems=house.problems,
        render=breaks,
        stuck=lambda _limit_s: None,
        idle_s=lambda _loop: 0.0,
        note=house.recorder.telemetry_faulted,
    )
    with pytest.raises(RuntimeError):
        responses.routes()["/metrics"](Request("GET", "/metrics", "", {}, 0))
    check_told(house, "telemetry", "telemetry_failed")


def test_without_a_model_the_first_fault_is_seen_as_well(tmp_path: Path) -> None:
    """An agent that asks no model has the count from the start, under `other`."""
    house = House(tmp_path, None)
    assert house.internal("other", "other") == 0
    with house.recorder.guard:
        breaks()
    assert house.internal("other", "other") == 1
    house.close()


def test_a_fault_of_a_decoder_is_said(house: House) -> None:
    """The message goes into quarantine, and the fault of ours is a line and a problem."""
    arrival = Arrival(1, 1, 1, dup=False, retain=False, topic="a/t", payload=b"1", received=1.0, mono=1.0)
    registry: Any = SimpleNamespace(decode=breaks)
    receiver: Receiver[Any] = Receiver(
        registry=registry, own={}, wall_at=lambda _mono, real: real, note=house.recorder.decoder_faulted
    )
    with pytest.raises(RuntimeError):
        receiver.decode(arrival)
    check_told(house, "decoder", "decoder_failed")


def test_a_fault_is_a_problem_for_a_day() -> None:
    """The count goes on; a day after the newest fault the state may be ok again."""
    now = [0.0]
    faults = FaultLog(log=breaks, count=breaks, mono=lambda: now[0])
    for _ in range(3):
        faults.note("caller", KeyError(CANARY))
    (problem,) = faults.problems()
    assert "3 so far: KeyError at an unknown place" in problem
    now[0] = SHOWN_S
    assert faults.problems() == []


def test_the_place_is_ours_and_the_message_is_left_out() -> None:
    """The innermost frame of the product, not that of the library it called."""
    broken = replace(window(), section="[]")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it raises
        call.Call(None, model="m", batch=batch(broken), dialect=None, result=None)  # type: ignore[arg-type]
    assert PLACE.fullmatch(place_of(caught.value))
    assert fault_words(KeyError(CANARY)) == "KeyError at an unknown place"


def test_verdicts_that_wait_for_the_broker_are_a_problem_after_a_minute(house: House) -> None:
    """A broker that acknowledges slowly is named with the number that waits, and only while it lasts."""
    house.view.outbox_depth = 1500
    assert not any("wait for the broker" in one for one in house.problems.problems())
    house.problems._since["backlog"] -= 61
    (problem,) = [one for one in house.problems.problems() if "wait for the broker" in one]
    assert problem.startswith("1500 messages")
    house.view.outbox_depth = 1000
    assert not any("wait for the broker" in one for one in house.problems.problems())
