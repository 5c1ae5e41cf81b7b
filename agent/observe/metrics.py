"""The metrics of one agent: counted as they happen, or read at each scrape."""

import hashlib
import platform
import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics

from agent.domain.model_calls import BreakerState
from agent.observe.registry import (
    BY_NAME,
    CATEGORY,
    COARSE,
    DEVICE,
    ERROR_TYPE,
    INJECTION_RULE,
    INTERVAL,
    LAST_SEEN,
    METRICS,
    MODEL,
    MOST_FLAGS,
    OPENED,
    OTHER,
    PROVIDER,
    RETRIED_TYPE,
    SINK,
    SOURCE,
    SUPPRESSED,
    Label,
    Metric,
    PathSnapshot,
    Values,
)

# A `_created` line for every counter would double them.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text"
_WEIGHT = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
#: The form of the only exemplar: one that is too long would be refused after the value is counted.
_TRACE_ID = re.compile("[0-9a-f]{32}")
_CALLS = "ai_api_calls_total"
MAX_LABEL_CHARS = 100
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def label_text(value: str) -> str:
    """Return ``value`` as a label value; with a hash when it had to be cut, so that two stay two."""
    if len(value) <= MAX_LABEL_CHARS and not _UNFIT.search(value):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{_UNFIT.sub('', value)[: MAX_LABEL_CHARS - 20]}~{digest}"


class LabelBounds:
    """Which values each label has taken so far, and how many did not fit."""

    def __init__(self, metrics: Iterable[str] = ()) -> None:
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        #: Metric -> values that were turned into ``other``; ``metrics`` are shown from the start.
        self.overflow = dict.fromkeys(metrics, 0)

    def bounded(
        self,
        label: str,
        value: str,
        *,
        metric: str,
        allowed: Collection[str] | None = None,
        max_n: int | None = None,
    ) -> str:
        """Return ``value`` fit for ``label``, or ``other`` and count it.

        Args:
            label: The label's name.
            value: The value as it came.
            metric: Family under which an overflow is counted.
            allowed: A closed list; with ``max_n`` its values count as taken.
            max_n: How many values the label may take in all, ``other`` among them.
        """
        value = label_text(value) or OTHER
        if value == OTHER or (allowed is not None and value in allowed):
            return value
        if max_n is None:
            return self.overflowed(metric)
        with self._lock:
            seen = self._seen.setdefault(label, set(allowed or ()))
            if value in seen:
                return value
            if len(seen) < max_n - 1:
                seen.add(value)
                return value
        return self.overflowed(metric)

    def raise_to(self, metric: str, count: int) -> None:
        """Note that at most ``count`` values of ``metric`` did not fit; the counter never falls."""
        with self._lock:
            self.overflow[metric] = max(self.overflow.get(metric, 0), count)

    def overflowed(self, metric: str) -> str:
        """Count a value of ``metric`` that did not fit and return ``other``."""
        with self._lock:
            self.overflow[metric] = self.overflow.get(metric, 0) + 1
        return OTHER


class Metrics:
    """Every metric of one agent, in a registry of its own.

    Args:
        models: Configured model names, the fallbacks among them.
        provider: The profile's name.
        version: Version of the agent.
        prompt: Name, version and hash of the prompt, or None without an endpoint.
        categories: Further safety categories that the configuration names.
        sources: The configured subscriptions.
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
    ) -> None:
        self.registry = CollectorRegistry()
        self.bounds = LabelBounds((_CALLS, LAST_SEEN, OPENED))
        self.provider = provider
        self._known = tuple(dict.fromkeys(models))[: MODEL.most - 1]
        self._categories = tuple(dict.fromkeys((*CATEGORY.values, *categories)))[: CATEGORY.most - 1]
        self._flags: set[tuple[str, str]] = set()
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}
        self._families = {metric.name: self._make(metric) for metric in METRICS if metric.read is None}
        if not self._known:  # faults of the telemetry are counted without a model as well
            self.count("ai_api_errors_total", OTHER, OTHER, "internal", by=0)
        for name in self._known:
            self.model(name, provider)
        for category, name in list(product(self._categories, self._known))[:MOST_FLAGS]:
            self.safety_flag(name, category, 0)
        self.breaker(provider, BreakerState.CLOSED, moved=False)
        self._families["edge_build_info"].labels(version, platform.python_version()).set(1)
        self._inform(prompt)
        self._path = PathCollector(bounds=self.bounds, sources=sources)
        self.registry.register(self._path)
        ProcessCollector(registry=self.registry)

    def read_path(self, read: Callable[[], PathSnapshot]) -> None:
        """Have ``read`` give the state of everything that is not AI, once the path is built."""
        self._path.read = read

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition text and its content type.

        Args:
            accept: The client's header; only OpenMetrics has exemplars.
        """
        weights = _weights(accept)
        if weights.get(_OPENMETRICS, 0) > weights.get("text/plain", 0):
            text = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self.registry), CONTENT_TYPE

    def count(self, name: str, *labels: str, by: float = 1, trace_id: str | None = None) -> None:
        """Add to a counter; ``trace_id`` is its exemplar.

        Raises:
            ValueError: a value is not of its label's closed list.
        """
        self._series(name, labels).inc(by, _exemplar(trace_id))

    def observe(self, name: str, value: float, *labels: str, trace_id: str | None = None) -> None:
        """Add a value to a histogram; ``trace_id`` is its exemplar."""
        self._series(name, labels).observe(value, _exemplar(trace_id))

    def in_flight(self, change: int) -> None:
        """Add to the calls in flight."""
        self._families["ai_active_conversations"].inc(change)

    def model(self, model: str, provider: str) -> tuple[str, str]:
        """Return the bounded labels of a model and its provider; all of their series exist from then on."""
        pair = self._pairs.get((model, provider))
        if pair is None:
            house = self._provider_name(provider)
            name = self._model_name(model) if house == self.provider else OTHER
            if name == OTHER:  # one pair for all that does not fit: a pair costs 38 series
                house = OTHER
            pair = self._pairs[(model, provider)] = (name, house)
            self._make_children(pair)
        return pair

    def _inform(self, prompt: tuple[str, str, str] | None) -> None:
        self._families["ai_prompt_info"].clear()
        if prompt is not None:
            self._families["ai_prompt_info"].labels(*prompt).set(1)

    def know(self, models: Sequence[str], provider: str, prompt: tuple[str, str, str] | None) -> None:
        """Take the models, the provider and the prompt of a reloaded configuration.

        Models of before keep their labels.
        """
        self._inform(prompt)
        self.provider = provider
        self._known = tuple(dict.fromkeys((*self._known, *models)))[: MODEL.most - 1]
        for name in models:
            self.model(name, provider)

    def suppressed(self, reason: str, windows: int) -> None:
        """Count windows that no call was made for, if the reason is one of these."""
        if reason in SUPPRESSED.values:
            self.count("ai_calls_suppressed_total", reason, by=windows)

    def retried(self, model: str, provider: str, error_type: str) -> None:
        """Count an attempt that is made again."""
        pair = self.model(model, provider)
        self.count("ai_api_retries_total", *pair, _fit(RETRIED_TYPE, pair, error_type))

    def failed(self, pair: tuple[str, str], error_type: str) -> None:
        """Count a failed call of a model and provider, labels that :meth:`model` gave."""
        self.count("ai_api_errors_total", *pair, _fit(ERROR_TYPE, pair, error_type))

    def safety_flag(self, model: str, category: str, count: int = 1) -> None:
        """Count a refusal, a content filter or a moderation category."""
        name = "ai_content_safety_flags_total"
        allowed = self._categories
        bounded = self.bounds.bounded("category", category, metric=name, allowed=allowed, max_n=CATEGORY.most)
        pair = self._model_name(model), bounded
        if pair not in self._flags and bounded != OTHER:
            if len(self._flags) < MOST_FLAGS:
                self._flags.add(pair)
            else:
                pair = pair[0], self.bounds.overflowed(name)
        self.count(name, *pair, by=count)

    def injection(self, rule: str) -> None:
        """Count a payload text that looks like an instruction, under its rule and as a safety flag."""
        if rule in INJECTION_RULE.values:
            self.count("ai_injection_suspected_total", rule)
        self.safety_flag(self._known[0] if self._known else OTHER, "injection_suspected")

    def internal_fault(self, model: str = "") -> None:
        """Count a fault of our own code under ``model``, else under the first configured one."""
        name = model or (self._known[0] if self._known else "")
        pair = self.model(name, self.provider) if name else (OTHER, OTHER)
        self.failed(pair, "internal")

    def breaker(self, provider: str, state: str, *, moved: bool = True) -> None:
        """Show the breaker's state and count the change to it."""
        house = self._provider_name(provider)
        for one in BreakerState:
            self.count("ai_breaker_transitions_total", house, one, by=moved and one == state)
        self._families["ai_breaker_state"].labels(house).set(list(BreakerState).index(BreakerState(state)))

    def verdict(self, status: str, source: str) -> None:
        """Count a committed verdict."""
        self.count("ai_verdicts_total", status, source)

    def disagreement(self, kind: str) -> None:
        """Count a window whose anomaly only one side saw: ``ai_only`` or ``local_only``."""
        self.count("ai_disagreements_total", kind)

    def feedback(self, status: str, outcome: str) -> None:
        """Count a person's answer: ``confirmed`` or ``false_alarm``."""
        self.count("ai_verdict_feedback_total", status, outcome)

    def command(self, *, accepted: bool) -> None:
        """Count a person's command, or a message that should have been one."""
        self.count("edge_commands_total", "accepted" if accepted else "refused")

    def reading_to_verdict(self, seconds: float) -> None:
        """Observe how long a window's last reading waited for its verdict."""
        self.observe("edge_reading_to_verdict_seconds", seconds)

    def _series(self, name: str, values: tuple[str, ...]) -> Any:
        family = self._families[name]
        for label, value in zip(BY_NAME[name].labels, values, strict=True):
            if not label.most and label.values and value not in label.values:
                raise ValueError(f"{name}: {value!r} is no {label.name}")
        return family.labels(*values) if values else family

    def _model_name(self, model: str) -> str:
        return self.bounds.bounded("model", model, metric=_CALLS, allowed=self._known, max_n=MODEL.most)

    def _provider_name(self, provider: str) -> str:
        return self.bounds.bounded("provider", provider, metric=_CALLS, allowed=(self.provider,))

    def _make(self, metric: Metric) -> Any:
        """Return the family of ``metric``, with a series for each combination of its known label values."""
        names = [label.name for label in metric.labels]
        if metric.kind == "histogram":
            return Histogram(metric.name, metric.help, names, buckets=metric.buckets, registry=self.registry)
        kind = Counter if metric.kind == "counter" else Gauge
        family = kind(metric.name, metric.help, names, registry=self.registry)
        if names:
            # A first failure would be invisible to ``increase()`` without a zero before it.
            for values in product(*(_all_values(label) for label in metric.labels)):
                family.labels(*values)
        return family

    def _make_children(self, pair: tuple[str, str]) -> None:
        """Make all series of one model and provider."""
        bound = {MODEL: pair[:1], PROVIDER: pair[1:]}
        for name, family in self._families.items():
            labels = BY_NAME[name].labels
            if MODEL in labels:
                few = COARSE if pair[0] == OTHER else {}
                every = (bound.get(label) or few.get(label) or _all_values(label) for label in labels)
                for values in product(*every):
                    family.labels(*values)


def _weights(accept: str) -> dict[str, float]:
    """Return the media types of a header Accept with their weights; one that is unreadable has none."""
    weights: dict[str, float] = {}
    for one in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in one.split(";"))
        texts = [word for word in parameters if word.startswith("q=")] or ["q=1"]
        match = _WEIGHT.fullmatch(texts[0])
        weights[kind] = max(weights.get(kind, 0), float(match[1]) if match else 0)
    return weights


def _exemplar(trace_id: str | None) -> dict[str, str] | None:
    """Return the labels of an exemplar, or None without a trace id as W3C has it."""
    return {"trace_id": trace_id} if trace_id is not None and _TRACE_ID.fullmatch(trace_id) else None


def _all_values(label: Label) -> tuple[str, ...]:
    """Return the values of a closed list, nothing of an open one."""
    return () if label.most else label.values


def _fit(label: Label, pair: tuple[str, str], error_type: str) -> str:
    """Return the error type as it is counted for a model and its provider."""
    known = COARSE[label] if pair[0] == OTHER else label.values
    return error_type if error_type in known else OTHER


class PathCollector:
    """Reads the path at each scrape; keeps only which devices are shown."""

    def __init__(self, *, bounds: LabelBounds, sources: Sequence[str] = ()) -> None:
        self.read: Callable[[], PathSnapshot] = PathSnapshot
        self._bounds = bounds
        self._sources = tuple(map(label_text, sources))[: SOURCE.most - 1]
        self._shown: dict[str, None] = {}
        self._intervals = 0  # of devices that are shown: findings take their room

    def describe(self) -> Iterable[Family]:
        """Return nothing: a registration must not read the path."""
        return []

    def collect(self) -> Iterable[Family]:
        """Take one snapshot and return its families."""
        now = replace(self.read(), label_overflow=self._bounds.overflow)
        self._choose_devices(now)
        for metric in METRICS:
            value = None if metric.read is None else metric.read(now)
            if value is not None:
                kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
                family = kind(metric.name, metric.help, labels=[label.name for label in metric.labels])
                for texts, number in self._rows(metric, value):
                    family.add_metric(texts, number)
                yield family

    def _rows(self, metric: Metric, value: Values) -> Iterable[tuple[tuple[str, ...], float]]:
        """Return label values and number of each series."""
        if not isinstance(value, Mapping):
            return [((), value)]
        # Other threads may add keys meanwhile: only a copy can be walked.
        if len(metric.labels) == 1:
            flat = cast("dict[str, float]", dict(value))
            return [((text,), number) for text, number in self._series(metric, flat).items()]
        if metric.labels[0] != SOURCE:
            return self._by_all_labels(metric, cast("dict[tuple[str, ...], float]", dict(value)))
        nested = cast("Mapping[str, Mapping[str, float]]", value)
        return self._by_source(metric, {source: dict(counts) for source, counts in nested.items()})

    def _by_all_labels(
        self, metric: Metric, values: dict[tuple[str, ...], float]
    ) -> Iterable[tuple[tuple[str, ...], float]]:
        """Return the series of closed lists, each from the start, or those of the first 50 devices."""
        if metric.labels[0] == SINK:  # those of the configuration, from the start
            return self._bound_first(metric, values)
        if metric.labels[0] != DEVICE:
            every = product(*(label.values for label in metric.labels))
            return [(texts, values.get(texts, 0)) for texts in every]
        shown = islice(values.items(), DEVICE.most)
        self._bounds.raise_to(metric.name, len(values) - DEVICE.most)
        return [((label_text(device), *rest), number) for (device, *rest), number in shown]

    def _bound_first(
        self, metric: Metric, values: dict[tuple[str, ...], float]
    ) -> Iterable[tuple[tuple[str, ...], float]]:
        """Return the series of the first values of the first label; the others are added up as ``other``."""
        firsts = list(dict.fromkeys(first for first, *_ in values))
        most = metric.labels[0].most
        shown = firsts if len(firsts) <= most else firsts[: most - 1]
        self._bounds.raise_to(metric.name, len(firsts) - len(shown))
        totals: dict[tuple[str, ...], float] = {}
        for (first, *rest), number in values.items():
            key = (label_text(first) if first in shown else OTHER, *rest)
            totals[key] = totals.get(key, 0) + number
        return totals.items()

    def _by_source(
        self, metric: Metric, values: dict[str, dict[str, float]]
    ) -> Iterable[tuple[tuple[str, ...], float]]:
        """Return the series of a source and a closed list; beyond its first values they are of ``other``."""
        label = metric.labels[1]
        known = label.values
        totals: dict[tuple[str, str], float] = dict.fromkeys(product(self._sources, known[: label.first]), 0)
        shown = {label_text(source) for source in values} & {*self._sources, OTHER}
        self._bounds.raise_to(metric.name, len(values) - len(shown))
        for source, counts in values.items():
            fit = label_text(source)
            fit = fit if fit in shown else OTHER
            for text, number in counts.items():
                if text in known:
                    place = fit if text in known[: label.first] else OTHER
                    totals[place, text] = totals.get((place, text), 0) + number
        return totals.items()

    def _choose_devices(self, now: PathSnapshot) -> None:
        """Show 50 devices, those that were shown before first."""
        times = now.device_times
        self._shown = {device: None for device in self._shown if device in times}
        for device in times:
            if len(self._shown) >= DEVICE.most:
                break
            self._shown[device] = None
        self._intervals = max(0, DEVICE.most - len(now.alarming))
        self._bounds.raise_to(LAST_SEEN, max(len(times), now.devices) - len(self._shown))

    def _series(self, metric: Metric, values: dict[str, float]) -> Mapping[str, float]:
        """Return the values of one label within its bound."""
        (label,) = metric.labels
        if label == DEVICE:
            shown = islice(self._shown, self._intervals if metric.name == INTERVAL else None)
            return {label_text(device): values[device] for device in shown if device in values}
        if not label.most:
            return {value: values.get(value, 0) for value in label.values or values}
        totals = dict.fromkeys(self._sources if label == SOURCE else label.values, 0.0)
        lost = 0
        for value, number in values.items():
            fit = label_text(value)
            if fit not in totals and len(totals) >= label.most - 1:
                fit = OTHER
                lost += 1
            totals[fit] = totals.get(fit, 0) + number
        if lost:
            self._bounds.raise_to(metric.name, lost)
        return totals
