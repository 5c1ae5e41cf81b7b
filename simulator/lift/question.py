"""Questions: the windows of a prompt as a model sees them, and their truth."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from simulator.faults import Label
from simulator.model.judge import windows

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK_S = 7 * 86_400
_SPAN = re.compile(r"k(\d+)(?:-k(\d+))?")


@dataclass(frozen=True, slots=True)
class Question:
    """One window: its number in the prompt, its device, its time and the facts that it may cite."""

    w: int
    device: str
    at: str  # weekday and time of day
    body: Mapping[str, Any]
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> str:
        """Status of the local detector."""
        return str(self.body.get("local", {}).get("status", "normal"))

    @property
    def worst(self) -> Mapping[str, Any] | None:
        """The candidate with the highest score."""
        every = [one for one in self.body.get("candidates", ()) if isinstance(one, dict) and "id" in one]
        return max(every, key=lambda one: float(one.get("score", 0.0)), default=None)

    @property
    def key(self) -> str:
        """The same for the same window of each run, whatever the wording of the prompt."""
        marked = [[one.get("id"), one.get("metric"), one.get("value")] for one in self.body["candidates"]]
        return sha256(json.dumps([self.device, self.at, marked]).encode()).hexdigest()[:16]

    def offset_s(self, start: float) -> float:
        """Return the time since ``start`` (Unix seconds, UTC), to the minute; less than a week."""
        day, clock = self.at.split()
        hours, minutes = map(int, clock.split(":"))
        begin = datetime.fromtimestamp(start, UTC)
        passed = begin.weekday() * 86_400 + begin.hour * 3600 + begin.minute * 60
        return float((_DAYS.index(day) * 86_400 + hours * 3600 + minutes * 60 - passed) % _WEEK_S)


def questions(prompt: str) -> list[Question]:
    """Return the windows of a prompt that name their device and their time."""
    site = facts_of(prompt)
    found = []
    for body in windows(prompt):
        if isinstance(body.get("device"), str) and isinstance(body.get("at"), str):
            cited = [ref for ref in _expand(body.get("facts", ())) if ref in site]
            facts = {ref: site[ref] for ref in cited}
            found.append(Question(int(body["w"]), body["device"], body["at"], body, facts))
    return found


def facts_of(prompt: str) -> dict[str, str]:
    """Return the site's facts of a prompt by id."""
    lines = prompt.splitlines()
    begin = next((place for place, line in enumerate(lines) if re.fullmatch(r"SITE [0-9a-f]+", line)), None)
    facts: dict[str, str] = {}
    for line in lines[begin + 1 :] if begin is not None else ():
        if line.startswith("END "):
            break
        facts.update(json.loads(line))
    return facts


def _expand(spans: Sequence[str]) -> list[str]:
    found = []
    for span in spans:
        match = _SPAN.fullmatch(str(span))
        if match is not None:
            first = int(match[1])
            found += [f"k{number}" for number in range(first, int(match[2] or first) + 1)]
    return found


def truth_of(question: Question, labels: Sequence[Label], start: float) -> Label | None:
    """Return the label that covers a window's end, a fault first; None if none does."""
    at = start + question.offset_s(start)
    covering = [one for one in labels if one.device == question.device and one.start - 60.0 < at <= one.end]
    return min(covering, key=lambda one: (one.normal, -one.start), default=None)
