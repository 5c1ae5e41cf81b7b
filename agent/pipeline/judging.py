"""Limits, tuning and bounds of windows, which scores and windows follow from."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from agent.detect import LEARNT, Expect, Limit, QuietHours, Tuning
from agent.pipeline.window import WindowSettings


@dataclass(frozen=True, slots=True)
class Judging:
    """The settings of the path up to the sealed window, without those that need a restart.

    Their text is a row of the journal wherever they change, so that a replay judges each reading by those
    that held then.
    """

    window: WindowSettings
    limits: tuple[Limit, ...] = ()
    tuning: tuple[Tuning, ...] = ()

    def text(self) -> str:
        """Return them as canonical JSON."""
        limits = [[one.pattern, one.low, one.high, one.unit] for one in self.limits]
        tuning = [[one.pattern, one.ignore, one.sensitivity, _expect(one.expect)] for one in self.tuning]
        told = {"window": asdict(self.window), "limits": limits, "tuning": tuning}
        return json.dumps(told, separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> Self:
        """Take back what :meth:`text` gave."""
        told: dict[str, Any] = json.loads(text)
        return cls(
            WindowSettings(**told["window"]),
            tuple(Limit(*one) for one in told["limits"]),
            tuple(
                Tuning(pattern, ignore, sensitivity, _read_expect(expect))
                for pattern, ignore, sensitivity, expect in told["tuning"]
            ),
        )


def _expect(expect: Expect) -> list[Any] | None:
    if expect == LEARNT:
        return None
    hours = [[one.begin_s, one.end_s, sorted(one.days)] for one in expect.quiet]
    return [expect.interval_s, hours, expect.muted]


def _read_expect(told: list[Any] | None) -> Expect:
    if told is None:
        return LEARNT
    interval_s, hours, muted = told
    quiet = tuple(QuietHours(begin_s, end_s, frozenset(days)) for begin_s, end_s, days in hours)
    return Expect(interval_s, quiet, muted)
