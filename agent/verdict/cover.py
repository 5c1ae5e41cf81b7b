"""Cover: how far another agent's verdicts on each device reach.

An agent that takes over a partition publishes verdicts on later readings only. Pure.
"""

import json
from datetime import datetime
from typing import Any, NamedTuple

from agent.domain.records import Trigger, Window

MAX_DEVICES = 20_000
MAX_NAME = 512  # characters of a device; no source makes longer ones
MAX_AHEAD_S = 600.0  # a reading may be 300 s in the future; more would hide a device's verdicts for good
SKEW_S = 1.0  # of two clocks that somebody sets
SLACK_S = 0.001  # times in verdicts are rounded to it


class Reach(NamedTuple):
    """The end of the covered readings, and the begin of a covered silence, Unix seconds."""

    to: float
    silent_since: float | None = None
    old: bool = False  # by the clock of its verdict, which may hide that that clock is ahead


class Cover:
    """Reads the verdicts of other agents than ``agent``. A verdict that cannot be read is passed over.

    One thread notes, any thread asks.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._reach: dict[str, Reach] = {}
        self._ahead = 0.0  # the other clock, by the last verdict that showed it

    def note(self, payload: bytes, now: float) -> str | None:
        """Take a published verdict; return its device, None if it is of no use. ``now`` is Unix seconds.

        A verdict from the future shows how far the other clock is ahead: less is covered by so much, so that
        no reading after it is. The same holds for verdicts that were retained, which are older.
        """
        try:
            verdict = json.loads(payload)
            device, window = verdict["device"], verdict["window"]
            start, end = _seconds(window["from"]), _seconds(window["to"])
            if verdict["agent"] == self._agent or end > now + MAX_AHEAD_S:
                return None
            ahead = _seconds(verdict["created_at"]) - now
            if ahead > SKEW_S:
                start, end = start - ahead, end - ahead
            if not isinstance(device, str) or len(device) > MAX_NAME:
                return None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        old = ahead < -SKEW_S
        if not old:
            self._ahead = ahead if ahead > SKEW_S else 0.0
        known = self._reach.get(device)
        if window.get("trigger") == Trigger.SILENCE:
            self._reach[device] = Reach(start if known is None else max(known.to, start), start, old)
        else:
            self._reach[device] = Reach(end, None, old)
        if len(self._reach) > MAX_DEVICES:
            del self._reach[next(iter(self._reach))]
        return device

    def has(self, window: Window) -> bool:
        """Return whether the readings, or the silence, of a window have a verdict of another agent."""
        return self._has(window.device, window.trigger, window.start, window.end)

    def has_message(self, payload: bytes) -> bool:
        """Return the same of a verdict of ours, or of the verdict in an event."""
        if not self._reach:
            return False
        message: dict[str, Any] = json.loads(payload)
        verdict = message.get("verdict", message)
        if verdict is None:
            return False
        window = verdict["window"]
        times = _seconds(window["from"]), _seconds(window["to"])
        return self._has(verdict["device"], window["trigger"], *times)

    def _has(self, device: str, trigger: str, start: float, end: float) -> bool:
        reach = self._reach.get(device)
        if reach is None:
            return False
        ahead = self._ahead if reach.old else 0.0
        if trigger != Trigger.SILENCE:
            return end + ahead <= reach.to + SLACK_S
        silent = reach.silent_since is not None and start + ahead <= reach.silent_since + SLACK_S
        return silent or start + ahead < reach.to - SLACK_S


def stamped(payload: bytes, epoch: int) -> bytes:
    """Return a JSON object with its epoch as the last key; empty, it deletes a retained message."""
    return payload[:-1] + b',"epoch":%d}' % epoch if payload.endswith(b"}") else payload


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
