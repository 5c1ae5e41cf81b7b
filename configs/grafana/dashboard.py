"""Grafana's JSON around the panels, written by running this module.

Rows, grid and variables are those of schema version 39, for Grafana 10.4 and newer.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.observe.registry import METRICS
from configs.grafana.ai_panels import LATENCY, MONEY, QUALITY, SAFETY, TOKENS, TRAFFIC
from configs.grafana.edge_panels import EDGE, NOW
from configs.grafana.panel import CHOSEN, WIDTH, Panel, of_metric

FILE = Path(__file__).resolve().parent / "dashboards" / "edge-agent.json"
COLUMNS, HEIGHT = 24, 8
ROWS = {
    "Now": NOW,
    "Money": MONEY,
    "Traffic": TRAFFIC,
    "Latency": LATENCY,
    "Tokens": TOKENS,
    "Quality": QUALITY,
    "Safety": SAFETY,
}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_REDUCED = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_LEGEND = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {**_REDUCED, "colorMode": "value", "graphMode": "none", "textMode": "auto"},
    "gauge": {**_REDUCED, "showThresholdMarkers": True, "showThresholdLabels": False},
    "bargauge": {**_REDUCED, "displayMode": "basic", "orientation": "horizontal"},
    "table": {"showHeader": True, "sortBy": [{"displayName": "ago", "desc": True}]},
    "heatmap": {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"unit": "s"},
        "tooltip": {"mode": "single"},
    },
    "state-timeline": {"mergeValues": True, "showValue": "never", "legend": _LEGEND},
}
_LINES = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": False}


def rows() -> dict[str, list[Panel]]:
    """Return the panels of each row: those of the tables, then those of single metrics."""
    single = [of_metric(metric) for metric in METRICS if metric.panel]
    last = len(single) % (COLUMNS // WIDTH)  # of the last line, which they fill
    wide = [replace(panel, width=COLUMNS // last) for panel in single[-last:]] if last else []
    return {**ROWS, "Edge": EDGE + single[: len(single) - last] + wide}


def text() -> str:
    """Return the dashboard's file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def dashboard() -> dict[str, Any]:
    """Return the dashboard."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in rows().items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            }
        )
        top += 1
        left = 0
        for panel in row:
            if left + panel.width > COLUMNS:
                left, top = 0, top + HEIGHT
            place = {"x": left, "y": top, "w": panel.width, "h": HEIGHT}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_body(panel)})
            left += panel.width
        top += HEIGHT
    return {
        "uid": "edge-agent",
        "title": "edge-agent",
        "description": "Present faults, money, traffic, latency, tokens, quality, safety and the gateway.",
        "tags": ["edge-agent"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alerts()]},
        "templating": {"list": _variables()},
        "links": [],
        "panels": panels,
    }


def _body(panel: Panel) -> dict[str, Any]:
    now = panel.kind in {"stat", "gauge", "bargauge", "table"}
    steps = panel.steps or {0.0: "blue"}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {
            "mode": "absolute",
            # The lowest step has no value in Grafana: it holds from minus infinity on.
            "steps": [
                {"color": colour, "value": value if place else None}
                for place, (value, colour) in enumerate(sorted(steps.items()))
            ],
        },
        **panel.more,
    }
    if panel.kind == "timeseries":
        defaults = {"min": 0, "color": {"mode": "palette-classic"}, "custom": _LINES, **defaults}
    if panel.words:
        said = {
            str(value): {"text": word, "color": colour, "index": value}
            for value, (word, colour) in panel.words.items()
        }
        defaults["mappings"] = [{"type": "value", "options": said}]
    form = {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series")
    body = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expr.replace("@", CHOSEN),
                "legendFormat": legend,
                "format": form,
                "editorMode": "code",
                "range": not now,
                "instant": now,
            }
            for place, (expr, legend) in enumerate(panel.queries.items())
        ],
    }
    if panel.kind == "table":
        names = {f"Value #{chr(ord('A') + place)}": word for place, word in enumerate(panel.queries.values())}
        hidden = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names}
        body["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": hidden}]
    return body


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": f'ALERTS{{alertstate="firing",{CHOSEN}}}',
        "step": "60s",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{severity}}",
    }


def _variables() -> list[dict[str, Any]]:
    source = {
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the agents.",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "current": {},
    }
    return [
        source,
        _asked("job", "Job", "The rules ask for the job edge-agent.", "label_values(edge_build_info, job)"),
        _asked(
            "instance",
            "Gateway",
            "One or more agents, as Prometheus names them.",
            'label_values(edge_build_info{job=~"$job"}, instance)',
        ),
    ]


def _asked(name: str, label: str, about: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "description": about,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "hide": 0,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


if __name__ == "__main__":
    FILE.write_text(text())
