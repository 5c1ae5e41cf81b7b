"""The rules with the names of the conventions, judged by queries of dashboards."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from agent.observe.metrics import Metrics
from agent.observe.registry import CALL_SECONDS
from configs.prometheus.metrics_page import known_names, names_in
from tests.monitoring.servers import SHIPPED

pytestmark = pytest.mark.process

NAME = "genai.yml"
(GROUP,) = yaml.safe_load((SHIPPED / NAME).read_text())["groups"]
RULES = GROUP["rules"]
WHO = 'model="%s",provider="%s",instance="gw:8000",job="edge-agent",site="north"'
MINI, AZURE = WHO % ("gpt-4o-mini", "openai"), WHO % ("small", "azure")
#: One call a minute of each model. That of the first takes 6 s; every fifth one fails.
SERIES = {
    f"ai_estimated_cost_usd_total{{{MINI}}}": "0+0.01x60",
    f"ai_estimated_cost_usd_total{{{AZURE}}}": "0+0.02x60",
    f'ai_api_calls_total{{{MINI},status="success"}}': "0+0.8x60",
    f'ai_api_calls_total{{{MINI},status="failure"}}': "0+0.2x60",
    f'ai_api_calls_total{{{AZURE},status="success"}}': "0+1x60",
    f'ai_api_calls_total{{{AZURE},status="failure"}}': "0x60",
    f'ai_api_errors_total{{{MINI},error_type="timeout"}}': "0+0.2x60",
    f'ai_api_errors_total{{{MINI},error_type="internal"}}': "0+7x60",
    f'ai_tokens_processed_total{{{MINI},direction="input"}}': "0+800x60",
    f'ai_tokens_processed_total{{{MINI},direction="output"}}': "0+80x60",
    f'ai_tokens_processed_total{{{AZURE},direction="input"}}': "0+100x60",
    f"ai_cached_input_tokens_total{{{MINI}}}": "0+512x60",
    f"ai_reasoning_tokens_total{{{MINI}}}": "0+40x60",
    f"ai_api_call_duration_seconds_sum{{{MINI}}}": "0+6x60",
    f"ai_api_call_duration_seconds_sum{{{AZURE}}}": "0+1x60",
    **{
        f'ai_api_call_duration_seconds_bucket{{{MINI},le="{le}"}}': f"0+{int(le >= 10.24)}x60"
        for le in CALL_SECONDS
    },
    f'ai_api_call_duration_seconds_bucket{{{MINI},le="+Inf"}}': "0+1x60",
}
MODEL = 'gen_ai_request_model="gpt-4o-mini"'


def _by_model(first: float, second: float) -> dict[str, float]:
    return {'{gen_ai_request_model="gpt-4o-mini"}': first, '{gen_ai_request_model="small"}': second}


def _duration(name: str) -> list[tuple[str, dict[str, float]]]:
    """Return queries of public dashboards about calls in one spelling, and the values that they must give."""
    mean = "sum by ({1}) (rate({0}_sum[10m])) / sum by ({1}) (rate({0}_count[10m]))"
    errors = 'sum(increase({0}_count{{error_type!=""}}[10m])) / sum(increase({0}_count[10m]))'
    return [
        (f"sum by (gen_ai_request_model) (increase({name}_count[10m]))", _by_model(10, 10)),
        (
            f"sum by (error_type) (increase({name}_count{{{MODEL}}}[10m]))",
            {"{}": 8, '{error_type="timeout"}': 2},
        ),
        (f"histogram_quantile(0.5, sum by (le) (rate({name}_bucket[10m])))", {"{}": 7.68}),
        (errors.format(name), {"{}": 0.1}),
        (mean.format(name, "gen_ai_request_model"), _by_model(6, 1)),
    ]


def _tokens(name: str) -> list[tuple[str, dict[str, float]]]:
    """Return queries about tokens in one spelling, and the values that they must give."""
    each = "sum(rate({0}_sum{{{1}}}[10m])) / sum(rate({0}_count{{{1},{2}}}[10m]))"
    of_a_call = 'gen_ai_token_type="input"'
    by_type = {'{gen_ai_token_type="input"}': 8000.0, '{gen_ai_token_type="output"}': 800.0}
    return [
        (f"sum by (gen_ai_token_type) (increase({name}_sum{{{MODEL}}}[10m]))", by_type),
        (each.format(name, 'gen_ai_system="azure.ai.openai"', of_a_call), {"{}": 100}),
        (each.format(name, 'gen_ai_provider_name="azure.ai.openai"', of_a_call), {"{}": 100}),
    ]


#: Tokens of the first model in ten minutes, by the end of the name of a counter.
COUNTED = {"input": 8000.0, "output": 800.0, "cache_read_input": 5120.0, "reasoning_output": 400.0}
QUERIES: list[tuple[str, dict[str, float]]] = [
    *_duration("gen_ai_client_operation_duration_seconds"),
    *_duration("gen_ai_client_inference_duration_seconds"),
    *_tokens("gen_ai_client_token_usage"),
    *_tokens("gen_ai_client_token_usage_tokens"),
    *(
        (f"sum(increase(gen_ai_client_inference_usage_{kind}_tokens_total{{{MODEL}}}[10m]))", {"{}": count})
        for kind, count in COUNTED.items()
    ),
]


def _judge(folder: Path, expected: list[tuple[str, dict[str, float]]]) -> None:
    """Let promtool compare each query with the labels and values that it must give."""
    (folder / NAME).write_text((SHIPPED / NAME).read_text())
    checks = [
        {
            "expr": query,
            "eval_time": "40m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
        }
        for query, found in expected
    ]
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    case = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    document = {"rule_files": [NAME], "evaluation_interval": "1m", "tests": [case]}
    (folder / "test.yml").write_text(json.dumps(document))  # JSON is YAML
    command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards_find_what_happened(tmp_path: Path) -> None:
    """Queries in each spelling give the calls, failures, durations and tokens of the agent's own counters."""
    _judge(tmp_path, [(f"round({query}, 0.001)", found) for query, found in QUERIES])


def test_every_series_has_the_labels_of_the_conventions_and_of_the_target(tmp_path: Path) -> None:
    """No label of the agent's own is left, and a label that a discovery file gave is kept."""
    left = " or ".join(
        f'{{__name__=~"gen_ai_.+",{label}!=""}}' for label in ("model", "provider", "direction", "status")
    )
    labels = (
        'site="north",job="edge-agent",instance="gw:8000",gen_ai_operation_name="chat",'
        f'service_name="edge-agent",{MODEL},gen_ai_provider_name="openai",gen_ai_system="openai"'
    )
    names = {rule["record"] for rule in RULES} - {"ai:genai_labels"}
    nothing: dict[str, float] = {}
    _judge(
        tmp_path,
        [(f"count({left})", nothing), *((f"group({name}{{{labels}}})", {"{}": 1.0}) for name in names)],
    )


@pytest.mark.parametrize("place", range(len(RULES)), ids=lambda place: str(RULES[place]["record"]))
def test_every_rule_asks_for_what_exists(place: int) -> None:
    """A rule names metrics of the agent, label values of its exposition, and only rules above itself."""
    expression = RULES[place]["expr"]
    above = {rule["record"] for rule in RULES[:place]}
    assert set(names_in(expression)) <= known_names() | above
    recorded = re.findall(r"\bgen_ai_client_\w+", re.sub(r"group_left \([^)]*\)", "", expression))
    assert set(recorded) <= above
    exported = Metrics(models=["m"]).render()[0].decode()
    for name, matchers in re.findall(r"\b(ai_\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)!?="([^"]+)"', matchers):
            assert re.search(rf'^{name}\{{.*{label}="{value}"', exported, re.MULTILINE), (name, value)
