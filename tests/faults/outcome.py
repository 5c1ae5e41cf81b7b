"""The outcome of a fault's run: the counts, and the broken promises."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tests.faults.bound import ROUND_TRIP_S, most_duplicates
from tests.faults.checker import Findings, check
from tests.faults.evidence import Evidence
from tests.faults.rig import Rig
from tests.faults.workload import Key

SETTLE_S = 120.0

Owed = Callable[[Rig, Evidence], Iterable[Key]]


@dataclass(slots=True)
class Outcome:
    """One run. ``faults`` are ``what``; ``losses`` of a connection bound the duplicates."""

    name: str
    what: str
    rate: float
    held_s: float = ROUND_TRIP_S
    faults: int = 0
    losses: int = 0
    settled: bool = False
    exit_code: int = 0
    ended: list[str] = field(default_factory=list)
    overspent: str | None = None
    found: Findings = field(default_factory=Findings)
    missed: list[str] = field(default_factory=list)  # what did not happen, and should have
    counts: dict[str, object] = field(default_factory=dict)  # to be printed

    @property
    def bound(self) -> int:
        """The most messages that may be there twice."""
        return most_duplicates(losses=self.losses + len(self.ended), rate=self.rate, held_s=self.held_s)

    def finish(self, rig: Rig, settle_s: float = SETTLE_S, owed: Owed = lambda _rig, _evidence: []) -> None:
        """End the load, let the agent finish, stop it, and check what is left.

        ``owed`` names messages that the broker lost by itself: the agent did not lose them.
        """
        self.settled = rig.settle(settle_s)
        self.exit_code, _ = rig.stop_agent()
        self.ended, self.overspent = rig.record.ended, rig.overspent()
        evidence = rig.evidence()
        gone = set(owed(rig, evidence))
        acks = {key: code for key, code in evidence.acks.items() if key not in gone}
        self.found = check(replace(evidence, acks=acks))

    def problems(self) -> list[str]:
        """Name everything that must not be."""
        out = self.found.broken() + [f"ended by itself: {text}" for text in self.ended] + self.missed
        if not self.settled:
            out.append("the agent was not done in time")
        if self.exit_code:
            out.append(f"SIGTERM ended in exit code {self.exit_code}")
        if self.overspent is not None:
            out.append(f"the budget was passed: {self.overspent}")
        if self.found.duplicated > self.bound:
            out.append(f"duplicated {self.found.duplicated}, the bound is {self.bound}")
        return out

    def show(self) -> str:
        """Return the figures as a line."""
        found = self.found
        more = "".join(f", {name} {value}" for name, value in self.counts.items())
        return (
            f"{self.name}: {self.faults} {self.what}{more}, acknowledged {found.acked}, lost {found.lost}, "
            f"duplicated {found.duplicated} (bound {self.bound}), verdicts {found.verdicts}, "
            f"conflicting {found.conflicting}, missing {found.missing}, budget {self.overspent or 'kept'}, "
            f"integrity {found.integrity}"
        )


def judge(ours: Outcome, control: Outcome | None) -> int:
    """Print both and what was not kept; return an exit code. A control must lose something."""
    problems = ours.problems()
    print(ours.show())
    if control is not None:
        print(control.show())
        if not control.found.lost:
            problems.append("the control lost nothing: this harness could not have seen a loss")
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0
