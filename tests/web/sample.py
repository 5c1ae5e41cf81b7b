"""A status of a busy gateway, with hostile text in each foreign field."""

import math
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from agent.status.schema import (
    DeviceView,
    EvidenceView,
    FindingView,
    IncidentView,
    MetricView,
    Money,
    QuarantineView,
    SourceView,
    Status,
    VerdictView,
)
from agent.verdict.encode import iso

HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'
AT = "2026-11-24T02:40:{:02d}.000Z"


def sample_status() -> Status:
    """Return a valid status."""
    money: Money = {"limit_usd": 1.0, "spent_usd": 0.31, "reserved_usd": 0.02, "state": "ok"}
    return {
        "schema": 1,
        "agent": "gw1",
        "version": "0.1.0",
        "started": AT.format(0),
        "now": AT.format(55),
        "uptime_s": 93_055.0,
        "stale": False,
        "age_s": 0.0,
        "state": "degraded",
        "problems": ["The model endpoint has failed 5 times; verdicts are local until it answers again."],
        "notes": [],
        "broker": {
            "connected": True,
            "subscribed": True,
            "address": "127.0.0.1:1883",
            "protocol": "5",
            "since": AT.format(1),
            "session_present": True,
            "reconnects": 2,
            "refused": [],
            "downgraded": [],
            "stalled": False,
            "silent_until": None,
            "dropped_by_broker": 0,
            "last_error": None,
        },
        "partition": None,
        "journal": {
            "writable": True,
            "seq": 182_331,
            "used_bytes": 61_234_123,
            "max_bytes": 536_870_912,
            "outbox_depth": 0,
            "undeliverable": 0,
            "written_bytes_per_day": 1_500_000_000,
        },
        "ai": {
            "mode": "suspicious",
            "endpoint": "127.0.0.1",
            "model": "gpt-4o-mini",
            "provider": "openai",
            "prompt_version": "1",
            "breaker": "open",
            "in_flight": 0,
            "calls": 41,
            "answering": "failing",
            "budget": {
                "hour": money | {"limit_usd": 0.1, "spent_usd": 0.09, "reserved_usd": 0.0, "state": "soft"},
                "day": money,
                "month": money | {"limit_usd": 20.0, "spent_usd": 4.2},
            },
            "last_error": "server_error: HTTP 503",
            "paused_until": None,
        },
        "counters": {
            "messages": 91_000,
            "readings": 182_331,
            "windows": 3_040,
            "verdicts": {"ai": 38, "cache": 3, "local": 2_999},
            "questions": {"opening": 2, "again": 1, "suspect": 3, "audit": 1, "every": 0},
            "findings_open": 2,
            "incidents_open": 2,
            "critical_open": 1,
            "warning_open": 1,
            "devices": 4,
            "series": 12,
            "learning": 4,
            "unreadable": 1,
            "unmatched": 2,
            "quarantined": 3,
            "dropped": 0,
            "duplicates": 0,
        },
        "sources": [_source("sensors/{device}/{metric}", fruitful=True), _source(HOSTILE, fruitful=False)],
        "devices": [
            _device("pump-1", "f1aa"),
            _device("kitchen/th1", None),
            _device(HOSTILE, "f2bb"),
            _silent(),
        ],
        "devices_found": 4,
        "incidents": [_incident("b" * 16, "critical", ["f1aa"]), _incident("c" * 16, "warning", ["f2bb"])],
        "findings": [_finding("f1aa", "pump-1", "critical"), _finding("f2bb", HOSTILE, "warning")],
        "recent_verdicts": [_verdict("a", "pump-1", "anomaly", "ai", "reviewed"), *_calm()],
        "quarantine": [_quarantine("sensors/pump-1/temperature"), _quarantine(HOSTILE)],
    }


def _source(label: str, *, fruitful: bool) -> SourceView:
    return {
        "source": label,
        "messages": 42,
        "outcomes": {"read": 40, "refused": 2} if fruitful else {"text": 42},
        "readings": 80 if fruitful else 0,
        "text": 0 if fruitful else 42,
        "skipped": {} if fruitful else {"text": 41, "unmapped": 1},
        "history": 12 if fruitful else 0,
        "times_not_believed": 0 if fruitful else 3,
        "last_message": AT.format(40),
        "yields_nothing": not fruitful,
        "counted_until": None if fruitful else AT.format(41),
        "unread": [] if fruitful else [{"device": HOSTILE, "name": HOSTILE, "why": "unmapped"}],
    }


def _device(name: str, finding: str | None) -> DeviceView:
    wave = [round(71.0 + 2.0 * math.sin(place / 4), 2) for place in range(29)]
    metrics: list[MetricView] = [
        {
            "name": "temperature",
            "word": "temperature",
            "diagnostic": False,
            "said": None,
            "value": 98.7,
            "unit": "degC",
            "usual": [68.1, 73.9],
            "learning": None,
            "recent": [*wave, 98.7],
        },
        {
            "name": "vibration",
            "word": "vibration",
            "diagnostic": False,
            "said": None,
            "value": 0.0213,
            "unit": "mm/s",
            "usual": None,
            "learning": {"seen": 102, "needed": 150, "until": AT.format(59)},
            "recent": [],
        },
        {
            "name": HOSTILE,
            "word": None,
            "diagnostic": False,
            "said": None,
            "value": 1_234_567.0,
            "unit": None,
            "usual": [0.0, 1.0],
            "learning": None,
            "recent": [1.0, 2.0],
        },
    ]
    return {
        "id": name,
        "last_seen": AT.format(50),
        "silent": False,
        "rhythm": {
            "interval_s": None,
            "patience_s": None,
            "on_events": False,
            "learning": {"seen": 2, "needed": 20, "of": "gaps"},
        },
        "unreadable": False,
        "missing": [{"name": HOSTILE, "why": "not_finite"}],
        "metrics": metrics,
        "finding": finding,
    }


def _silent() -> DeviceView:
    return {
        "id": "freezer-2",
        "last_seen": None,
        "silent": True,
        "rhythm": {"interval_s": 60.0, "patience_s": 300.0, "on_events": False, "learning": None},
        "unreadable": False,
        "missing": [],
        "metrics": [],
        "finding": None,
    }


def _finding(key: str, device: str, severity: str) -> FindingView:
    return {
        "id": key,
        "device": device,
        "kind": "spike",
        "severity": severity,
        "opened_at": AT.format(20),
        "verdicts": 3,
        "state": "open",
        "until": None,
        "maintenance": False,
        "incident_id": ("b" if severity == "critical" else "c") * 16,
        "summary": f"temperature rose to 98.7 degC, far above its usual range. {HOSTILE}",
        "advice": "Check the sensor's wiring and whether a short event explains the value.",
        "evidence": [_evidence()],
        "verdict_id": "a" * 32,
        "reason": "open_finding",
        "metric": _device(device, key)["metrics"][0],
        "model": {
            "model": "gpt-4o-mini",
            "said": f"The temperature jumped and stays high. {HOSTILE}",
            "grounded": True,
            "cost_usd": 0.00018,
            "at": AT.format(21),
            "verdict_id": "a" * 32,
        },
        "can": ["ack", "snooze", "normal_here"] if severity == "warning" else ["ack", "snooze"],
    }


def _incident(key: str, severity: str, findings: list[str]) -> IncidentView:
    return {
        "id": key,
        "severity": severity,
        "cause": "device",
        "since": AT.format(20),
        "summary": "One device: spike.",
        "devices": [HOSTILE],
        "device_count": 1,
        "findings_open": len(findings),
        "unseen": len(findings),
        "limits": findings if severity == "critical" else [],
    }


def _verdict(key: str, device: str, status: str, source: str, reason: str) -> VerdictView:
    calm = status == "normal"
    return {
        "id": key * 32,
        "device": device,
        "status": status,
        "severity": "info" if calm else "critical",
        "kind": "none" if calm else "spike",
        "score": 0.1 if calm else 4.2,
        "summary": "All series are in their usual range." if calm else f"A spike of temperature. {HOSTILE}",
        "source": source,
        "reason": reason,
        "reason_detail": "this device has used up its own share" if reason == "budget" else None,
        "learning": None
        if reason != "budget"
        else {"metric": HOSTILE, "seen": 102, "needed": 300, "until": AT.format(59)},
        "grounded": None if source == "local" else True,
        "cost_usd": None if source == "local" else 0.00018,
        "created_at": AT.format(51),
        "evidence": [] if calm else [_evidence()],
    }


def _evidence() -> EvidenceView:
    return {
        "reading": "r17",
        "metric": HOSTILE,
        "at": AT.format(49),
        "value": 98.7,
        "expected": [68.1, 73.9],
    }


def _calm() -> list[VerdictView]:
    return [
        _verdict("b", "kitchen/th1", "normal", "local", "not_suspicious"),
        _verdict("c", "freezer-2", "uncertain", "local", "ungrounded"),
        _verdict("d", "new-1", "normal", "local", "budget"),
    ]


def _quarantine(topic: str) -> QuarantineView:
    return {"topic": topic, "reason": "bad_json", "detail": HOSTILE, "received_at": AT.format(30)}


def sample_history(query: str = "") -> dict[str, Any]:
    """Return the chart of a device: a gap at noon, usual ranges by the hour, and two findings."""
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    hours = int(asked.get("hours", "24"))
    end = datetime(2026, 11, 24, 2, 41, tzinfo=UTC).timestamp()
    begin, step = end - hours * 3600.0, hours * 25.0
    points = [
        [begin + step * (place + 0.5), round(70 + math.sin(place / 9), 2), round(72 + math.sin(place / 9), 2)]
        for place in range(144)
        if not 60 <= place < 80
    ]
    points[30][2] = 98.7
    usual = [[begin + 3600.0 * hour, 68.1, 73.9 + hour % 3] for hour in range(hours)]

    def finding(key: str, state: str, opened: float, ended: float | None) -> dict[str, Any]:
        return {
            "id": key,
            "kind": "level_shift",
            "severity": "warning",
            "state": state,
            "opened_at": iso(begin + opened * hours * 3600),
            "ended_at": None if ended is None else iso(begin + ended * hours * 3600),
        }

    findings = [finding("f2bb", "normal_here", 1 / 3, 1 / 2), finding("f9cc", "cleared", 0.1, 0.2)]
    known = asked.get("finding") != "0000"
    series = [{"name": "temperature", "points": points, "usual": usual}]
    return {
        "id": asked.get("id", HOSTILE),
        "hours": hours,
        "from": iso(begin),
        "to": iso(end),
        "series": series if known else [],
        "findings": findings if known else [],
    }
