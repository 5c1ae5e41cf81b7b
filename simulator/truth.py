"""The true faults so far, compared with an agent's verdicts on them."""

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.score import Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """At event time ``now`` (Unix seconds); found in time is up to ``grace_s`` after a fault."""

    score: Score
    kinds: Mapping[str, list[str]]  # finding id -> kinds in order
    now: float
    grace_s: float
