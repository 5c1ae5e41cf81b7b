"""Panels about the model: money, traffic, latency, tokens, quality, safety."""

from configs.grafana.panel import RATE, Panel, quantiles, share, total

_LEFT = "(ai_budget_spent_usd{@} + ai_budget_reserved_usd{@}) / (ai_budget_limit_usd{@} > 0)"
_CALLS = "ai_api_calls_total"
_FAILED = f"sum by (le) (rate(ai_api_failed_call_duration_seconds_bucket{{@}}[{RATE}]))"
_SUCCEEDED = f"sum by (le) (rate(ai_api_call_duration_seconds_bucket{{@}}[{RATE}])) - {_FAILED}"


def _precision(offset: str = "") -> str:
    """Return the confirmed share of people's feedback of 7 days."""
    confirmed = f'sum(increase(ai_verdict_feedback_total{{@,outcome="confirmed"}}[7d]{offset}))'
    return f"{confirmed} / (sum(increase(ai_verdict_feedback_total{{@}}[7d]{offset})) > 0)"


def _checks(results: str) -> str:
    """Return the looked-up answers of one hour by the version of the prompt in use."""
    checks = f'increase(ai_grounding_checks_total{{@,result=~"{results}"}}[1h])'
    return f"sum by (version) ({checks} * on (instance, job) group_left (version) ai_prompt_info{{@}})"


MONEY = [
    Panel(
        "Cost per hour",
        "Spending of the chosen gateways on model calls at the pace of the last 15 minutes.",
        {"sum(ai:cost_usd_per_hour{@})": "USD per hour"},
        "currencyUSD",
        "stat",
        4,
        more={"decimals": 4},
    ),
    Panel(
        "Today's spend and limit",
        "Spent since midnight in the budget's time zone, and the caps of the chosen gateways together.",
        {
            'sum(ai_budget_spent_usd{@,window="day"})': "spent",
            'sum(ai_budget_reserved_usd{@,window="day"})': "reserved",
            'sum(ai_budget_limit_usd{@,window="day"})': "limit",
        },
        "currencyUSD",
        "stat",
        8,
    ),
    Panel(
        "Budget left",
        "Of the gateway that has least left. Below 20 % audits stop, at 0 % all verdicts are local.",
        {f"min by (window) (1 - {_LEFT})": "{{window}}"},
        "percentunit",
        "gauge",
        6,
        steps={0.0: "red", 0.2: "orange", 0.5: "green"},
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Cost per verdict of the model",
        "Cost of the last 24 hours over the verdicts that are the model's own.",
        share("ai_estimated_cost_usd_total{@}", 'ai_verdicts_total{@,source="ai"}', "USD", over="1d"),
        "currencyUSD",
        "stat",
        6,
        more={"decimals": 6},
    ),
    Panel(
        "Cost per hour by gateway",
        "One line for each gateway. A spike is a fault of its devices, or somebody changed the model.",
        {"ai:cost_usd_per_hour{@}": "{{instance}}"},
        "currencyUSD",
    ),
    Panel(
        "Cost of 24 hours by gateway (top 10)",
        "The gateways that cost most.",
        {"topk(10, ai:cost_usd_per_gateway:rate1d{@})": "{{instance}}"},
        "currencyUSD",
        "bargauge",
    ),
    Panel(
        "Cost per device (top 10)",
        "Cost of 24 hours of a gateway over its devices, the dearest gateways first. No metric of a call "
        "has a device; docs/traces.md has the command that adds up the cost of each device from the log.",
        {"topk(10, ai:cost_usd_per_device:rate1d{@})": "{{instance}}"},
        "currencyUSD",
        "bargauge",
    ),
    Panel(
        "Calls avoided by reason",
        "Windows a minute without a call. not_suspicious is usual; budget, breaker and cooldown are not.",
        total("ai_calls_suppressed_total", "reason"),
        "cpm",
        width=12,
    ),
    Panel(
        "Calls without a price",
        "Calls an hour to a model that ai.prices does not name: they are booked at the dearest price.",
        {"sum by (model) (increase(ai_cost_unpriced_calls_total{@}[1h]))": "{{model}}"},
        "short",
        width=12,
    ),
]

TRAFFIC = [
    Panel(
        "Calls by status",
        "Calls a minute; a call with its retries is one call.",
        {"sum by (status) (ai:calls:rate5m{@}) * 60": "{{status}}"},
        "cpm",
    ),
    Panel(
        "Error ratio",
        "Share of failed calls over 15 minutes. Above 10 % the alert AIErrorRateHigh follows.",
        {"ai:error_ratio:rate15m{@}": "{{instance}} {{model}}"},
        "percentunit",
        steps={0.0: "green", 0.1: "red"},
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Errors by type",
        "Failed calls a minute by cause. auth and quota do not mend by waiting.",
        total("ai_api_errors_total", "error_type"),
        "cpm",
    ),
    Panel(
        "Retries",
        "Attempts a minute that were made again.",
        total("ai_api_retries_total", "error_type"),
        "cpm",
    ),
    Panel(
        "Circuit breaker",
        "Open: no call is tried, verdicts are local. Half open: one call tries whether the endpoint is back.",
        {"max by (instance, provider) (ai_breaker_state{@})": "{{instance}} {{provider}}"},
        "short",
        "state-timeline",
        words={0: ("closed", "green"), 1: ("half open", "yellow"), 2: ("open", "red")},
    ),
    Panel(
        "Changes of the breaker",
        "How often the breaker changed in an hour. Many changes are an endpoint that comes and goes.",
        {"sum by (to) (increase(ai_breaker_transitions_total{@}[1h]))": "to {{to}}"},
        "short",
    ),
    Panel(
        "Calls in flight",
        "Calls that wait for their answer now.",
        {"ai_active_conversations{@}": "{{instance}}"},
        "short",
    ),
    Panel(
        "Answer cache",
        "Look-ups a minute. A hit costs nothing; bypass is an audit, or the cache is off.",
        total("ai_cache_requests_total", "result"),
        "cpm",
    ),
    Panel(
        "Cache hit ratio",
        "Share of the look-ups of one hour that found an answer; bypass does not count.",
        {"ai:cache_hit_ratio:rate1h{@}": "{{instance}}"},
        "percentunit",
        more={"min": 0, "max": 1},
    ),
]

LATENCY = [
    Panel(
        "Duration of a call",
        "Retries included. Above 20 s at p95 the alert AILatencyHighP95 follows.",
        quantiles("ai_api_call_duration_seconds", 0.5, 0.95, 0.99),
        "s",
        width=6,
    ),
    Panel(
        "Duration by outcome",
        "Only the failed calls are slow: timeouts. Both are slow: the model, or the way to it.",
        {
            f"histogram_quantile(0.5, {_SUCCEEDED})": "p50 success",
            f"histogram_quantile(0.95, {_SUCCEEDED})": "p95 success",
            f"histogram_quantile(0.95, {_FAILED})": "p95 failure",
        },
        "s",
        width=6,
    ),
    Panel(
        "Durations",
        "How many calls took how long. Two bands are two kinds of calls: cached and not, or two models.",
        {f"sum by (le) (increase(ai_api_call_duration_seconds_bucket{{@}}[{RATE}]))": "{{le}}"},
        "s",
        "heatmap",
        width=6,
    ),
    Panel(
        "p95 by model",
        "Which of the configured models is slow.",
        quantiles("ai_api_call_duration_seconds", 0.95, by="model"),
        "s",
        width=6,
    ),
]

TOKENS = [
    Panel(
        "Tokens per minute",
        "Input holds the cached tokens, output those of reasoning.",
        {"sum by (direction) (ai:tokens_per_minute{@})": "{{direction}}"},
        "short",
    ),
    Panel(
        "Cached and reasoning share",
        "Share of the input that the provider had cached, and of the output that was reasoning.",
        {
            **share(
                "ai_cached_input_tokens_total{@}",
                'ai_tokens_processed_total{@,direction="input"}',
                "cached input",
            ),
            **share(
                "ai_reasoning_tokens_total{@}",
                'ai_tokens_processed_total{@,direction="output"}',
                "reasoning output",
            ),
        },
        "percentunit",
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Estimated share",
        "Share of the tokens that the agent counted itself, because the endpoint gave no usage.",
        share("ai_tokens_estimated_total{@}", "ai_tokens_processed_total{@}", "estimated"),
        "percentunit",
        more={"min": 0, "max": 1},
    ),
]

QUALITY = [
    Panel(
        "Hallucination ratio",
        "Share of the answers of one hour whose claims are not in the readings. "
        "It is about claims, not about whether the judgement is right.",
        {"ai:hallucination_ratio:rate1h{@}": "{{instance}}"},
        "percentunit",
        steps={0.0: "green", 0.1: "red"},
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Answers not in the asked form",
        "Share of the successful calls whose text could not be read, even after repair.",
        share("ai_validation_failures_total{@}", _CALLS + '{@,status="success"}', "invalid"),
        "percentunit",
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Repaired answers", "Texts a minute that needed repair.", total("ai_repairs_total", "result"), "cpm"
    ),
    Panel(
        "Verdicts by source",
        "Whose opinion the verdicts are: the model's, the cache's, the local detector's.",
        total("ai_verdicts_total", "source"),
        "cpm",
    ),
    Panel(
        "Verdicts by status",
        "Normal, anomaly, uncertain; all sources.",
        total("ai_verdicts_total", "status"),
        "cpm",
    ),
    Panel(
        "Anomaly share of the model's verdicts",
        "6 hours against 7 days. A lasting difference without faults is a model that changed silently.",
        {"avg(ai:anomaly_share:rate6h{@})": "6 hours", "avg(ai:anomaly_share:rate7d{@})": "7 days"},
        "percentunit",
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Disagreements",
        "Windows an hour whose anomaly only one side saw: the model (ai_only) or the detector (local_only).",
        {"sum by (kind) (increase(ai_disagreements_total{@}[1h]))": "{{kind}}"},
        "short",
        width=6,
    ),
    Panel(
        "Precision by people's feedback",
        "Confirmed over confirmed and false alarm, of all feedback of 7 days.",
        {_precision(): "precision"},
        "percentunit",
        "stat",
        width=6,
        more={"min": 0, "max": 1},
    ),
    Panel(
        "Lift by feedback",
        "Precision of 7 days less that of the 7 days before: what another model, prompt or knowledge has "
        "changed. Zero without feedback of the days before.",
        {f"{_precision()} - ({_precision(' offset 7d')} or {_precision()})": "lift"},
        "percentunit",
        "stat",
        width=6,
        more={"min": -1, "max": 1},
    ),
    Panel(
        "Ungrounded answers by prompt version",
        "Share of one hour for each version of the prompt in use.",
        {f"{_checks('ungrounded')} / ({_checks('grounded|ungrounded')} > 0)": "{{version}}"},
        "percentunit",
        width=6,
        more={"min": 0, "max": 1},
    ),
]

SAFETY = [
    Panel(
        "Safety flags",
        "Refusals, content filters, moderation categories and suspected injections in an hour.",
        {"sum by (category) (increase(ai_content_safety_flags_total{@}[1h]))": "{{category}}"},
        "short",
        width=12,
    ),
    Panel(
        "Suspected injections",
        "Payload texts of an hour that look like instructions, by rule. No limit can be talked away.",
        {"sum by (rule) (increase(ai_injection_suspected_total{@}[1h]))": "{{rule}}"},
        "short",
        width=12,
    ),
]
