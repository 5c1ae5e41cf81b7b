"""Results of an offline run: findings, suspicions and cost, and their changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from agent.budget.pricing import Pricing, usd
from agent.commands.printing import instant
from agent.config import Config, settings
from agent.domain.model_calls import Usage
from agent.domain.records import FindingEvent, Status, Trigger, Window
from agent.pipeline.offline import Concluded
from agent.pipeline.review_queue import BatchSettings
from agent.prompt import base_tokens, output_tokens, window_tokens
from agent.prompt.plot import MAX_PLOTS

Found = dict[str, Any]  # a finding as JSON values
MAX_LISTED = 10_000  # suspicions; with `review.mode: all` each window is one


@dataclass
class Collected:
    """Findings and suspicions of a run, from the windows that were concluded at or after ``since``."""

    config: Config
    since: float = float("-inf")
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    suspicions: list[dict[str, Any]] = field(default_factory=list)
    windows: dict[str, int] = field(default_factory=dict)
    anomalies: int = 0
    windows_asked: int = 0  # without audits
    audits: int = 0
    calls: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])  # input, output
    nano_usd: int = 0

    def __post_init__(self) -> None:
        """Begin without a batch."""
        self._pricing = Pricing(self.config.ai.prices)
        self._batch: list[int] = []  # tokens of its windows
        self._batch_since = 0.0
        self._plots = 0  # that it would have

    def take(self, one: Concluded) -> None:
        """Take a window with its verdict."""
        if one.window.sealed < self.since:
            return
        self.count(one.window.trigger, one.window.sealed)
        self.anomalies += one.verdict.status is Status.ANOMALY
        if one.decision.ask:
            self._ask(one.window, audit=one.decision.audit)
        if one.finding is not None:
            self._note(one)
        for moved in one.step.moved:
            if (known := self.findings.get(moved.id)) is not None:
                known["incident"] = moved.incident

    def count(self, trigger: Trigger, sealed: float) -> None:
        """Count a window."""
        if sealed >= self.since:
            self.windows[trigger.value] = self.windows.get(trigger.value, 0) + 1

    def _note(self, one: Concluded) -> None:
        finding, verdict, event = one.finding, one.verdict, one.event
        if finding is None:
            return
        known = self.findings.get(finding.id)
        if known is None:
            if event is not FindingEvent.OPENED:
                return  # it opened before the time that is asked about
            known = self.findings[finding.id] = {
                "id": finding.id,
                "device": finding.device,
                "since": instant(verdict.evidence[0].at if verdict.evidence else verdict.start),
                "opened": instant(one.window.sealed),
                "cleared": None,
                "clock": [one.window.sealed, None],
                "metric": verdict.evidence[0].metric if verdict.evidence else None,
                "score": verdict.score,
            }
        if event is FindingEvent.OPENED or event is FindingEvent.UPDATED:
            known["summary"] = verdict.summary
        if event is FindingEvent.CLEARED:
            known["cleared"], known["clock"][1] = instant(one.window.sealed), one.window.sealed
        if verdict.status is Status.ANOMALY:
            known["score"] = max(known["score"], verdict.score)
        known["kind"], known["severity"] = finding.kind.value, finding.severity.value
        known["incident"] = finding.incident
        known["verdicts"] = finding.verdicts

    @cached_property
    def _batch_settings(self) -> BatchSettings:
        return settings.of_batch(self.config)

    def _ask(self, window: Window, *, audit: bool) -> None:
        """Put a window into the batch, as the review queue does."""
        tokens, batch = window_tokens(window.section), self._batch_settings
        if self._batch and (
            window.sealed - self._batch_since > batch.max_wait_s
            or base_tokens() + sum(self._batch) + tokens > batch.max_input_tokens
        ):
            self.end_batch()
        if not self._batch:
            self._batch_since = window.sealed
        self._batch.append(tokens)
        self._plots = min(MAX_PLOTS, self._plots + (self.config.ai.plot and not audit))
        self.windows_asked += not audit
        self.audits += audit
        if len(self.suspicions) < MAX_LISTED:
            self.suspicions.append(
                {
                    "at": instant(window.sealed),
                    "device": window.device,
                    "window": window.id,
                    "kind": window.local.kind.value,
                    "score": window.local.score,
                    "audit": audit,
                    "summary": window.local.summary,
                    "tokens": tokens,
                }
            )
        if len(self._batch) >= batch.max_windows:
            self.end_batch()

    def end_batch(self) -> None:
        """Count the waiting windows as one call."""
        if not self._batch:
            return
        site = self.config.review.batch.max_input_tokens - self._batch_settings.max_input_tokens
        plots = self._plots * self.config.ai.plot_tokens
        usage = Usage(base_tokens() + site + sum(self._batch) + plots, output_tokens(len(self._batch)))
        self.calls += 1
        self.tokens[0] += usage.input
        self.tokens[1] += usage.output
        self.nano_usd += self._pricing.cost(self.config.ai.model, usage)
        self._batch.clear()
        self._plots = 0

    def reviews(self) -> dict[str, Any]:
        """Return the questions to the model, and an upper estimate of their cost."""
        model = self.config.ai.model
        return {
            "model": model,
            "priced": self._pricing.knows(model),
            "windows": self.windows_asked,
            "audits": self.audits,
            "calls": self.calls,
            "tokens": {"input": self.tokens[0], "output": self.tokens[1]},
            "cost_usd": usd(self.nano_usd),
            "suspicions": self.suspicions,
        }


def compare(ours: Mapping[str, Any], others: Mapping[str, Any], slack_s: float) -> dict[str, Any]:
    """Return what the other configuration would lose, gain and name differently.

    Two findings are one if they are of the same device and their times overlap within the slack.
    """
    left = list(others["findings"])
    lost, changed, same = [], [], 0
    for one in ours["findings"]:
        near = [each for each in left if _overlap(one, each, slack_s)]
        if not near:
            lost.append(one)
            continue
        twin = min(near, key=lambda each: (each["kind"] != one["kind"], _apart(one, each), each["id"]))
        left.remove(twin)
        if (twin["kind"], twin["severity"]) == (one["kind"], one["severity"]):
            same += 1
        else:
            changed.append({"before": one, "after": twin})
    reviews = {
        name: {key: told["reviews"][key] for key in ("windows", "audits", "calls", "tokens", "cost_usd")}
        for name, told in (("before", ours), ("after", others))
    }
    return {"lost": lost, "gained": left, "changed": changed, "same": same, "reviews": reviews}


def _overlap(one: Found, other: Found, slack_s: float) -> bool:
    if one["device"] != other["device"]:
        return False
    return _begin(one) <= _end(other) + slack_s and _begin(other) <= _end(one) + slack_s


def _apart(one: Found, other: Found) -> float:
    return abs(_begin(one) - _begin(other))


def _begin(one: Found) -> float:
    return float(one["clock"][0])


def _end(one: Found) -> float:
    return float("inf") if one["clock"][1] is None else float(one["clock"][1])


def by_kind(findings: Sequence[Found]) -> dict[str, dict[str, int]]:
    """Count findings by severity, and by kind."""
    counts: dict[str, dict[str, int]] = {"severity": {}, "kind": {}}
    for one in findings:
        for name, of in counts.items():
            of[one[name]] = of.get(one[name], 0) + 1
    return {name: dict(sorted(of.items())) for name, of in counts.items()}
