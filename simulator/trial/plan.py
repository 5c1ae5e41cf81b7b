"""The plan of a trial, and the configurations of its agents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from simulator.agent_process import demo_config
from simulator.broker import free_port
from simulator.model import ModelEndpoint
from simulator.scenario import Scenario

MODES = ("none", "suspicious", "all")
WINDOW_S = 60.0
SETTLE_S = 5.0
BATCH_WAIT_S = 2.0
CACHE_TTL_S = 21_600.0
NO_CAP_USD = 1e6
HISTORY_WINDOW_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One of the agents that are compared; its endpoint is started and stopped by the trial.

    ``settings`` are sections of the configuration that differ from the usual ones.
    """

    name: str
    mode: str
    endpoint: ModelEndpoint
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPlan:
    """One scenario, how much of it, and how fast."""

    scenario: Scenario
    history_s: float
    live_s: float
    speed: float
    seed: int = 1
    lead_s: float = 15.0  # real seconds for the contestants to start, before time begins to run
    keep: Path | None = None  # a folder for recordings, labels and logs
    start: float | None = None  # event time of the live part, Unix seconds; None: as late as can be
    drain_limit_s: float = 60.0  # real seconds for the answers that are due at the end


def limits_of(scenario: Scenario) -> Mapping[str, Any]:
    """Return the limits that the scenario configures an agent with."""
    agent = getattr(scenario, "agent", None)
    limits = getattr(agent, "limits", None) or {}
    return {
        key: one if isinstance(one, Mapping) else one.model_dump(exclude_none=True)
        for key, one in limits.items()
    }


def learner(plan: TrialPlan, *, state_dir: Path, broker_url: str) -> dict[str, Any]:
    """Return the configuration of the agent that takes the history in: hourly windows, no model."""
    config = _common(plan, name="learner", state_dir=state_dir, broker_url=broker_url)
    config["review"] = {"mode": "none", "window": {"max_age_s": HISTORY_WINDOW_S, "max_readings": 5000}}
    return config


def configure(plan: TrialPlan, one: Contestant, *, state_dir: Path, broker_url: str) -> dict[str, Any]:
    """Return the configuration of one of the agents that are compared.

    Windows and all else that is measured in agent time keep their defaults, since agent time itself passes
    ``speed`` times as fast. Real time is divided by the speed, and the caps on spend are lifted.
    """
    config = _common(plan, name=one.name, state_dir=state_dir, broker_url=broker_url)
    config["review"] = {
        "mode": one.mode,
        "window": {"max_age_s": WINDOW_S, "settle_s": SETTLE_S},
        "batch": {"max_wait_s": BATCH_WAIT_S / plan.speed},
    }
    config["ai"] = {
        "base_url": one.endpoint.url,
        "cache_ttl_s": CACHE_TTL_S / plan.speed,
        "budget": {"hour_usd": NO_CAP_USD, "day_usd": NO_CAP_USD, "month_usd": NO_CAP_USD},
    }
    for section, settings in one.settings.items():
        config[section] = _merged(config.get(section, {}), settings)
    return config


def _merged(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with other values; what ``settings`` leaves out is kept, one level down too."""
    merged = dict(config)
    for key, value in settings.items():
        before: Any = merged.get(key)
        merged[key] = {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _common(plan: TrialPlan, *, name: str, state_dir: Path, broker_url: str) -> dict[str, Any]:
    shipped = yaml.safe_load(demo_config().read_text(encoding="utf-8"))
    return {
        # One journal is copied for all, so they share an id; topics and client ids distinguish them.
        "agent": {"id": "trial", "state_dir": str(state_dir)},
        "journal": {"commit_ms": 5},
        "mqtt": {"url": broker_url, "base_topic": f"edge-agent/{name}", "client_id": f"trial-{name}"},
        "sources": shipped["sources"],
        "limits": dict(limits_of(plan.scenario)),
        "web": {"listen": f"127.0.0.1:{free_port()}"},
        "logs": {"level": "info"},
    }
