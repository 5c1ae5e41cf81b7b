"""Notices to people: content, urgency and time. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from hashlib import blake2b
from math import isfinite
from typing import Any

from agent.detect import QuietHours, instants_of, offset_of
from agent.domain.records import Finding, FindingEvent, FindingState, Kind, Severity, Verdict
from agent.verdict.encode import iso
from agent.verdict.finding import falls_silent, is_another
from agent.verdict.incident import Change
from agent.verdict.verdict import clean

SCHEMA = 1
HOUR_S, DAY_S = 3600.0, 86_400.0
FIRST_DAY = date(1970, 1, 1).toordinal()
MAX_DEVICE, MAX_LINES, MAX_ITEMS = 64, 20, 200
MAX_FINDINGS, MAX_NAMED = 50, 5  # of one incident in a notice, and devices in its text
#: Keys of rows that are of no finding: neither counts among the notices of an hour.
SUMMARY, DIGEST = "=summary", "=digest"
#: Beginnings of the notice of a finding that outlasts what kept it quiet.
SNOOZE_OVER, WORKS_OVER = "Its snooze is over.", "The maintenance of its device is over."
RANK = {severity: place for place, severity in enumerate(Severity)}

Notice = dict[str, Any]
#: Keys of a notice that are of its finding, the worst of several, and those that only several have.
_OF_FINDING = (
    "id", "event", "severity", "title", "text", "device", "kind", "finding_id", "verdict_id", "link",
)  # fmt: skip
_OF_SEVERAL = ("findings", "device_count", "more")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRules:
    """When notices may go out; minutes are those of the local day.

    ``quiet`` is begin and end; the end may be on the next day. ``zone`` None is the machine's.
    """

    max_per_hour: int = 20
    settle_s: float = 60.0
    quiet: tuple[int, int] | None = None
    digest: int | None = None
    zone: tzinfo | None = None

    def held_s(self, wall: float, severity: Severity, *, wait_s: float) -> float:
        """Return for how long a notice is held that would wait ``wait_s``: longer in quiet hours."""
        if severity is Severity.CRITICAL or self.quiet is None:
            return wait_s
        begin, end = self.quiet
        hours = QuietHours(60.0 * begin, 60.0 * end + (0.0 if begin < end else DAY_S))
        due = wall + wait_s
        return max(wait_s, hours.until(due, self._offset) - wall) if isfinite(due) else wait_s

    def digest_day(self, wall: float) -> str | None:
        """Return the local day whose digest is due, the last one whose time has come, or None."""
        if self.digest is None:
            return None
        today = self._day(wall)
        day = today if self._digest_at(today) <= wall else today - 1
        return date.fromordinal(FIRST_DAY + day).isoformat()

    def next_digest_s(self, wall: float) -> float | None:
        """Return in how many seconds the next digest is due."""
        if self.digest is None:
            return None
        today = self._day(wall)
        due = self._digest_at(today)
        return (due if due > wall else self._digest_at(today + 1)) - wall

    def _offset(self, wall: float) -> float:
        return offset_of(self.zone, wall)

    def _day(self, wall: float) -> int:
        """Return the local day of a time, since 1970."""
        return _local(wall, self.zone).toordinal() - FIRST_DAY

    def _digest_at(self, day: int) -> float:
        return instants_of(day * DAY_S + 60.0 * (self.digest or 0), self._offset)[0]

    def clock_words(self, wall: float) -> str:
        """Return a time for people: local, to the minute."""
        return f"{_local(wall, self.zone):%Y-%m-%d %H:%M}"


def _local(wall: float, zone: tzinfo | None) -> datetime:
    try:
        return datetime.fromtimestamp(wall, zone)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, zone)


# ---------------------------------------------------------------------------------- what happened


def is_wanted(finding: Finding, before: Finding | None, clock: float) -> bool:
    """Return whether people want notices of a finding; ``before``: as it was before the verdict."""
    known_as = finding if before is None or is_news_again(finding, before) else before
    return not (finding.maintenance or known_as.state_at(clock) is not FindingState.OPEN)


def is_news_again(finding: Finding, before: Finding) -> bool:
    """Return whether a limit is broken or something falls silent for the first time in a finding.

    Those who knew of another anomaly know neither of a limit that breaks later nor of a silence,
    nor of one that follows after a calm (:func:`agent.verdict.finding.is_another`).
    """
    breaks = finding.limit and not before.limit
    return breaks or is_another(finding, before) or falls_silent(finding, before)


def key_of(finding: Finding) -> str:
    """Return the key of a finding's notices, which keep their order: one for each incident."""
    return finding.incident or finding.id


def end_of(finding: Finding, changes: Iterable[Change], clock: float) -> Severity | None:
    """Return the severity of an incident that ended with a finding, by the incident's ``changes``.

    None while others of it are open that no person knows of.
    """
    highest = [finding.severity]
    for change in changes:
        highest.append(change.incident.severity)
        if not all(one.quiet(clock) for one in change.members):
            return None
    return worst_of(highest)


def news(change: FindingEvent | None, finding: Finding, before: Finding | None) -> FindingEvent | None:
    """Return the change that is worth a notice: an opening, a higher severity, an end.

    A finding that outlasts the maintenance of its device is news as well, and so is :func:`is_news_again`.
    """
    if before is None or change is FindingEvent.CLEARED:
        return change
    if before.maintenance and not finding.maintenance:
        return FindingEvent.UPDATED
    if is_news_again(finding, before):
        return FindingEvent.UPDATED
    return change if RANK[finding.severity] > RANK[before.severity] else None


def at_once(finding: Finding, before: Finding | None, verdict: Verdict) -> bool:
    """Return whether a notice does not wait for others of its cause: that of a broken limit."""
    breaks = finding.limit and (before is None or not before.limit)
    return breaks or verdict.kind is Kind.OUT_OF_RANGE


# ------------------------------------------------------------------------------------- its content


def of_finding(
    change: FindingEvent,
    finding: Finding,
    verdict: Verdict,
    *,
    since: str,
    link: str | None = None,
    devices: int = 1,
) -> Notice:
    """Return the notice of a change.

    ``since`` is the local time of the finding's opening, in words, ``link`` the address of the status page,
    ``devices`` the number in its incident if that is over.
    """
    notice = _of_finding(
        change,
        finding,
        verdict.summary,
        identity=identity("finding", verdict.id),
        agent=verdict.agent,
        verdict_id=verdict.id,
        at=verdict.created,
        since=since,
        link=link,
    )
    if devices == 1:
        return notice
    return _of_several({**notice, "incident_devices": devices}, _findings_in(notice), 0)


def of_end(
    finding: Finding,
    words: str,
    last: Mapping[str, Any] | None,
    *,
    agent: str,
    at: float,
    since: str,
    link: str | None = None,
) -> Notice:
    """Return the notice of a finding that has outlasted its snooze or maintenance.

    ``words`` name what is over, ``last`` is its last anomaly, as JSON.
    """
    told = last or {}
    return _of_finding(
        FindingEvent.UPDATED,
        finding,
        f"{words} {told.get('summary', '')}".rstrip(),
        identity=identity("end", finding.id, repr(at)),
        agent=agent,
        verdict_id=told.get("id"),
        at=at,
        since=since,
        link=link,
    )


def _of_finding(
    change: FindingEvent,
    finding: Finding,
    summary: str,
    *,
    identity: str,
    agent: str,
    verdict_id: str | None,
    at: float,
    since: str,
    link: str | None,
) -> Notice:
    over = change is FindingEvent.CLEARED
    name = clean(finding.device)[:MAX_DEVICE]
    title = f"Over: {name}" if over else f"{finding.severity.capitalize()}: {name}"
    advice = finding.kind.traits.advice
    lines = [summary]
    if not over and advice:
        lines.append(advice)
    lines.append(f"Since {since}. Finding {finding.id} of agent {agent}.")
    return {
        "schema": SCHEMA,
        "id": identity,
        "agent": agent,
        "type": "finding",
        "event": change,
        "severity": finding.severity,
        "title": title,
        "text": "\n".join(lines),
        "device": finding.device,
        "kind": finding.kind,
        "finding_id": finding.id,
        "incident_id": finding.incident,
        "verdict_id": verdict_id,
        "at": iso(at),
        "link": None if link is None else f"{link}#finding-{finding.id}",  # its card
    }


def item_of(notice: Mapping[str, Any]) -> Notice:
    """Return the part of a notice that a summary lists."""
    return {key: notice[key] for key in (*_OF_FINDING, *_OF_SEVERAL) if key in notice}


def joined(held: Mapping[str, Any], new: Mapping[str, Any]) -> Notice:
    """Return the notice of an incident that has the findings of two: each as the ``new`` one has it."""
    findings = {one["finding_id"]: one for one in (*_findings_in(held), *_findings_in(new))}
    return _of_several(new, findings.values(), held.get("more", 0) + new.get("more", 0))


def without(notice: Mapping[str, Any], finding_id: str) -> Notice | None:
    """Return the notice of an incident without a finding, None if it has no other."""
    findings = [one for one in _findings_in(notice) if one["finding_id"] != finding_id]
    return _of_several(notice, findings, notice.get("more", 0)) if findings else None


def _findings_in(notice: Mapping[str, Any]) -> list[Notice]:
    found: list[Notice] = notice.get("findings") or [
        {key: notice[key] for key in _OF_FINDING if key in notice}
    ]
    return found


def _of_several(base: Mapping[str, Any], findings: Iterable[Notice], more: int) -> Notice:
    """Return a notice of the findings of one incident, led by the worst; ``more`` were not kept."""
    worst = sorted(findings, key=lambda one: (_is_over(one), -RANK[Severity(one["severity"])]))
    kept = worst[:MAX_FINDINGS]
    more += sum(one["event"] == FindingEvent.OPENED for one in worst[MAX_FINDINGS:])
    lead = kept[0]
    notice = {**{key: value for key, value in base.items() if key not in _OF_SEVERAL}, **lead}
    devices = list(dict.fromkeys(one["device"] for one in kept))
    total = len(devices) + more
    if _is_over(lead):
        total = max(total, base.get("incident_devices", 1))
    if len(kept) == 1 and total == 1:
        return notice
    notice |= {"findings": kept, "device_count": total, "more": more}
    notice["id"] = identity("incident", *(str(one.get("id", one["finding_id"])) for one in kept), str(more))
    if not _is_over(lead) and any(one["event"] == FindingEvent.OPENED for one in kept):
        notice["event"] = FindingEvent.OPENED
    if total > 1:
        others = f"{total - 1} more devices" if total > 2 else "1 more device"  # noqa: PLR2004 - one and one
        notice["title"] = f"{lead['title']} and {others}"
        named = [clean(one)[:MAX_DEVICE] for one in devices[:MAX_NAMED]]
        names, rest = ", ".join(named), f" and {total - len(named)} more" if total > len(named) else ""
        notice["text"] = f"{total} devices: {names}{rest}.\n{lead.get('text', '')}"
    return notice


def _is_over(notice: Mapping[str, Any]) -> bool:
    return bool(notice["event"] == FindingEvent.CLEARED)


def summarise(sink: str, items: Sequence[Notice], more: int, *, agent: str, at: float) -> Notice:
    """Return one notice in place of many, the worst of them listed; ``more`` were not kept."""
    worst = sorted(items, key=lambda one: -RANK[Severity(one["severity"])])
    kept = worst[:MAX_ITEMS]
    more += len(worst) - len(kept)
    total = len(kept) + more
    counts = Counter(one["severity"] for one in kept)
    critical = counts[Severity.CRITICAL]
    words = f"{total} more notices"
    if total == 1:
        words = "1 more notice" if not critical else "1 more notice, critical"
    elif critical:
        least = "at least " if critical == len(kept) else ""  # those that were not kept may be, too
        words += ", all critical" if critical == total else f", {least}{critical} critical"
    lines = [f"{one['title']} ({one['kind']})" for one in kept[:MAX_LINES]]
    if total > len(lines):
        lines.append(f"and {total - len(lines)} more")
    ids = [f"{one['finding_id']} {one['event']} {one.get('id', '')}" for one in kept]
    return {
        "schema": SCHEMA,
        "id": identity("summary", sink, *ids, str(more)),
        "agent": agent,
        "type": "summary",
        "event": None,
        "severity": kept[0]["severity"],
        "title": words,
        "text": "\n".join(
            (
                f"Beyond notify.max_per_hour: {_counted(counts)}{' and more' if more else ''}.",
                *lines,
                f"From agent {agent}.",
            )
        ),
        "count": total,
        "notices": kept,
        "more": more,
        "at": iso(at),
        "link": None,
    }


def digest_of(
    day: str,
    open_now: Sequence[tuple[str, str, str, str]],
    *,
    opened: int,
    cleared: int,
    agent: str,
    at: float,
    link: str | None = None,
) -> Notice:
    """Return the digest of a day; an open finding is its device, kind, severity and since when, in words."""
    worst = sorted(open_now, key=lambda one: -RANK[Severity(one[2])])
    counts = Counter(severity for _, _, severity, _ in worst)
    lines = [
        f"{severity}: {clean(device)[:MAX_DEVICE]}, {kind}, since {since}"
        for device, kind, severity, since in worst[:MAX_LINES]
    ]
    if len(worst) > len(lines):
        lines.append(f"and {len(worst) - len(lines)} more")
    state = f"Open: {_counted(counts)}" if worst else "Nothing is open"
    return {
        "schema": SCHEMA,
        "id": identity("digest", agent, day),
        "agent": agent,
        "type": "digest",
        "event": None,
        "severity": worst[0][2] if worst else Severity.INFO,
        "title": f"Digest of {agent}: {len(worst)} open" if worst else f"Digest of {agent}: all is well",
        "text": "\n".join((f"{state}. In the last 24 h {opened} opened, {cleared} cleared.", *lines)),
        "open": len(worst),
        "opened": opened,
        "cleared": cleared,
        "at": iso(at),
        "link": link,
    }


def trial_of(sink: str, *, agent: str, at: float) -> Notice:
    """Return the notice of `edge-agent notify test`; its severity passes every sink."""
    return {
        "schema": SCHEMA,
        "id": identity("test", agent, sink, repr(at)),
        "agent": agent,
        "type": "test",
        "event": None,
        "severity": Severity.INFO,
        "title": f"Test of agent {agent}",
        "text": f"Notices of agent {agent} reach you through the sink {sink}.",
        "at": iso(at),
        "link": None,
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[one]} {one}" for one in reversed(Severity) if counts.get(one))


def identity(*parts: str) -> str:
    """Return an id that is the same whenever it is made of the same parts."""
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def worst_of(severities: Iterable[str]) -> Severity:
    """Return the highest of some severities."""
    return max(map(Severity, severities), key=RANK.__getitem__)
