"""The figures of several runs side by side, as text for a terminal or as Markdown."""

from collections.abc import Callable, Mapping, Sequence

from simulator.score.figures import Figures, KindFigures

NONE = "-"
Row = tuple[str, Callable[[Figures], str]]


def share(value: float | None) -> str:
    """Return a share as whole percent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def span(value: float | None) -> str:
    """Return seconds in the usual unit for their size."""
    if value is None:
        return NONE
    if value < 120:  # noqa: PLR2004 - two minutes
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"  # noqa: PLR2004 - two hours


def number(value: float | None) -> str:
    """Return a number with its significant digits."""
    if value is None:
        return NONE
    if value >= 100:  # noqa: PLR2004 - whole from here on
        return f"{value:,.0f}"
    return f"{value:.3g}"


def usd(value: float | None) -> str:
    """Return money."""
    if value is None:
        return NONE
    return f"{value:.4f} USD" if value >= 0.001 or not value else f"{value:.6f} USD"  # noqa: PLR2004 - small


def _pair(tell: Callable[[float | None], str], one: float | None, other: float | None) -> str:
    return f"{tell(one)} / {tell(other)}"


def _f1(one: KindFigures) -> str:
    return NONE if one.f1 is None else f"{one.f1:.2f}"


def _sources(one: Figures) -> str:
    return ", ".join(f"{name} {share(part)}" for name, part in one.sources.items()) or NONE


def _kind_cell(one: KindFigures | None) -> str:
    """Return found of faults, precision, F1, median and p95 delay of a kind."""
    if one is None or not one.faults:
        return NONE
    parts = [f"{one.found}/{one.faults}"]
    if one.found:
        parts.append(f"P {share(one.precision)}, F1 {_f1(one)}")
        parts.append(_pair(span, one.delay_median_s, one.delay_p95_s))
    return ", ".join(parts)


EACH = "  per device-day / detection"
_ROWS: Sequence[Row] = (
    ("faults found", lambda one: f"{one.total.found} of {one.total.faults}"),
    ("  with the right name", lambda one: f"{one.total.named} of {one.total.found}"),
    ("recall", lambda one: share(one.total.recall)),
    ("precision", lambda one: share(one.total.precision)),
    ("F1", lambda one: _f1(one.total)),
    ("delay, median / p95", lambda one: _pair(span, one.total.delay_median_s, one.total.delay_p95_s)),
    ("findings per fault found", lambda one: number(one.total.findings_per_fault)),
    ("false findings", lambda one: str(one.false_findings)),
    ("  per device-day", lambda one: number(one.false_per_device_day)),
    ("normal events that fooled it", lambda one: f"{one.fooled} of {one.normal_events}"),
    ("verdicts", lambda one: f"{one.verdicts:,}"),
    ("  by source", _sources),
    ("AI calls", lambda one: f"{one.calls:,}"),
    (EACH, lambda one: _pair(number, one.calls_per_device_day, one.calls_per_detection)),
    ("tokens", lambda one: f"{one.tokens:,}"),
    (EACH, lambda one: _pair(number, one.tokens_per_device_day, one.tokens_per_detection)),
    ("cost", lambda one: usd(one.cost_usd)),
    (EACH, lambda one: _pair(usd, one.cost_per_device_day_usd, one.cost_per_detection_usd)),
)


def rows(runs: Mapping[str, Figures]) -> list[list[str]]:
    """Return the table: a head, a row per figure, per kind of fault, and per kind of normal event."""
    table = [["", *runs]]
    days = next(iter(runs.values())).device_days if runs else 0.0
    table += [[title, *(tell(one) for one in runs.values())] for title, tell in _ROWS]
    kinds = dict.fromkeys(kind for one in runs.values() for kind in one.kinds)
    if kinds:
        table.append(["found of kind, precision, F1, delay", *("" for _ in runs)])
    table += [[f"  {kind}", *(_kind_cell(one.kinds.get(kind)) for one in runs.values())] for kind in kinds]
    for kind in sorted({kind for one in runs.values() for kind in one.fooled_by}):
        table.append([f"  fooled by {kind}", *(str(one.fooled_by.get(kind, 0)) for one in runs.values())])
    table.append(["watched", f"{days:.2f} device-days", *([""] * (len(runs) - 1))])
    return table


def text(table: Sequence[Sequence[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table for a document."""
    lines = ["| " + " | ".join(cell.replace("  ", "&nbsp;&nbsp;") for cell in row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])
