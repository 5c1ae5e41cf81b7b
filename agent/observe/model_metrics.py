"""The families that are counted per call, and their children per model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from agent.observe.labels import OTHER
from agent.observe.values import ERROR_TYPES, RETRIED_TYPES

CALL_BUCKETS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
    163.84,
)
_CALL = ("model", "provider")


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """The children of one model and provider, kept: looking them up costs more than counting."""

    success: Counter
    failure: Counter
    duration: Histogram
    input: Counter
    output: Counter
    cost: Counter
    cost_assumed: Counter
    cached_input: Counter
    reasoning: Counter
    estimated_input: Counter
    estimated_output: Counter
    unpriced: Counter
    validation_failures: Counter
    errors: Mapping[str, Counter]
    retries: Mapping[str, Counter]

    def retried(self, error_type: str) -> None:
        """Count an attempt that is made again."""
        self.retries.get(error_type, self.retries[OTHER]).inc()


class CallFamilies:
    """The families; ``children`` makes all of one model's, so that the first failure has a zero before it."""

    def __init__(self, *, registry: CollectorRegistry) -> None:
        def count(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._calls = count(
            "ai_api_calls_total", "AI calls; retries belong to their call.", (*_CALL, "status")
        )
        self._duration = Histogram(
            "ai_api_call_duration_seconds",
            "Duration of an AI call with its retries.",
            _CALL,
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self._tokens = count(
            "ai_tokens_processed_total",
            "Tokens; input holds the cached ones, output those of reasoning.",
            (*_CALL, "direction"),
        )
        self._cost = count(
            "ai_estimated_cost_usd_total", "Cost of AI calls by the configured prices, USD.", _CALL
        )
        self._assumed = count(
            "ai_cost_assumed_usd_total",
            "Part of the cost that was assumed: reservations kept, because no usage was reported, USD.",
            _CALL,
        )
        self._validation = count(
            "ai_validation_failures_total", "Replies not of the asked form after local repair.", ("model",)
        )
        self.safety = count(
            "ai_content_safety_flags_total",
            "Refusals, content filters and moderation flags.",
            ("model", "category"),
        )
        self._errors = count("ai_api_errors_total", "Failed AI calls by cause.", (*_CALL, "error_type"))
        self._retries = count(
            "ai_api_retries_total", "Failed attempts that were retried.", (*_CALL, "error_type")
        )
        self._cached = count(
            "ai_cached_input_tokens_total",
            "Input tokens from the provider's cache, part of the input.",
            _CALL,
        )
        self._reasoning = count(
            "ai_reasoning_tokens_total", "Output tokens spent on reasoning, part of the output.", _CALL
        )
        self._estimated = count(
            "ai_tokens_estimated_total",
            "Tokens that we estimated: no usage was given, or one that cannot be.",
            (*_CALL, "direction"),
        )
        self._unpriced = count(
            "ai_cost_unpriced_calls_total", "Calls to a model without a price, at the dearest one.", _CALL
        )

    def internal_without_model(self) -> Counter:
        """Return the count of our own faults for an agent that asks no model."""
        return self._errors.labels(OTHER, OTHER, "internal")

    def children(self, name: str, house: str) -> ModelMetrics:
        """Return the children of one model and provider, both already bounded."""
        pair = (name, house)
        return ModelMetrics(
            success=self._calls.labels(*pair, "success"),
            failure=self._calls.labels(*pair, "failure"),
            duration=self._duration.labels(*pair),
            input=self._tokens.labels(*pair, "input"),
            output=self._tokens.labels(*pair, "output"),
            cost=self._cost.labels(*pair),
            cost_assumed=self._assumed.labels(*pair),
            cached_input=self._cached.labels(*pair),
            reasoning=self._reasoning.labels(*pair),
            estimated_input=self._estimated.labels(*pair, "input"),
            estimated_output=self._estimated.labels(*pair, "output"),
            unpriced=self._unpriced.labels(*pair),
            validation_failures=self._validation.labels(name),
            errors={kind: self._errors.labels(*pair, kind) for kind in ERROR_TYPES},
            retries={kind: self._retries.labels(*pair, kind) for kind in RETRIED_TYPES},
        )
