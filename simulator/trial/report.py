"""The figures of trials: a table per scenario and one over all of them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.score import AgentVerdicts, Figures, figures
from simulator.score.table import markdown, number, rows, share, span
from simulator.trial.plan import WINDOW_S
from simulator.trial.run import Outcome

if TYPE_CHECKING:
    from simulator.faults import Label


def figures_of(outcome: Outcome) -> dict[str, Figures]:
    """Return the figures of every contestant of one trial."""
    return {
        mode: figures(
            outcome.labels, verdicts, window_s=WINDOW_S, devices=outcome.devices, span_s=outcome.live_s
        )
        for mode, verdicts in outcome.verdicts.items()
    }


def pooled(outcomes: Sequence[Outcome]) -> dict[str, Figures]:
    """Return the figures of every contestant over all trials; devices of different trials are different."""
    labels: list[Label] = []
    together: dict[str, AgentVerdicts] = {}
    device_s = 0.0
    for outcome in outcomes:
        prefix = f"{outcome.scenario}/"
        labels += [replace(one, device=prefix + one.device) for one in outcome.labels]
        device_s += outcome.devices * outcome.live_s
        for mode, verdicts in outcome.verdicts.items():
            together.setdefault(mode, AgentVerdicts()).absorb(verdicts, prefix)
    return {
        mode: figures(labels, verdicts, window_s=WINDOW_S, devices=1, span_s=device_s)
        for mode, verdicts in together.items()
    }


def compact(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """Return a table with a row per scenario and contestant."""
    head = ["scenario", "review", "found", "false", "fooled", "precision", "F1", "delay median / p95"]
    table = [[*head, "findings per fault", "tokens", "USD"]]
    for outcome in outcomes:
        for mode, one in figures_of(outcome).items():
            table.append(_row(outcome.scenario, mode, one))
    table += [_row("all", mode, one) for mode, one in pooled(outcomes).items()]
    return table


def _row(scenario: str, mode: str, one: Figures) -> list[str]:
    total = one.total
    return [
        scenario,
        mode,
        f"{total.found} of {total.faults}",
        str(one.false_findings),
        f"{one.fooled} of {one.normal_events}",
        share(total.precision),
        "-" if total.f1 is None else f"{total.f1:.2f}",
        f"{span(total.delay_median_s)} / {span(total.delay_p95_s)}",
        number(total.findings_per_fault),
        f"{one.tokens:,}",
        f"{one.cost_usd:.4f}",
    ]


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write tables (Markdown), figures (JSON) and labels there."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = pooled(outcomes)
    parts = [markdown(compact(outcomes)), markdown(rows(whole))]
    (folder / "score.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    scores = {
        one.scenario: {mode: its.as_dict() for mode, its in figures_of(one).items()} for one in outcomes
    }
    scores["all"] = {mode: its.as_dict() for mode, its in whole.items()}
    (folder / "score.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    for one in outcomes:
        lines = (json.dumps(label.as_dict()) + "\n" for label in one.labels)
        (folder / f"{one.scenario}.labels.jsonl").write_text("".join(lines), encoding="utf-8")
