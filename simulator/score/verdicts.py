"""An agent's verdicts in one run: findings, sources, model calls, tokens, money.

Made of verdicts (and of events, where they were received) as ``edge-agent schema`` describes them. A repeat
of a verdict, recognised by its id, counts once.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from simulator.score.match import Opening


@dataclass(slots=True)
class AgentVerdicts:
    """Collects verdicts and events, each device's in the order in which they were published.

    Windows that ended before ``since`` or after ``until`` (Unix seconds of event time) are left out.
    """

    since: float = float("-inf")
    until: float = float("inf")
    verdicts: int = 0
    readings: int = 0  # of their windows
    sources: Counter[str] = field(default_factory=Counter)
    tokens: int = 0  # in and out
    cost_usd: float = 0.0
    devices: set[str] = field(default_factory=set)
    first: float = float("inf")  # begin of the earliest window, Unix seconds
    last: float = float("-inf")  # end of the latest
    incidents: set[str] = field(default_factory=set)  # that its findings opened with
    _ids: set[str] = field(default_factory=set)
    call_ids: set[str] = field(default_factory=set)  # of model calls that a verdict stems from
    _opened: dict[str, Opening] = field(default_factory=dict)  # finding id -> its event "opened"
    _seen: dict[str, Opening] = field(default_factory=dict)  # finding id -> its first anomalous verdict
    _events: bool = False

    def take(self, body: Mapping[str, Any]) -> bool:
        """Take a verdict or an event; false when it is a repeat or is outside of the counted time.

        Raises:
            ValueError, KeyError, TypeError: it is neither.
        """
        if "event_type" not in body:
            return self._take_verdict(body)
        self._events = True
        verdict = body["verdict"]
        opening = _opening(str(body["finding_id"]), verdict)
        if not self.since <= opening.seen <= self.until:
            return False
        if body["event_type"] == "opened":
            self._opened.setdefault(opening.finding_id, opening)
            self.incidents.add(str(body.get("incident_id")))
        elif body["event_type"] == "updated" and opening.finding_id in self._opened:
            self._rename(self._opened, opening)
        return True

    def _take_verdict(self, verdict: Mapping[str, Any]) -> bool:
        window = verdict["window"]
        begin, end = seconds(window["from"]), seconds(window["to"])
        if not self.since <= end <= self.until or verdict["id"] in self._ids:
            return False
        self._ids.add(str(verdict["id"]))
        self.verdicts += 1
        self.readings += int(verdict["window"]["readings"])
        self.sources[str(verdict["source"])] += 1
        self.devices.add(str(verdict["device"]))
        self.first, self.last = min(self.first, max(begin, self.since)), max(self.last, end)
        self._take_bill(verdict)
        finding = verdict["finding_id"]
        if finding is not None and verdict["status"] == "anomaly":
            opening = _opening(str(finding), verdict)
            if opening.finding_id in self._seen:
                self._rename(self._seen, opening)
            else:
                self._seen[opening.finding_id] = opening
        return True

    def _rename(self, known: dict[str, Opening], later: Opening) -> None:
        """Add the present name of a finding: a shift begins like a spike."""
        one = known[later.finding_id]
        if later.kind not in one.kinds:
            known[later.finding_id] = replace(one, later=(*one.later, later.kind))

    def _take_bill(self, verdict: Mapping[str, Any]) -> None:
        tokens = verdict["tokens"]
        if tokens is not None:
            self.tokens += int(tokens["input"]) + int(tokens["output"])
            # The windows of a call share its id; in older verdicts its trace and how long it took.
            older = f"{verdict.get('trace_id')}/{verdict.get('latency_ms')}"
            self.call_ids.add(verdict.get("request_id") or older)
        self.cost_usd += float(verdict["cost_usd"] or 0.0)

    @property
    def calls(self) -> int:
        """Model calls that a verdict stems from."""
        return len(self.call_ids)

    @property
    def openings(self) -> list[Opening]:
        """The findings that opened: by the events if any were received, else by the verdicts alone."""
        return list((self._opened if self._events else self._seen).values())

    def absorb(self, other: "AgentVerdicts", prefix: str) -> None:
        """Add the verdicts of another run; ``prefix`` keeps devices of one name apart."""
        self.verdicts += other.verdicts
        self.readings += other.readings
        self.sources += other.sources
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd
        self.devices |= {prefix + device for device in other.devices}
        self.call_ids |= {prefix + call for call in other.call_ids}
        self.incidents |= {prefix + one for one in other.incidents}
        self._events = True
        for one in other.openings:
            named = replace(one, device=prefix + one.device, finding_id=prefix + one.finding_id)
            self._opened[named.finding_id] = named


def _opening(finding_id: str, verdict: Mapping[str, Any]) -> Opening:
    return Opening(
        finding_id=finding_id,
        device=str(verdict["device"]),
        kind=str(verdict["kind"]),
        seen=seconds(verdict["window"]["to"]),
        reported=seconds(verdict["created_at"]),
    )


def seconds(text: str) -> float:
    """Return the Unix seconds of an ISO 8601 time."""
    return datetime.fromisoformat(text).timestamp()
