"""A subscriber to an agent's messages: verdicts, findings and its state."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulator.link import Link
from simulator.score import Opening
from simulator.score.verdicts import seconds

OnMessage = Callable[[str, dict[str, Any]], None]


@dataclass(slots=True)
class Received:
    """The received messages. Written by the connection's thread, read by any."""

    verdicts: int = 0
    live: int = 0  # verdicts of windows that end after the live start
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)  # source, reason
    statuses: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    openings: list[Opening] = field(default_factory=list)
    kinds: dict[str, list[str]] = field(default_factory=dict)  # finding id -> kinds in order
    cost_usd: float = 0.0
    malformed: int = 0
    last: float = 0.0  # time.monotonic() of the last message


class Watch:
    """A subscriber of its own, as an operator would have one."""

    def __init__(self, *, host: str, port: int, base_topic: str, on_message: OnMessage) -> None:
        """Listen under ``base_topic``; ``on_message("verdict" | "event", payload)`` gets live messages."""
        self._base = base_topic
        self._on_message = on_message
        self._link = Link(
            host=host,
            port=port,
            client_id="edge-sim-watch",
            filters=(f"{base_topic}/verdicts/+", f"{base_topic}/events/+", f"{base_topic}/status"),
            on_message=self._arrived,
        )
        self.live_from = float("inf")  # event time
        self.online = threading.Event()
        self.now: Callable[[], float] = time.time  # event time now
        self.received = Received()

    def open(self, timeout_s: float = 10.0) -> None:
        """Subscribe.

        Raises:
            LinkError: the broker did not answer or refused.
        """
        self._link.open(timeout_s)

    def close(self) -> None:
        """Disconnect."""
        self._link.close()

    def _arrived(self, topic: str, payload: bytes) -> None:
        kind = topic.removeprefix(f"{self._base}/").partition("/")[0]
        try:
            body = json.loads(payload)
            self._take(kind, body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.received.malformed += 1
        self.received.last = time.monotonic()

    def _take(self, kind: str, body: dict[str, Any]) -> None:
        match kind:
            case "status":
                if body["state"] == "online":
                    self.online.set()
            case "verdicts":
                self._take_verdict(body)
            case _:
                self._take_event(body)

    def _take_verdict(self, verdict: dict[str, Any]) -> None:
        live = self._is_live(verdict)
        received = self.received
        received.verdicts += 1
        received.live += live
        received.sources[str(verdict["source"]), str(verdict["reason"])] += 1
        received.statuses[str(verdict["status"])] += 1
        received.cost_usd += verdict["cost_usd"] or 0.0
        if live:
            self._on_message("verdict", verdict)

    def _take_event(self, event: dict[str, Any]) -> None:
        verdict = event["verdict"]
        self.received.events[str(event["event_type"])] += 1
        if not self._is_live(verdict):
            return
        if event["event_type"] == "opened":
            self.received.openings.append(self._opening(event["finding_id"], verdict))
        if event["event_type"] != "cleared":
            kinds = self.received.kinds.setdefault(str(event["finding_id"]), [])
            if verdict["kind"] not in kinds:
                kinds.append(str(verdict["kind"]))
        self._on_message("event", event)

    def _opening(self, finding_id: str, verdict: dict[str, Any]) -> Opening:
        # Silence has no readings: it is seen when it is reported.
        window = verdict["window"]
        seen = seconds(window["to"]) if window["readings"] else self.now()
        return Opening(
            finding_id=str(finding_id),
            device=str(verdict["device"]),
            kind=str(verdict["kind"]),
            seen=seen,
            reported=self.now(),
        )

    def _is_live(self, verdict: dict[str, Any]) -> bool:
        return seconds(verdict["window"]["to"]) >= self.live_from or (
            not verdict["window"]["readings"] and self.live_from != float("inf")
        )
