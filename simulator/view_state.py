"""The state of the live view: fed by several threads, read by the drawing one."""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from simulator.scrape import Samples
from simulator.text import clean
from simulator.truth import Truth

MAX_VERDICTS = 60
MAX_FINDINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """A finding as in its events; times are Unix seconds."""

    device: str
    kind: str
    severity: str
    summary: str
    opened: float
    cleared: float | None = None


@dataclass(slots=True)
class Board:
    """One instant of the demo; fields without a value yet are empty."""

    title: str = ""
    phase: str = "starting"
    began: float = field(default_factory=time.time)
    broker: str = ""
    model: str = ""
    web: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)  # /status.json
    metrics: Samples | None = None
    truth: Truth | None = None
    findings: dict[str, FindingRow] = field(default_factory=dict)
    verdicts: deque[tuple[float, Mapping[str, Any]]] = field(
        default_factory=lambda: deque(maxlen=MAX_VERDICTS)
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> "Board":
        """Return a copy that no other thread changes."""
        with self.lock:
            return replace(self, findings=dict(self.findings), verdicts=deque(self.verdicts))

    def take_status(self, text: str | None) -> None:
        """Take a ``/status.json``; None or nonsense is an agent that does not answer."""
        try:
            status = json.loads(text or "{}")
        except ValueError:
            status = {}
        self.status = status if isinstance(status, dict) else {}

    def take_verdict(self, verdict: Mapping[str, Any], now: float) -> None:
        """Take a verdict that came at ``now``."""
        with self.lock:
            self.verdicts.appendleft((now, verdict))

    def take_event(self, event: Mapping[str, Any], now: float) -> None:
        """Take a change of a finding that came at ``now``."""
        verdict, key = event["verdict"], str(event["finding_id"])
        with self.lock:
            before = self.findings.pop(key, None)
            if event["event_type"] == "cleared":
                if before is not None:
                    self.findings[key] = replace(before, cleared=now)
                return
            self.findings[key] = FindingRow(
                device=clean(verdict["device"], 40),
                kind=clean(verdict["kind"], 16),
                severity=clean(verdict["severity"], 8),
                summary=clean(verdict["summary"], 200),
                opened=now if before is None else before.opened,
            )
            while len(self.findings) > MAX_FINDINGS:
                del self.findings[next(iter(self.findings))]
