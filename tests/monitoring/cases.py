"""Alerts: series that must fire them, and series one step away that must not."""

from dataclasses import dataclass

_AI = 'model="m",provider="openai"'


@dataclass(frozen=True, slots=True)
class Case:
    """Series in promtool's notation, one sample each ``step``, asked at ``at``."""

    alert: str
    firing: dict[str, str]
    calm: dict[str, str]
    at: str = "3h"
    step: str = "1m"
    count: int = 1  # alerts that fire


def _steps(rate: str, count: int = 240) -> str:
    return f"0+{rate}x{count}"


def _one(alert: str, series: str, firing: str, calm: str, at: str = "3h") -> Case:
    return Case(alert, {series: firing}, {series: calm}, at)


def rise(alert: str, series: str, calm: str | None = None) -> Case:
    """A counter that goes up once must fire; a constant one must not."""
    return Case(alert, {series: "0x175 1x30"}, {calm or series: "0x175 1x30" if calm else "1x240"})


def _ratio(alert: str, part: str, whole: str, firing: str, calm: str) -> Case:
    return Case(
        alert,
        {part: _steps(firing), whole: _steps("1")},
        {part: _steps(calm), whole: _steps("1")},
    )


def _buckets(name: str, labels: str, under: str, over: str, *, slow: bool) -> dict[str, str]:
    return {
        f'{name}{{{labels}le="{under}"}}': _steps("0" if slow else "1"),
        f'{name}{{{labels}le="{over}"}}': _steps("1"),
        f'{name}{{{labels}le="+Inf"}}': _steps("1"),
    }


def _opened(device: str, kind: str, severity: str) -> str:
    return f'edge_finding_open_timestamp_seconds{{device="{device}",kind="{kind}",severity="{severity}"}}'


_CALLS = "ai_api_call_duration_seconds_bucket"
_WAIT = "edge_reading_to_verdict_seconds_bucket"
_OK, _FAILED = (f'ai_api_calls_total{{{_AI},status="{status}"}}' for status in ("success", "failure"))
_COST = f"ai_estimated_cost_usd_total{{{_AI}}}"
_LIMIT, _SPENT = (f'ai_budget_{word}_usd{{window="day"}}' for word in ("limit", "spent"))
_JUDGED = 'ai_verdicts_total{source="ai",status="%s"}'
_DEPTH, _ROOM = (f'edge_queue_{word}{{queue="rows"}}' for word in ("depth", "capacity"))
_RECEIVED, _CONNECTED = 'edge_messages_total{source="s/#",outcome="read"}', "edge_mqtt_connected"
_TEXT = 'edge_messages_total{source="s/#",outcome="text"}'
_SKIPPED = 'edge_values_skipped_total{source="s/#",reason="unusable"}'
_OPEN = 'edge_findings_open{kind="%s",severity="%s"}'
_INCIDENTS = 'edge_incidents_open{severity="warning"}'
_UP = 'up{job="edge-agent"}'

#: Alerts on the mere rise of a counter need no entry.
CASES = (
    Case("AICostSpike", {_COST: "0+0.001x1500 1.5+0.01x60"}, {_COST: "0+0.001x1560"}, at="26h"),
    Case(
        "AIBudgetBurnFast",
        {_SPENT: _steps("0.002"), _LIMIT: "1x240"},
        {_SPENT: _steps("0.001"), _LIMIT: "1x240"},
    ),
    Case("AIBudgetSoftLimit", {_SPENT: "0.81x240", _LIMIT: "1x240"}, {_SPENT: "0.79x240", _LIMIT: "1x240"}),
    rise(
        "AIBudgetExhausted",
        'ai_calls_suppressed_total{reason="budget"}',
        'ai_calls_suppressed_total{reason="device_share"}',
    ),
    rise("AIUnpricedModel", f"ai_cost_unpriced_calls_total{{{_AI}}}"),
    _ratio("AIErrorRateHigh", _FAILED, _OK, "0.2", "0.1"),
    _one("AIProviderDown", 'ai_breaker_state{provider="openai"}', "0x177 2x20", "0x179 2x20"),
    rise(
        "AIAuthOrQuota",
        f'ai_api_errors_total{{{_AI},error_type="auth"}}',
        f'ai_api_errors_total{{{_AI},error_type="timeout"}}',
    ),
    rise(
        "EdgeInternalFault",
        f'ai_api_errors_total{{{_AI},error_type="internal"}}',
        f'ai_api_errors_total{{{_AI},error_type="other"}}',
    ),
    Case(
        "AILatencyHighP95",
        _buckets(_CALLS, f"{_AI},", "20.48", "40.96", slow=True),
        _buckets(_CALLS, f"{_AI},", "10.24", "20.48", slow=False),
    ),
    Case("AINoSuccess", {_OK: "0x240", _FAILED: _steps("1")}, {_OK: "0x150 1x90", _FAILED: _steps("1")}),
    # One call an hour: the second failure is in the first two hours, an answer at any time keeps it calm.
    Case(
        "AINeverAnswered",
        {_OK: "0x240", _FAILED: "0x59 1x59 2x120"},
        {_OK: "0x59 1x180", _FAILED: "0x119 1x59 2x60"},
    ),
    # It answered long ago: the counters alone are not enough, half a day is.
    Case(
        "AINeverAnswered",
        {_OK: "5x200", _FAILED: "0x11 1x11 2x11 3x11 4x11 5x140"},
        {_OK: "5x60 6x140", _FAILED: "0x11 1x11 2x11 3x11 4x11 5x140"},
        at="12h",
        step="5m",
    ),
    _ratio(
        "AIHallucinationRateHigh",
        'ai_grounding_checks_total{result="ungrounded"}',
        'ai_grounding_checks_total{result="grounded"}',
        "0.2",
        "0.1",
    ),
    _ratio("AIValidationFailures", 'ai_validation_failures_total{model="m"}', _OK, "0.3", "0.1"),
    rise(
        "AISafetyFlags",
        'ai_content_safety_flags_total{model="m",category="refusal"}',
        'ai_content_safety_flags_total{model="m",category="injection_suspected"}',
    ),
    _ratio("AIDisagreement", 'ai_disagreements_total{kind="ai_only"}', _JUDGED % "normal", "0.4", "0.2"),
    Case(
        "AIVerdictShareShift",
        {_JUDGED % "anomaly": "0x960 0+1x96", _JUDGED % "normal": "0+1x960 960x96"},
        {_JUDGED % "anomaly": "0+0.1x1056", _JUDGED % "normal": "0+1x1056"},
        at="170h",
        step="10m",
    ),
    _one("EdgeAgentDown", _UP, "1x177 0x20", "1x179 0x20"),
    Case("EdgeAgentMissing", {'up{job="other"}': "1x240"}, {_UP: "1x240"}),
    _one("EdgeLoopStuck", 'edge_heartbeat_timestamp_seconds{loop="net"}', "0+60x176 10560x60", _steps("60")),
    _one("EdgeMqttDisconnected", _CONNECTED, "1x177 0x20", "1x179 0x20"),
    Case(
        "EdgeBacklogGrowing", {_DEPTH: _steps("2"), _ROOM: "400x240"}, {_DEPTH: _steps("1"), _ROOM: "400x240"}
    ),
    Case(
        "EdgeVerdictLate",
        _buckets(_WAIT, "", "120", "300", slow=True),
        _buckets(_WAIT, "", "60", "120", slow=False),
    ),
    # A freezer that gets warm.
    _one("EdgeLimitBroken", _opened("freezer", "out_of_range", "critical"), "_x179 9x20", "_x190 9x20"),
    Case(
        "EdgeFindingCritical",
        {_opened("pump", "spike", "critical"): "_x179 9x20"},
        {_opened("pump", "spike", "warning"): "9x240", _opened("door", "silence", "critical"): "9x240"},
    ),
    _one("EdgeFindingWarning", _opened("pump", "drift", "warning"), "_x170 9x20", "_x178 9x20"),
    # A spike that becomes a drift is one alert, without another wait.
    Case(
        "EdgeFindingWarning",
        {
            _opened("pump", "spike", "warning"): "_x172 9x4 stale",
            _opened("pump", "drift", "warning"): "_x177 9x20",
        },
        {_opened("pump", "drift", "warning"): "_x177 9x20"},
    ),
    _one("EdgeDeviceSilent", _opened("attic", "silence", "warning"), "_x177 9x20", "_x180 9x20"),
    # 25 devices behind one bridge, each by its name.
    Case(
        "EdgeDeviceSilent",
        {_opened(f"room{place}", "silence", "warning"): "_x170 9x20" for place in range(25)},
        {_opened(f"room{place}", "silence", "warning"): "9x170" for place in range(25)},
        count=25,
    ),
    # A sensor that was replaced is open for ever; the next silent device is an alert of its own.
    Case(
        "EdgeDeviceSilent",
        {
            _opened("replaced", "silence", "warning"): "9x1500",
            _opened("attic", "silence", "warning"): "_x1435 9x60",
        },
        {_opened("replaced", "silence", "warning"): "9x1400"},
        at="60d",
        step="1h",
        count=2,
    ),
    Case(
        "EdgeFindingsNotShown",
        {_opened(f"d{place}", "silence", "warning"): "9x240" for place in range(50)},
        {_opened(f"d{place}", "silence", "warning"): "9x240" for place in range(49)},
    ),
    Case(
        "EdgeSharedCause",
        {_OPEN % ("silence", "warning"): "25x240", _INCIDENTS: "1x240"},
        {_OPEN % ("silence", "warning"): "25x240", _INCIDENTS: "25x240"},
    ),
    _one("EdgeNoticesFailing", 'edge_notices_failing{sink="mail"}', "0x160 1x40", "0x170 1x40"),
    _one("EdgeNoticesLost", 'edge_notices_lost{sink="mail"}', "0x160 2x40", "0x240"),
    _one("EdgeSourceQuiet", 'edge_source_quiet{source="s/#"}', "0x177 1x20", "0x180 1x20"),
    Case(
        "EdgeAllSilent",
        {"edge_all_sources_quiet": "0x177 1x20", _CONNECTED: "1x240"},
        {"edge_all_sources_quiet": "0x177 1x20", _CONNECTED: "0x240"},
    ),
    # A device that sends every 15 minutes: its gaps are its rhythm, whatever the counter does meanwhile.
    Case(
        "EdgeAllSilent",
        {_RECEIVED: "0+1x100 100x60", "edge_all_sources_quiet": "0x130 1x60", _CONNECTED: "1x240"},
        {_RECEIVED: "0x14 1x14 2x14 3x14 4x14 5x200", "edge_all_sources_quiet": "0x240", _CONNECTED: "1x240"},
    ),
    Case(
        "EdgeNothingReceived",
        {_RECEIVED: "0x240", _TEXT: "0x240", _CONNECTED: "1x240"},
        {_RECEIVED: "0x240", _TEXT: "0x130 1x110", _CONNECTED: "1x240"},
    ),
    Case(
        "EdgeSourceYieldsNothing",
        {_TEXT: _steps("1"), _RECEIVED: "9x240"},
        {_TEXT: _steps("1"), _RECEIVED: "9x150 10x90"},
    ),
    Case(
        "EdgeSkippedShareRises",
        {_RECEIVED: _steps("1"), _SKIPPED: "0x150 0+1x90"},
        {_RECEIVED: _steps("1"), _SKIPPED: _steps("1")},
    ),
    _one(
        "EdgeMemoryHigh", 'process_resident_memory_bytes{job="edge-agent"}', "160000000x240", "60000000x240"
    ),
    _one(
        "EdgeRestartLoop",
        'process_start_time_seconds{job="edge-agent"}',
        "1x170 2 3 4 5 6x20",
        "1x170 2 3 4x20",
    ),
    rise(
        "EdgeLabelOverflow",
        'edge_label_overflow_total{metric="ai_api_calls_total"}',
        'edge_label_overflow_total{metric="edge_device_last_seen_timestamp_seconds"}',
    ),
)
