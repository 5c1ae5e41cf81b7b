"""The shipped rules, judged by the real promtool and amtool."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.domain.records import Finding, Kind, Severity
from agent.observe.metrics import Metrics
from agent.observe.registry import KIND, SEVERITY, PathSnapshot
from agent.web.runbook import runbook
from configs.prometheus.metrics_page import known_names, names_in
from tests.monitoring.cases import CASES, Case, rise

pytestmark = pytest.mark.process

REPO = Path(__file__).resolve().parents[2]
SHIPPED = REPO / "configs" / "prometheus"
RULES = SHIPPED / "rules.yml"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
KNOWN = known_names()
RECORDED = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}


#: Alerts about an agent that cannot serve the page.
AWAY = {"EdgeAgentDown", "EdgeAgentMissing"}
#: The alerts on the mere rise of a counter, and the written cases.
ALL_CASES = [
    rise(alert, match[1])
    for alert, rule in ALERTS.items()
    if (match := re.fullmatch(r"increase\((\w+)\[\w+\]\) > 0\s*", rule["expr"]))
] + list(CASES)


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _at_a_site(name: str) -> str:
    """Return a series with a label as discovery files give them."""
    return name.replace("{", '{site="s",') if "{" in name else f'{name}{{site="s"}}'


def _test(case: Case, series: dict[str, str], *, fires: bool) -> dict[str, object]:
    site = "" if "absent" in ALERTS[case.alert]["expr"] else "s"  # no target, no label of it
    counted = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing",site="{site}"}}) or vector(0)'
    return {
        "name": f"{case.alert} {'fires' if fires else 'is calm'}",
        "interval": case.step,
        "input_series": [{"series": _at_a_site(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": counted,
                "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": case.count * fires}],
            }
        ],
    }


def test_promtool_accepts_the_rules() -> None:
    """The rules are valid, and every one is found."""
    assert "SUCCESS" in _run("promtool", "check", "rules", RULES.name, cwd=SHIPPED)


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-many.yml"])
def test_promtool_accepts_the_configurations(name: str) -> None:
    """Both scrape configurations are valid and find their rules."""
    assert "rule files found" in _run("promtool", "check", "config", name, cwd=SHIPPED)


def test_amtool_accepts_the_example() -> None:
    """The Alertmanager example is valid and holds its inhibitions."""
    assert shutil.which("amtool"), "amtool is missing; make tools installs it with prometheus-alertmanager"
    assert "4 inhibit rules" in _run("amtool", "check-config", "alertmanager.yml", cwd=SHIPPED)


def _needed(alert: str) -> list[dict[str, object]]:
    """Return the shipped rule and the recordings it asks for: all rules for each case take minutes."""
    wanted = [ALERTS[alert]]
    for rule in reversed(RECORDED):
        if any(rule["record"] in later["expr"] for later in wanted):
            wanted.insert(0, rule)
    return wanted


@pytest.mark.slow
def test_every_alert_fires_and_keeps_calm(tmp_path: Path) -> None:
    """Each alert fires on its fault, with the target's own labels, and keeps calm one step away from it."""
    assert set(ALERTS) == {case.alert for case in ALL_CASES}
    for number, case in enumerate(ALL_CASES):
        name = f"{case.alert}-{number}"
        rules = {"groups": [{"name": "shipped", "rules": _needed(case.alert)}]}
        (tmp_path / f"{name}.rules.yml").write_text(yaml.safe_dump(rules))
        document = {
            "rule_files": [f"{name}.rules.yml"],
            "evaluation_interval": case.step,
            "tests": [_test(case, case.firing, fires=True), _test(case, case.calm, fires=False)],
        }
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(document))
    _run(
        "promtool",
        "test",
        "rules",
        *(f"{case.alert}-{number}.yml" for number, case in enumerate(ALL_CASES)),
        cwd=tmp_path,
    )


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_every_alert_says_what_to_do(alert: str) -> None:
    """Each alert has a severity, words, and an entry in the runbook that its address leads to."""
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert path == ("docs/runbook.md" if alert in AWAY else "http://{{ $labels.instance }}/runbook")
    links = {"page_url", "dashboard_url"} if alert != "EdgeAgentMissing" else {"dashboard_url"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", *links}
    entries = re.findall(
        r"^## (\w+)\n\n- \*\*Means\*\*.+\n(?:  .+\n)*- \*\*Look at\*\*.+\n(?:  .+\n)*- \*\*Do\*\*.+$",
        (REPO / "docs/runbook.md").read_text(),
        re.MULTILINE,
    )
    assert anchor == alert.lower()
    assert alert in entries
    assert f'<h2 id="{anchor}">{alert}</h2>\n<ul><li><strong>Means</strong>' in runbook().body.decode()


@pytest.mark.parametrize("rule", [*RECORDED, *ALERTS.values()], ids=lambda rule: next(iter(rule.values())))
def test_every_rule_asks_for_what_exists(rule: dict[str, str]) -> None:
    """Each metric that a rule names is in the registry or recorded by another rule."""
    assert set(names_in(rule["expr"])) <= KNOWN


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("increase(edge_gone_total[1h]) > 0", {"edge_gone_total"}),
        ('ai:calls:rate5m{edge_x="y"} / ai_budget_limit_usd', {"ai:calls:rate5m", "ai_budget_limit_usd"}),
        ("sum by (model, le) (rate(ai_x_seconds_bucket[5m]))", {"ai_x_seconds"}),
    ],
)
def test_the_names_in_an_expression_are_found(expression: str, names: set[str]) -> None:
    """Metrics and recorded series are, labels and a histogram's suffix are not."""
    assert set(names_in(expression)) == names


def test_the_rules_ask_only_for_label_values_that_exist() -> None:
    """Each label value that a rule names is in the agent's own exposition."""
    metrics = Metrics(models=["m"], sources=["s/#"])
    every = [
        Finding(f"{kind} {severity}", f"{kind} {severity}", Kind(kind), Severity(severity), 1.0, 1.0)
        for kind in KIND.values
        for severity in SEVERITY.values
    ]
    metrics.read_path(lambda: PathSnapshot(findings=every, alarming=every))
    exported = metrics.render()[0].decode()
    asked = " ".join(rule["expr"] for rule in (*RECORDED, *ALERTS.values()))
    for name, matchers in re.findall(r"\b((?:ai|edge)_\w+)\{([^}]*)\}", asked):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
            for value in values.split("|"):
                assert re.search(rf'^{name}\{{.*{label}="{value}"', exported, re.MULTILINE), (name, value)
