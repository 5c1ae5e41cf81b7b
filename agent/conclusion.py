"""The end of a window: verdict, finding and outbox rows, committed together."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from agent.findings import advance
from agent.journal import Store
from agent.records import Finding, FindingEvent, Kind, Outcome, Outgoing, Source, Verdict, Window
from agent.verdict import conclude, encode, to_bytes, to_json

MAX_RECENT = 20
PROPERTIES = (("schema", "1"),)


class Writes(Protocol):
    """Hands a closed transaction to the journal; ``then`` gets its result on the analyst's loop."""

    def __call__(self, job: Callable[[Store], Any], then: Callable[[Any], None] | None = None) -> None:
        """Queue ``job``."""


@dataclass(slots=True)
class ConclusionStats:
    """Verdicts of this process, by source."""

    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Source, 0))


class Conclusions:
    """Concludes windows and keeps the open findings, one per device.

    ``observe`` is told each verdict, what it did to a finding, and the seconds since the window opened.
    """

    def __init__(
        self,
        *,
        agent: str,
        verdict_topic: Callable[[str], str],
        event_topic: Callable[[str], str],
        write: Writes,
        publish: Callable[[Sequence[Outgoing]], None],
        observe: Callable[[Verdict, FindingEvent | None, float], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._verdict_topic = verdict_topic
        self._event_topic = event_topic
        self._write = write
        self._publish = publish
        self._observe = observe
        self._clock = clock
        self._wall = wall
        self._findings: dict[str, Finding] = {}
        self.recent: deque[dict[str, Any]] = deque(maxlen=MAX_RECENT)
        self.stats = ConclusionStats()

    def finding(self, device: str) -> Finding | None:
        """Return the device's open finding."""
        return self._findings.get(device)

    def findings(self) -> list[Finding]:
        """Return all open findings."""
        return list(self._findings.values())

    def open_by_kind(self) -> dict[Kind, int]:
        """Count the open findings of each kind."""
        counts = dict.fromkeys((kind for kind in Kind if kind is not Kind.NONE), 0)
        for finding in list(self._findings.values()):
            counts[finding.kind] += 1
        return counts

    def restore(self, findings: Iterable[Finding]) -> None:
        """Take the findings that were open when the last process ended."""
        self._findings.update((finding.device, finding) for finding in findings)

    def conclude(self, window: Window, outcome: Outcome) -> None:
        """Make the verdict, move the finding on, and commit both with the outbox rows."""
        device = window.device
        verdict = conclude(window, outcome, agent=self._agent, created=self._wall())
        finding, event = advance(
            self._findings.get(device),
            device=device,
            status=verdict.status,
            kind=verdict.kind,
            severity=verdict.severity,
            verdict_id=verdict.id,
            clock=window.sealed,
            reviewed=outcome.answer is not None,
        )
        cleared = event is FindingEvent.CLEARED
        verdict = replace(verdict, finding_id=finding.id if finding else None)
        outgoing = self._outgoing(verdict, event)
        detail = _detail(outcome)
        self._write(
            lambda store: store.conclude(
                window=window,
                verdict=outgoing[0].payload,
                finding=finding,
                cleared=cleared,
                outgoing=outgoing,
                detail=detail,
            ),
            self._publish,
        )
        if finding is None or cleared:
            self._findings.pop(device, None)
        else:
            self._findings[device] = finding
        self.stats.verdicts[verdict.source] += 1
        self.recent.appendleft(to_json(verdict))
        self._observe(verdict, event, max(0.0, self._clock() - window.opened))

    def _outgoing(self, verdict: Verdict, event: FindingEvent | None) -> list[Outgoing]:
        topic, payload = self._verdict_topic(verdict.device), to_bytes(verdict)
        items = [Outgoing(0, topic, payload, retain=True, properties=PROPERTIES)]
        if event is not None:
            body = {"event_type": event, "finding_id": verdict.finding_id, "verdict": to_json(verdict)}
            topic = self._event_topic(verdict.device)
            items.append(Outgoing(0, topic, encode(body), retain=False, properties=PROPERTIES))
        return items


def _detail(outcome: Outcome) -> bytes | None:
    """Return what `edge-agent show` tells of the review beside the verdict."""
    if outcome.answer is None:
        return None
    return encode(
        {
            "answer": asdict(outcome.answer),
            "grounding": outcome.grounding,
            "checks": [asdict(check) for check in outcome.checks],
        }
    )
