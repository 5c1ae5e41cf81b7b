"""The figures of lifts side by side."""

from collections.abc import Callable, Sequence

from simulator.lift.figures import Lift
from simulator.lift.upstream import Price
from simulator.score.table import NONE, number, share

FLEETS = (10, 40, 200)  # devices
AUDITS = 24  # a day, of an agent
EVENTS = 0.1  # other questions per device-day
DAYS = 30
#: Rows that an agent without a model has too.
_LOCAL = 6

_ROWS: Sequence[tuple[str, Callable[[Lift], str]]] = (
    ("prompt version", lambda one: one.prompt or NONE),
    ("spans right", lambda one: f"{one.right} of {one.spans} ({share(one.right / max(1, one.spans))})"),
    ("  95 % interval", lambda one: f"{share(one.right_low)} to {share(one.right_high)}"),
    ("precision", lambda one: share(one.precision)),
    ("recall", lambda one: share(one.recall)),
    ("F1", lambda one: f"{one.f1:.2f}"),
    ("lift over none", lambda one: f"{one.lift:+.2f}"),
    ("  95 % interval", lambda one: f"{one.lift_low:+.2f} to {one.lift_high:+.2f}"),
    ("false alarms removed / added", lambda one: f"{one.removed} / {one.added}"),
    ("faults added / lost", lambda one: f"{one.gained} / {one.lost}"),
    ("calls", lambda one: str(sum(one.questions.values()))),
    ("  about an anomaly that opens", lambda one: str(one.questions.get("opening", 0))),
    ("  of these per incident", lambda one: number(one.per_incident)),
    (
        "  again / suspicion / audit",
        lambda one: " / ".join(str(one.questions.get(name, 0)) for name in ("again", "suspect", "audit")),
    ),
    ("  failed", lambda one: str(one.failed)),
    ("answers ungrounded", lambda one: f"{one.ungrounded} of {one.answers}"),
    ("right without a fact", lambda one: str(one.unexplained)),
    ("tokens in / out", lambda one: f"{one.input_tokens:,} / {one.output_tokens:,}"),
    ("USD", lambda one: f"{one.usd:.4f}"),
    ("seconds per call", lambda one: number(one.seconds)),
)


def rows(lifts: Sequence[Lift], price: Price) -> list[list[str]]:
    """Return the table: a head, a row per figure and per scenario, the cost of a month."""
    table = [["", *(one.name for one in lifts)]]
    for place, (title, tell) in enumerate(_ROWS):
        told = [NONE if one.name == "none" and (place >= _LOCAL or not place) else tell(one) for one in lifts]
        table.append([title, *told])
    for devices in FLEETS:
        cells = [NONE if (cost := month_usd(one, devices, price)) is None else f"{cost:.2f}" for one in lifts]
        table.append([f"USD a month, {devices} devices", *cells])
    for name in lifts[0].by_scenario if lifts else ():
        cells = [f"{one.by_scenario[name][0]} of {one.by_scenario[name][1]}" for one in lifts]
        table.append([f"right in {name}", *cells])
    return table


def month_usd(one: Lift, devices: int, price: Price) -> float | None:
    """Return the cost of 30 days: the audits of one agent, and 0.1 questions per device-day."""
    calls = sum(one.questions.values())
    if not calls:
        return None
    cost = (one.input_tokens * price.input + one.output_tokens * price.output) / 1e6
    return cost / calls * DAYS * (AUDITS + EVENTS * devices)
