"""A reader of an agent's HTTP port: Prometheus text, health and status."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 4 * 1024 * 1024
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# No proxy for the loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Samples:
    """One scrape."""

    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples ``name`` that carry all ``labels``; 0 when there is none."""
        return sum(
            value
            for sample, has, value in self.samples
            if sample == name and all(has.get(label) == text for label, text in labels.items())
        )


def parse(text: str) -> Samples:
    """Return the samples of a page in the Prometheus text format."""
    found = []
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is not None:
            name, labels, value = match.groups()
            found.append((name, dict(_LABEL.findall(labels or "")), float(value)))
    return Samples(tuple(found))


def get(url: str, timeout_s: float = 5.0) -> str | None:
    """Return the body of a loopback address, None when nothing or an error answers."""
    try:
        with _OPENER.open(url, timeout=timeout_s) as response:
            return str(response.read(MAX_BYTES).decode("utf-8", "replace"))
    except (urllib.error.URLError, OSError, ValueError):
        return None


def status(base: str, timeout_s: float = 5.0) -> Mapping[str, Any]:
    """Return the status of the agent at ``base``, empty when it does not answer."""
    try:
        value = json.loads(get(f"{base}/status.json", timeout_s) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def metrics(base: str, timeout_s: float = 5.0) -> Samples | None:
    """Return the metrics of the agent at ``base`` (``http://host:port``), None when it does not answer."""
    text = get(f"{base}/metrics", timeout_s)
    return None if text is None else parse(text)
