"""The generated part of ``docs/metrics.md``, written by running this module."""

import re
from pathlib import Path
from typing import Any

import yaml

from agent.observe.registry import METRICS, Metric, counter, gauge

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "metrics.md"
RULES = HERE / "rules.yml"
BEGIN, END = "<!-- begin: written by `make docs` -->", "<!-- end -->"

#: The metrics that prometheus_client reads from `/proc` and from the interpreter.
FROM_LIBRARY = (
    counter("process_cpu_seconds_total", "User and system time."),
    gauge("process_resident_memory_bytes", "Resident memory."),
    gauge("process_virtual_memory_bytes", "Virtual memory."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "Most file descriptors that may be open."),
    gauge("process_start_time_seconds", "When the process started."),
)


def alerts_by_metric(rules: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return for each metric the alerts that ask for it, themselves or through a recorded series."""
    asked = {rule["record"]: set(names_in(rule["expr"])) for rule in rules if "record" in rule}
    found: dict[str, list[str]] = {}
    for rule in rules:
        if "alert" in rule:
            direct = set(names_in(rule["expr"]))
            for name in direct.union(*(asked.get(one, set()) for one in direct)):
                found.setdefault(name, []).append(rule["alert"])
    return found


def names_in(expression: str) -> list[str]:
    """Return the metrics and recorded series that a PromQL expression names, without a histogram's suffix."""
    bare = re.sub(r"\{[^}]*\}|\([a-z, ]*\)", "", expression)
    names = re.findall(r"\b(?:ai|edge|process|python)[_:][\w:]+", bare)
    return [re.sub("_(bucket|sum)$", "", name) for name in names]


def known_names() -> set[str]:
    """Return the names that an alert or a panel may ask for."""
    recorded = {rule["record"] for rule in load_rules() if "record" in rule}
    return recorded | {metric.name for metric in (*METRICS, *FROM_LIBRARY)}


def load_rules() -> list[dict[str, Any]]:
    """Return the shipped rules, recorded series and alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def table() -> str:
    """Return the table of all metrics."""
    alerts = alerts_by_metric(load_rules())
    rows = ["| Metric | Type | Labels | Meaning | Alerts |", "|---|---|---|---|---|"]
    rows += [_row(metric, alerts.get(metric.name, [])) for metric in (*METRICS, *FROM_LIBRARY)]
    return "\n".join(rows)


def _row(metric: Metric, alerts: list[str]) -> str:
    labels = ", ".join(f"`{label.name}`" for label in metric.labels) or "none"
    meaning = f"{metric.help} {metric.note}".rstrip()
    links = ", ".join(f"[{alert}](runbook.md#{alert.lower()})" for alert in alerts) or "none"
    return f"| `{metric.name}` | {metric.kind} | {labels} | {meaning} | {links} |"


def page(text: str) -> str:
    """Return the page ``text`` with its generated part as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
