"""The site of a lift: scenarios joined to one, at their weekday and hour."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.lift.upstream import Price
from simulator.scenario import Scenario, ScenarioError
from simulator.scenario_file import AgentPart
from simulator.trial.plan import NO_CAP_USD

MARGIN_S = 3600.0  # an agent believes no time in the future
_WEEK_S = 7 * 86_400.0
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Site:
    """One scenario made of several, the facts of its people, and the scenario of each device."""

    scenario: Scenario
    knowledge: Mapping[str, str]
    origin: Mapping[str, str]  # device -> name of its scenario

    def start(self, live_s: float, now: float | None = None) -> float:
        """Return the latest start of the live part on the scenario's weekday and hour, Unix seconds."""
        latest = (time.time() if now is None else now) - live_s - MARGIN_S
        hours = 24.0 * _DAYS.index(self.scenario.start_day) + (self.scenario.start_hour or 0.0)
        day = datetime.fromtimestamp(latest, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = day.timestamp() - 86_400.0 * day.weekday() + 3600.0 * hours
        return begin if begin <= latest else begin - _WEEK_S


def join(scenarios: Sequence[Scenario]) -> Site:
    """Return the scenarios as one site.

    Raises:
        ScenarioError: they do not fit, or have no facts.
    """
    first = scenarios[0]
    knowledge: dict[str, str] = {}
    origin: dict[str, str] = {}
    for one in scenarios:
        if one.start_hour is None or not one.agent.knowledge:
            raise ScenarioError(f"{one.name}: a lift needs start_hour and agent.knowledge; add them")
        if (one.interval_s, one.start_hour, one.start_day) != (
            first.interval_s,
            first.start_hour,
            first.start_day,
        ):
            raise ScenarioError(
                f"{one.name}: interval_s, start_hour and start_day differ from {first.name}'s"
            )
        twice = [device.id for device in one.devices if device.id in origin]
        if twice or knowledge.keys() & one.agent.knowledge.keys():
            raise ScenarioError(f"{one.name}: {', '.join(twice) or 'a glob'} is in {first.name} too")
        knowledge |= one.agent.knowledge
        origin |= {device.id: one.name for device in one.devices}
    limits = {key: limit for one in scenarios for key, limit in one.agent.limits.items()}
    return Site(
        replace(
            first,
            name="+".join(one.name for one in scenarios) if len(scenarios) == 1 else "lift",
            devices=tuple(device for one in scenarios for device in one.devices),
            faults=tuple(fault for one in scenarios for fault in one.faults),
            agent=AgentPart(limits=limits, knowledge=knowledge),
        ),
        knowledge,
        origin,
    )


EXAMPLE = Price(0.15, 0.60)  # of no offer in particular


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftPlan:
    """The times of a lift, and how the agent asks."""

    history_s: float
    live_s: float
    speed: float
    seed: int = 1
    lead_s: float = 15.0
    drain_limit_s: float = 120.0
    model: str = "scripted"
    price: Price = EXAMPLE
    profile: str = "openai"
    deadline_s: float = 30.0
    concurrency: int = 2
    audits: bool = True  # of calm windows, which differ from run to run
    max_usd: float | None = None
    max_windows: int | None = None
    max_input_tokens: int | None = None
    plot: bool = False  # with each question
    keep: Path | None = None

    def settings(self, knowledge: Mapping[str, str], *, audits: bool) -> dict[str, Any]:
        """Return the sections of the configuration of an agent that asks a model.

        Without ``audits`` it asks about the same windows in each run.
        """
        cap = NO_CAP_USD if self.max_usd is None else self.max_usd
        batch = {"max_windows": self.max_windows, "max_input_tokens": self.max_input_tokens}
        ai = {
            "share": "names",
            "plot": self.plot,
            "model": self.model,
            "profile": self.profile,
            "deadline_s": self.deadline_s,
            "concurrency": self.concurrency,
            "device_share": 1.0,
            "budget": {"hour_usd": cap, "day_usd": cap, "month_usd": cap},
            "prices": {self.model: {"input": self.price.input, "output": self.price.output}},
        }
        return {
            "agent": {"timezone": "UTC"},
            "knowledge": dict(knowledge),
            "ai": ai,
            "review": {
                **({} if audits else {"audits_per_day": 0}),
                "batch": {name: value for name, value in batch.items() if value is not None},
            },
        }
