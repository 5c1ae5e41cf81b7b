"""One panel of the dashboard: its words and its expressions."""

from dataclasses import dataclass, field
from typing import Any

from agent.observe.registry import Metric

CHOSEN = 'job=~"$job",instance=~"$instance"'
RATE = "$__rate_interval"
WIDTH = 8


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, words for a person, and one or more expressions with their legends.

    Args:
        title: Its heading.
        about: How to read it, and what to do when it looks wrong.
        queries: Expression to legend, which may use ``{{label}}``; ``@`` are the chosen gateways.
        unit: Name of a unit of Grafana.
        kind: Grafana's panel type.
        width: Columns of 24.
        steps: From which value on which colour.
        words: Value to word and colour, for states.
        more: Further field defaults: ``min``, ``max``, ``decimals``.
    """

    title: str
    about: str
    queries: dict[str, str]
    unit: str
    kind: str = "timeseries"
    width: int = WIDTH
    steps: dict[float, str] = field(default_factory=dict)
    words: dict[int, tuple[str, str]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


def total(name: str, by: str, more: str = "") -> dict[str, str]:
    """Return a query for the rate per minute of a counter, by one label."""
    chosen = f"{{@,{more}}}" if more else "{@}"
    return {f"sum by ({by}) (rate({name}{chosen}[{RATE}])) * 60": f"{{{{{by}}}}}"}


def quantiles(name: str, *shares: float, by: str = "") -> dict[str, str]:
    """Return a query for each quantile of a histogram; ``by`` splits it by a label."""
    labels, legend = (f"{by}, le", f" {{{{{by}}}}}") if by else ("le", "")
    return {
        f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket{{@}}[{RATE}])))": (
            f"p{share * 100:g}{legend}"
        )
        for share in shares
    }


def of_metric(metric: Metric) -> Panel:
    """Return the panel that a row of the registry asks for: growth an hour, or the value now."""
    name = f"increase({metric.name}{{@}}[1h])" if metric.kind == "counter" else f"{metric.name}{{@}}"
    by = metric.labels[-1].name if metric.labels else "instance"
    return Panel(metric.panel, metric.help, {f"sum by ({by}) ({name})": f"{{{{{by}}}}}"}, "short")


def share(part: str, whole: str, legend: str, over: str = RATE) -> dict[str, str]:
    """Return a query for the increase of one counter over that of another, both with their matchers."""
    return {f"sum(increase({part}[{over}])) / (sum(increase({whole}[{over}])) > 0)": legend}
