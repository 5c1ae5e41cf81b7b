"""The AI metric families. The first seven keep the tutorial's names and labels exactly."""

import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from agent.observe.edge_metrics import EdgeMetrics, EdgeSample
from agent.observe.labels import OTHER, LabelBounds
from agent.observe.model_metrics import CallFamilies, ModelMetrics
from agent.observe.values import (
    BREAKER_STATES,
    CATEGORIES,
    INJECTION_RULES,
    MAX_CATEGORIES,
    MAX_MODELS,
    SOURCES,
    STATUSES,
    SUPPRESSED,
)

# A `_created` line beside every counter would double them.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
VERDICT_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """Every metric of one agent, in a registry of its own.

    Args:
        models: Configured model names, the fallbacks among them.
        provider: The profile's name.
        version: Version of the agent.
        prompt: Name, version and hash of the prompt, or None without an endpoint.
        categories: Further safety categories that the configuration names.
        sources: The configured subscriptions.
        read: Gives the state of everything that is not AI; called at each scrape.
    """

    def __init__(
        self,
        *,
        models: Sequence[str] = (),
        provider: str = "openai",
        version: str = "",
        prompt: tuple[str, str, str] | None = None,
        categories: Iterable[str] = (),
        sources: Sequence[str] = (),
        read: Callable[[], EdgeSample] = EdgeSample,
    ) -> None:
        self.registry = CollectorRegistry()
        self.bounds = LabelBounds()
        self.provider = provider
        self._known = tuple(dict.fromkeys(models))[: MAX_MODELS - 1]
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self._categories = dict.fromkeys((*CATEGORIES, *categories))
        self._calls = CallFamilies(registry=self.registry)
        self._make_checks()
        self._make_verdicts()
        if not self._known:  # faults of the telemetry are counted without a model as well
            self._unasked = self._calls.internal_without_model()
        for name in self._known:
            self.model(name, provider)
            for category in self._categories:
                self.safety_flag(name, category, 0)
        self.breaker(provider, "closed", moved=False)
        self._make_info(version, prompt)
        self.active = self._gauge("ai_active_conversations", "AI calls in flight.")
        self._path = EdgeMetrics(read=read, bounds=self.bounds, sources=sources)
        self.registry.register(self._path)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def read_path(self, read: Callable[[], EdgeSample]) -> None:
        """Have ``read`` give the state of everything that is not AI, once the path is built."""
        self._path.read = read

    def render(self) -> tuple[bytes, str]:
        """Return the exposition text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE

    def model(self, model: str, provider: str) -> ModelMetrics:
        """Return the children of ``model``, bounded; all of them exist from then on."""
        children = self._models.get((model, provider))
        if children is None:
            house = self._provider_name(provider)
            name = self._model_name(model) if house == self.provider else OTHER
            if name == OTHER:  # one pair for all that does not fit: a pair costs 47 series
                house = OTHER
            children = self._models.get((name, house)) or self._calls.children(name, house)
            self._models[(name, house)] = children
        return children

    def know(self, models: Sequence[str], provider: str) -> None:
        """Take the models and the provider of a reloaded configuration; those of before keep their labels."""
        self.provider = provider
        self._known = tuple(dict.fromkeys((*self._known, *models)))[: MAX_MODELS - 1]
        for name in models:
            self.model(name, provider)

    def safety_flag(self, model: str, category: str, count: int = 1) -> None:
        """Count a refusal, a content filter or a moderation category."""
        bounded = self.bounds.bounded(
            "category",
            category,
            metric="ai_content_safety_flags_total",
            allowed=self._categories,
            max_n=MAX_CATEGORIES,
        )
        self._calls.safety.labels(self._model_name(model), bounded).inc(count)

    def injection(self, rule: str) -> None:
        """Count a payload text that looks like an instruction, under its rule and as a safety flag."""
        if rule in self.injections:
            self.injections[rule].inc()
        self.safety_flag(self._known[0] if self._known else OTHER, "injection_suspected")

    def internal_fault(self, model: str = "") -> None:
        """Count a fault of our own code under ``model``, else under the first configured one."""
        name = model or (self._known[0] if self._known else "")
        if name:
            self.model(name, self.provider).errors["internal"].inc()
        else:
            self._unasked.inc()

    def breaker(self, provider: str, state: str, *, moved: bool = True) -> None:
        """Show the breaker's state and count the change to it."""
        house = self._provider_name(provider)
        for name in BREAKER_STATES:
            self._breaker_moves.labels(house, name).inc(1 if moved and name == state else 0)
        self._breaker_state.labels(house).set(BREAKER_STATES.index(state))

    def verdict(self, status: str, source: str) -> None:
        """Count a committed verdict."""
        self.verdicts[status, source].inc()

    def disagreement(self, kind: str) -> None:
        """Count a window whose anomaly only one side saw: ``ai_only`` or ``local_only``."""
        self.disagreements[kind].inc()

    def feedback(self, status: str, outcome: str) -> None:
        """Count a person's answer: ``confirmed`` or ``false_alarm``."""
        self.feedbacks[status, outcome].inc()

    def reading_to_verdict(self, seconds: float) -> None:
        """Observe how long a window's last reading waited for its verdict."""
        self._latency.observe(seconds)

    def _model_name(self, model: str) -> str:
        return self.bounds.bounded(
            "model", model, metric="ai_api_calls_total", allowed=self._known, max_n=MAX_MODELS
        )

    def _provider_name(self, provider: str) -> str:
        return self.bounds.bounded(
            "provider", provider, metric="ai_api_calls_total", allowed=(self.provider,)
        )

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _make_checks(self) -> None:
        count, each = self._counter, _each
        self.suppressed = each(
            count("ai_calls_suppressed_total", "Windows that no AI call was made for.", ("reason",)),
            SUPPRESSED,
        )
        self.cache = each(
            count("ai_cache_requests_total", "Look-ups in the answer cache.", ("result",)),
            ("hit", "miss", "bypass"),
        )
        self.grounding = each(
            count("ai_grounding_checks_total", "Answers whose claims were looked up.", ("result",)),
            ("grounded", "ungrounded", "skipped"),
        )
        self.repairs = each(
            count("ai_repairs_total", "Replies whose text needed repair.", ("result",)), ("ok", "failed")
        )
        self.injections = each(
            count("ai_injection_suspected_total", "Payload texts that look like instructions.", ("rule",)),
            INJECTION_RULES,
        )
        self._breaker_state = self._gauge(
            "ai_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", ("provider",)
        )
        self._breaker_moves = count(
            "ai_breaker_transitions_total", "Changes of the circuit breaker.", ("provider", "to")
        )

    def _make_verdicts(self) -> None:
        verdicts = self._counter(
            "ai_verdicts_total", "Verdicts by whose opinion they are.", ("status", "source")
        )
        self.verdicts = {(a, b): verdicts.labels(a, b) for a in STATUSES for b in SOURCES}
        self.disagreements = _each(
            self._counter("ai_disagreements_total", "Windows whose anomaly only one side saw.", ("kind",)),
            ("ai_only", "local_only"),
        )
        answers = self._counter(
            "ai_verdict_feedback_total", "What people said of verdicts.", ("status", "outcome")
        )
        self.feedbacks = {
            (a, b): answers.labels(a, b) for a in STATUSES for b in ("confirmed", "false_alarm")
        }
        self._latency = Histogram(
            "edge_reading_to_verdict_seconds",
            "From a window's last reading to its committed verdict.",
            buckets=VERDICT_BUCKETS,
            registry=self.registry,
        )

    def _make_info(self, version: str, prompt: tuple[str, str, str] | None) -> None:
        build = self._gauge("edge_build_info", "What runs here.", ("version", "python"))
        build.labels(version, platform.python_version()).set(1)
        info = self._gauge("ai_prompt_info", "The prompt in use.", ("name", "version", "hash"))
        if prompt is not None:
            info.labels(*prompt).set(1)


def _each(family: Any, values: Iterable[str]) -> dict[str, Any]:
    """Make every child at start: a first failure would be invisible to ``increase()`` otherwise."""
    return {value: family.labels(value) for value in values}
