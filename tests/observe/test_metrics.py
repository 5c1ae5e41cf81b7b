import re
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from agent.decode.family import Skip
from agent.detect import DetectStats
from agent.domain.model_calls import ErrorType
from agent.domain.records import DecodeReason, Finding, Kind, Reason, Severity, Source, Status, Trigger
from agent.journal import JournalStats
from agent.journal.source_tally import OUTCOMES, SourceTally
from agent.mqtt import LinkStats
from agent.mqtt.settings import BrokerDrops
from agent.observe.metrics import LabelBounds, Metrics, label_text
from agent.observe.registry import (
    BY_NAME,
    DEVICE,
    INTERVAL,
    METRICS,
    MOST_FLAGS,
    OPENED,
    RETRIED_TYPE,
    SHARE,
    SUPPRESSED,
    Metric,
    PathSnapshot,
)
from tests.observe.calls import value

READ_ONCE = SourceTally(messages=dict.fromkeys(OUTCOMES, 1), skipped=dict.fromkeys(Skip, 1))
READ = {
    "sensors/{device}": SourceTally(
        messages={"read": 6, "text": 3, "availability": 5},
        skipped={"text": 1, "unmapped": 3, "not_finite": 3, "excluded": 2},
    ),
    "": SourceTally(messages={"redelivered": 2}),
}
TUTORIAL = {
    "ai_api_calls_total": {"model", "provider", "status"},
    "ai_api_call_duration_seconds_bucket": {"model", "provider", "le"},
    "ai_tokens_processed_total": {"model", "provider", "direction"},
    "ai_estimated_cost_usd_total": {"model", "provider"},
    "ai_validation_failures_total": {"model"},
    "ai_content_safety_flags_total": {"model", "category"},
    "ai_active_conversations": set(),
}


OUTCOMES_OF_NOTICES = BY_NAME["edge_notices_total"].labels[1].values


def found(count: int, kind: Kind = Kind.SPIKE, severity: Severity = Severity.CRITICAL) -> list[Finding]:
    """Return open findings of so many devices."""
    return [
        Finding(f"f{place}", f"device{place}", kind, severity, 1000.0 + place, 0.0) for place in range(count)
    ]


def crowded() -> Metrics:
    """Return the metrics of an agent whose every label is at its bound or beyond."""
    drops = BrokerDrops()
    drops.total = 3
    now = PathSnapshot(
        link=LinkStats(dropped={f"reason{place}": 1 for place in range(20)}, broker_drops=drops),
        journal=JournalStats(sources={f"site{place}/{{device}}": READ_ONCE for place in range(40)}),
        windows=dict.fromkeys(set(Trigger) - {Trigger.DRAIN}, 1),
        findings=found(60),
        alarming=found(60),
        notices={(f"sink{place}", outcome): 1 for place in range(8) for outcome in OUTCOMES_OF_NOTICES},
        incidents_open=dict.fromkeys(Severity, 1),
        sources_quiet={f"site{place}/{{device}}": True for place in range(40)},
        device_times={f"device{place}": (1.0, 2.0) for place in range(10_000)},
        devices=10_000,
    )
    metrics = Metrics(
        models=[f"model{place}" for place in range(10)],
        version="0.1.0",
        prompt=("window-review", "3", "abc"),
        categories=[f"category{place}" for place in range(40)],
        sources=[f"site{place}/{{device}}" for place in range(40)],
    )
    metrics.read_path(lambda: now)
    for place in range(200):
        metrics.model(f"surprise{place}", f"house{place}")
        metrics.safety_flag(f"surprise{place}", f"flag{place}")
        metrics.model(f"surprise{place}", "openai")
        metrics.model("model1", f"house{place}")
        metrics.breaker(f"house{place}", "open")
    return metrics


def samples(metrics: Metrics) -> list[tuple[str, dict[str, str], float]]:
    text = metrics.render()[0].decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def shown_devices(metrics: Metrics) -> list[str]:
    return [
        labels["device"]
        for name, labels, _ in samples(metrics)
        if name == "edge_device_last_seen_timestamp_seconds"
    ]


def test_the_tutorials_seven_have_their_names_and_labels() -> None:
    """The seven AI families exist from the start, with exactly these names and labels."""
    found: dict[str, set[str]] = {}
    for name, labels, _ in samples(Metrics(models=["gpt-4o-mini"])):
        found.setdefault(name, set()).update(labels)
    for name, expected in TUTORIAL.items():
        assert found[name] == expected


def test_an_agent_stays_within_600_series() -> None:
    """With 10,000 devices and every label overflowing there are at most 600 series."""
    metrics = crowded()
    count = len(samples(metrics))
    assert count == len({(name, *sorted(labels.items())) for name, labels, _ in samples(metrics)})
    assert count <= 600


@pytest.mark.process
@pytest.mark.parametrize("make", [lambda: Metrics(models=["gpt-4o-mini"]), crowded], ids=["fresh", "crowded"])
def test_promtool_accepts_every_metric(make: type[Metrics]) -> None:
    """The real promtool has no complaint; every family has help text."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: `make test` installs it")
    text = make().render()[0]
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    names = {match[1] for match in re.finditer(r"^# TYPE (\S+)", text.decode(), re.MULTILINE)}
    helped = {match[1] for match in re.finditer(r"^# HELP (\S+) \S", text.decode(), re.MULTILINE)}
    assert names == helped


def test_every_child_of_a_known_enum_exists_at_start() -> None:
    """A first failure has a zero before it, so that ``increase()`` sees it."""
    metrics = Metrics(models=["gpt-4o-mini", "small"])
    for model in ("gpt-4o-mini", "small"):
        for error in ErrorType:
            labels = {"model": model, "provider": "openai", "error_type": error.value}
            assert value(metrics, "ai_api_errors_total", **labels) == 0
            if error in RETRIED_TYPE.values:
                assert value(metrics, "ai_api_retries_total", **labels) == 0
        assert value(metrics, "ai_content_safety_flags_total", model=model, category="refusal") == 0
    for reason in DecodeReason:
        assert value(metrics, "edge_quarantined_total", reason=reason.value) == 0
    for trigger in set(Trigger) - {Trigger.DRAIN}:
        assert value(metrics, "edge_windows_total", trigger=trigger.value) == 0
    assert value(metrics, "ai_breaker_state", provider="openai") == 0
    assert not [name for name, *_ in samples(metrics) if name.endswith("_created")]


def test_the_reasons_of_windows_without_a_call_are_those_of_verdicts() -> None:
    """Except the one that is a device's own share of the budget."""
    assert set(SUPPRESSED.values) - {SHARE} <= set(Reason)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [("edge_x_total", "counter", ""), ("edge_x_total", "gauge", "X."), ("edge_x", "counter", "X.")],
)
def test_a_row_without_help_or_with_a_wrong_name_fails_at_import(name: str, kind: Any, text: str) -> None:
    """Each metric has a sentence, and counters alone end in _total."""
    with pytest.raises(ValueError, match="edge_x"):
        Metric(name, kind, text)


def test_every_metric_can_be_read() -> None:
    """Each row that reads the path finds its field there."""
    families = {family.name for family in Metrics().registry.collect()}
    shown = {metric.name.removesuffix("_total") for metric in METRICS}
    assert shown - families == {"edge_mqtt_broker_dropped"}  # where the broker's count cannot be read


def test_a_surprising_model_is_other_and_counted() -> None:
    """A model that was not configured takes the free places, then is ``other``, and the overflow counts."""
    metrics = Metrics(models=["a", "b"])
    for name in ("a", "b", "c", "d", "e"):
        metrics.count("ai_api_calls_total", *metrics.model(name, "openai"), "success")
    labels = {"provider": "openai", "status": "success"}
    assert value(metrics, "ai_api_calls_total", model="c", **labels) == 1
    other = {"model": "other", "provider": "other", "status": "success"}
    assert value(metrics, "ai_api_calls_total", **other) == 2
    assert value(metrics, "edge_label_overflow_total", metric="ai_api_calls_total") == 2


def test_categories_are_capped_over_all_models() -> None:
    """Forty configured categories overflow nothing at the start; those beyond the bound are ``other``."""
    name = "ai_content_safety_flags_total"
    metrics = Metrics(models=["a", "b", "c"], categories=[f"c{place}" for place in range(40)])
    assert value(metrics, "edge_label_overflow_total", metric="ai_api_calls_total") == 0
    assert [one for _, one, _ in samples(metrics) if one.get("metric") == name] == []
    for place in range(40):
        metrics.safety_flag("a", f"c{place}")
    flags = [(labels, count) for one, labels, count in samples(metrics) if one == name]
    assert len(flags) <= MOST_FLAGS + len("abc")
    assert sum(count for _, count in flags) == 40
    lost = sum(count for labels, count in flags if labels["category"] == "other")
    assert value(metrics, "edge_label_overflow_total", metric=name) == lost > 0


def test_devices_are_capped_and_keep_their_place() -> None:
    """Fifty devices are shown, the same at every scrape; a counter holds the number that did not fit."""
    times = {f"d{place}": (float(place), None) for place in range(60)}
    shown = {"times": times}
    metrics = Metrics()
    metrics.read_path(lambda: PathSnapshot(device_times=shown["times"], devices=len(shown["times"])))

    def devices() -> set[str]:
        return set(shown_devices(metrics))

    before = devices()
    assert len(before) == DEVICE.most
    assert value(metrics, "edge_label_overflow_total", metric="edge_device_last_seen_timestamp_seconds") == 10
    shown["times"] = dict(reversed(times.items()))
    assert devices() == before
    gone = min(before)
    shown["times"] = {name: at for name, at in times.items() if name != gone}
    after = devices()
    assert (len(after), len(after & before), gone in after) == (50, 49, False)


@pytest.mark.parametrize("open_now", [0, 20, 50, 60])
def test_findings_take_the_room_of_intervals(open_now: int) -> None:
    """At most 50 findings are shown, the first ones, and each costs the interval of one device."""
    now = PathSnapshot(
        findings=found(open_now + 7),  # seven are acknowledged
        alarming=found(open_now),
        device_times={f"d{place}": (1.0, 2.0) for place in range(99)},
        devices=99,
    )
    metrics = Metrics()
    metrics.read_path(lambda: now)
    shown = [labels["device"] for name, labels, _ in samples(metrics) if name == OPENED]
    assert shown == [f"device{place}" for place in range(min(open_now, DEVICE.most))]
    assert value(metrics, "edge_label_overflow_total", metric=OPENED) == max(0, open_now - DEVICE.most)
    intervals = [name for name, *_ in samples(metrics) if name == INTERVAL]
    assert len(intervals) == max(0, DEVICE.most - open_now)
    assert len(shown_devices(metrics)) == DEVICE.most
    total = sum(number for name, _, number in samples(metrics) if name == "edge_findings_open")
    assert total == open_now + 7


@pytest.mark.parametrize(("sinks", "named"), [(1, 1), (4, 4), (5, 3), (8, 3)])
def test_sinks_beyond_the_fourth_are_one(sinks: int, named: int) -> None:
    """Up to four have their names; of more, the first three, and the sum of the others."""
    notices: dict[tuple[str, ...], int] = {(f"sink{place}", "delivered"): 1 for place in range(sinks)}
    metrics = Metrics()
    metrics.read_path(lambda: PathSnapshot(notices=notices))
    shown = {
        labels["sink"]: number for name, labels, number in samples(metrics) if name == "edge_notices_total"
    }
    assert len(shown.keys() - {"other"}) == named
    assert shown.get("other", 0) == sinks - named


def test_all_sources_are_quiet_only_when_each_is() -> None:
    """One source that sends, or none that ever did, is not the silence of all."""
    metrics = Metrics(sources=["a/#", "b/#"])
    for quiet, both in (({}, 0), ({"a/#": True, "b/#": False}, 0), ({"a/#": True, "b/#": True}, 1)):
        metrics.read_path(lambda quiet=quiet: PathSnapshot(sources_quiet=quiet))  # type: ignore[misc]
        assert value(metrics, "edge_all_sources_quiet") == both
        assert value(metrics, "edge_source_quiet", source="a/#") == quiet.get("a/#", 0)


def test_hostile_label_values_stay_apart_and_printable() -> None:
    """Long, control-laden and unpaired-surrogate device ids neither break the text nor fall together."""
    names = ["a" * 500, "a" * 501, 'b"\n\\', "c\x1b[2J", "\udc80", "d{}=,", "", " "]
    metrics = Metrics()
    metrics.read_path(lambda: PathSnapshot(device_times=dict.fromkeys(names, (1.0, 2.0))))
    labels = shown_devices(metrics)
    assert len(set(labels)) == len(names)
    assert all(len(label) <= 100 for label in labels)


def test_verdicts_feedback_and_latency_are_counted() -> None:
    """Verdicts and feedback are counted under their own labels."""
    metrics = Metrics()
    metrics.verdict(Status.ANOMALY, Source.AI)
    metrics.disagreement("local_only")
    metrics.feedback("anomaly", "false_alarm")
    metrics.reading_to_verdict(7.0)
    assert value(metrics, "ai_verdicts_total", status="anomaly", source="ai") == 1
    assert value(metrics, "ai_disagreements_total", kind="local_only") == 1
    assert value(metrics, "ai_verdict_feedback_total", status="anomaly", outcome="false_alarm") == 1
    assert value(metrics, "edge_reading_to_verdict_seconds_bucket", le="5.0") == 0
    assert value(metrics, "edge_reading_to_verdict_seconds_bucket", le="10.0") == 1


def test_the_snapshot_is_shown_as_it_is() -> None:
    """Every field of a snapshot arrives under its metric."""
    now = PathSnapshot(
        link=LinkStats(connects=3),
        journal=JournalStats(readings=18, bytes_used=4096, sources=READ),
        detect=DetectStats(),
        connected=True,
        unreadable=3,
        findings=found(2, Kind.SILENCE, Severity.WARNING),
        alarming=found(2, Kind.SILENCE, Severity.WARNING),
        sources_quiet={"sensors/{device}": True},
        queues={"intake_bytes": (5, 10)},
        heartbeats={"net": 1000.5},
        telemetry_dropped={"traces": 4},
        posts_refused={"rate": 7},
        budget={"day": (1.0, 0.25, 0.1)},
    )
    metrics = Metrics(sources=["sensors/{device}"])
    metrics.read_path(lambda: now)
    assert value(metrics, "edge_mqtt_connected") == 1
    assert value(metrics, "edge_mqtt_reconnects_total") == 2
    assert value(metrics, "edge_readings_total") == 18
    assert value(metrics, "edge_journal_bytes") == 4096
    assert value(metrics, "edge_mqtt_messages_received_total", source="sensors/{device}") == 14
    messages, skipped = "edge_messages_total", "edge_values_skipped_total"
    assert value(metrics, messages, source="sensors/{device}", outcome="text") == 3
    assert value(metrics, messages, source="sensors/{device}", outcome="refused") == 0
    assert value(metrics, messages, source="other", outcome="redelivered") == 2
    assert value(metrics, messages, source="other", outcome="availability") == 5
    assert value(metrics, skipped, source="sensors/{device}", reason="text") == 4
    assert value(metrics, skipped, source="sensors/{device}", reason="unusable") == 3
    assert value(metrics, skipped, source="other", reason="intended") == 2
    assert value(metrics, "edge_devices_unreadable") == 3
    assert value(metrics, "edge_posts_refused_total", reason="rate") == 7
    assert value(metrics, "edge_posts_refused_total", reason="busy") == 0
    assert value(metrics, "edge_findings_open", kind="silence", severity="warning") == 2
    assert value(metrics, "edge_findings_open", kind="spike", severity="critical") == 0
    assert value(metrics, OPENED, device="device1", kind="silence", severity="warning") == 1001.0
    assert value(metrics, "edge_source_quiet", source="sensors/{device}") == 1
    assert value(metrics, "edge_all_sources_quiet") == 1
    assert value(metrics, "edge_queue_capacity", queue="intake_bytes") == 10
    assert value(metrics, "edge_heartbeat_timestamp_seconds", loop="net") == 1000.5
    assert value(metrics, "edge_telemetry_dropped_total", signal="traces") == 4
    assert value(metrics, "ai_budget_limit_usd", window="day") == 1.0
    assert value(metrics, "ai_budget_spent_usd", window="day") == 0.25
    assert value(metrics, "ai_budget_reserved_usd", window="day") == 0.1


TRACE = "0dfb96000d6ab2e3453c10f008616f5d"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "open_metrics"),
    [
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("APPLICATION/openmetrics-text ; q=0.4, text/plain;q=0.3", True),
        ("text/plain;version=0.0.4;q=0.6, application/openmetrics-text;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=lots", False),
        ("text/html, */*", False),
        (";;,q=,", False),
        ("", False),
    ],
)
def test_the_client_chooses_the_format(accept: str, open_metrics: bool) -> None:
    """OpenMetrics where it weighs most, else the text format; the series are the same."""
    metrics = crowded()
    body, content_type = metrics.render(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0") == open_metrics
    assert body.endswith(b"# EOF\n") == open_metrics
    parse = openmetrics_families if open_metrics else text_string_to_metric_families
    found = {sample.name for family in parse(body.decode()) for sample in family.samples}
    assert found == {name for name, *_ in samples(metrics)}


def test_exemplars_are_shown_in_openmetrics_alone() -> None:
    """A value has the trace that it came from; another text than a trace id is left out."""
    metrics = Metrics(models=["m"])
    pair = metrics.model("m", "openai")
    for hostile in ("x" * 200, "", TRACE.upper(), TRACE + "\n", None):
        metrics.observe("ai_api_call_duration_seconds", 3.0, *pair, trace_id=hostile)
        metrics.count("ai_estimated_cost_usd_total", *pair, by=0.5, trace_id=hostile)
    text = metrics.render(PROMETHEUS)[0].decode()
    assert " # {" not in text
    metrics.observe("ai_api_call_duration_seconds", 7.0, *pair, trace_id=TRACE)
    metrics.count("ai_estimated_cost_usd_total", *pair, by=0.5, trace_id=TRACE)
    shown = {
        (sample.name, sample.labels.get("le")): sample.exemplar
        for family in openmetrics_families(metrics.render(PROMETHEUS)[0].decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {key: (one.labels, one.value) for key, one in shown.items()} == {
        ("ai_api_call_duration_seconds_bucket", "10.24"): ({"trace_id": TRACE}, 7.0),
        ("ai_estimated_cost_usd_total", None): ({"trace_id": TRACE}, 0.5),
    }
    assert TRACE not in metrics.render()[0].decode()
    assert value(metrics, "ai_estimated_cost_usd_total", model="m", provider="openai") == 3.0


def test_two_agents_share_nothing() -> None:
    """Two sets of metrics in one process count apart."""
    one, two = Metrics(), Metrics()
    one.verdict("normal", "local")
    assert value(two, "ai_verdicts_total", status="normal", source="local") == 0


def test_bounds() -> None:
    """An allowed list is closed without a number, and leaves room up to the number with one."""
    bounds = LabelBounds()
    assert bounds.bounded("l", "x", metric="m", allowed=("a",)) == "other"
    assert bounds.bounded("l", "a", metric="m", allowed=("a",)) == "a"
    assert [bounds.bounded("k", name, metric="n", max_n=3) for name in "abca"] == ["a", "b", "other", "a"]
    assert bounds.overflow == {"m": 1, "n": 1}
    assert label_text("x" * 101) != label_text("x" * 102)
