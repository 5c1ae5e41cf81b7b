"""Decisions about the commands of people on findings and devices. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from agent.domain.records import (
    Command,
    CommandOutcome,
    CommandReason,
    CommandRow,
    Do,
    Finding,
    FindingState,
    Kind,
)
from agent.verdict.command import refused
from agent.verdict.encode import iso
from agent.verdict.finding import Findings

MAX_KNOWN = 1000  # commands whose repeats are recognised
MAX_WORKS = 100  # of maintenance
MAX_AHEAD_S = 366 * 86_400.0
MAX_LENGTH_S = 31 * 86_400.0
_DONE = CommandOutcome(accepted=True, reason=CommandReason.DONE)


@dataclass(frozen=True, slots=True)
class Work:
    """Maintenance of the devices that a glob covers."""

    glob: str
    since: float  # clock
    until: float


class Maintenance:
    """The maintenance that is planned or under way."""

    def __init__(self) -> None:
        self._works: dict[str, Work] = {}  # by glob
        self._begun: set[str] = set()  # globs of those whose begin was noted

    def covers(self, device: str, clock: float) -> bool:
        """Return whether a device is under maintenance."""
        return any(
            one.since <= clock < one.until and fnmatchcase(device, one.glob) for one in self._works.values()
        )

    def works(self, clock: float) -> list[Work]:
        """Return what is not over."""
        return [one for one in self._works.values() if one.until > clock]

    def next_change(self) -> float | None:
        """Return the clock at which the next one begins or ends."""
        return min(
            (one.until if one.glob in self._begun else one.since for one in self._works.values()),
            default=None,
        )

    def pass_time(self, clock: float) -> bool:
        """Note what has begun and drop what is over; return whether there is any."""
        changed = (due := self.next_change()) is not None and due <= clock
        self._works = {one.glob: one for one in self.works(clock)}
        self._begun = {one.glob for one in self._works.values() if one.since <= clock}
        return changed

    def end_of(self, glob: str) -> float | None:
        """Return the end of the plan with this glob, None where there is none."""
        work = self._works.get(glob)
        return None if work is None else work.until

    def plan(self, work: Work, clock: float) -> bool:
        """Take a plan in place of another with the same glob; false when there are too many."""
        left = [one for one in self.works(clock) if one.glob != work.glob]
        if len(left) >= MAX_WORKS:
            return False
        self._works.pop(work.glob, None)
        self._begun.discard(work.glob)
        if work.until > clock:
            self._works[work.glob] = work
        return True


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one command, and the findings that it changes; ``resumed``: its end of work did."""

    outcome: CommandOutcome
    changed: tuple[Finding, ...] = ()
    resumed: tuple[Finding, ...] = ()


class Passed(NamedTuple):
    """Findings that a time changes: their snooze is over, maintenance begins, they outlast it."""

    opened: list[Finding]
    begun: list[Finding]
    resumed: list[Finding]


class People:
    """Decides about commands in their order.

    ``knows`` returns whether a device has a series, ``devices`` those that have.
    """

    def __init__(self, *, knows: Callable[[str], bool], devices: Callable[[], Iterable[str]] = tuple) -> None:
        self.maintenance = Maintenance()
        self.findings = Findings(self.maintenance.covers)
        self._knows = knows
        self._devices = devices
        #: Returns who else has a device, in words; empty for a device that would be ours.
        self.elsewhere: Callable[[str], str] = lambda _device: ""
        self._known: dict[str, tuple[Command, CommandOutcome]] = {}  # by the sender's id
        self._paused_to = 0.0

    def paused_to(self, clock: float) -> float | None:
        """Return until when the model is not to be asked, None where it may be; from any thread."""
        return self._paused_to if self._paused_to > clock else None

    def restore(self, findings: Iterable[Finding], rows: Iterable[CommandRow]) -> None:
        """Take back findings, and commands that were decided, each oldest first."""
        for finding in findings:
            self.findings.put(finding)
        for row in rows:
            self._remember(row)

    def _remember(self, row: CommandRow) -> None:
        """Note what later decisions depend on."""
        command, outcome = row.command, row.outcome
        if outcome is None:
            return
        if command.id and outcome.reason is not CommandReason.REPEATED:
            self._known.setdefault(command.id, (command, outcome))
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
        if not outcome.accepted or outcome.reason is CommandReason.REPEATED:
            return
        if command.do is Do.MAINTENANCE and command.device is not None and outcome.until is not None:
            since = row.clock if command.since is None else command.since
            self.maintenance.plan(Work(command.device, since, outcome.until), row.clock)
        elif command.do in (Do.PAUSE_MODEL, Do.RESUME_MODEL):
            self._paused_to = outcome.until or 0.0
        elif outcome.device is not None and command.do in (Do.FORGET, Do.NORMAL_HERE):
            self.findings.shut(outcome.device, row.seq, gone=outcome.forget)

    def take(self, row: CommandRow) -> Decision:
        """Decide about a command that was not decided yet, and change the findings accordingly."""
        decision = self._decide(row.command, row.clock)
        for finding in decision.changed:
            self.findings.put(finding)
        self._remember(replace(row, outcome=decision.outcome))
        return decision

    def _decide(self, command: Command, clock: float) -> Decision:
        known = self._known.get(command.id) if command.id else None
        if known is not None:
            return _repeat(command, *known)
        match command.do:
            case Do.FORGET:
                return self._forget(command)
            case Do.MAINTENANCE:
                return self._maintain(command, clock)
            case Do.PAUSE_MODEL:
                until = clock + MAX_LENGTH_S
                if command.until is not None or command.for_s is not None:
                    until = _end_of(command, clock) or 0.0
                if not until:
                    return _bad_time("a pause ends within the next 31 days", clock)
                return Decision(replace(_DONE, until=until, ends=self.paused_to(clock)))
            case Do.RESUME_MODEL:
                return Decision(replace(_DONE, ends=self.paused_to(clock)))
            case _ if command.incident_id is not None:
                return self._of_incident(command, command.incident_id, clock)
            case _:
                return self._of_finding(command, clock)

    # ---------------------------------------------------------------------------- of one finding

    def _of_finding(self, command: Command, clock: float) -> Decision:
        if command.finding_id is not None:
            finding = self.findings.find(command.finding_id)
        else:
            finding = self.findings.last_of(command.device or "")
        if finding is None:
            what = "finding has this id" if command.finding_id is not None else "device of this name has one"
            where = self.elsewhere(command.device or "") or "see edge-agent finding list"
            return _refuse(CommandReason.UNKNOWN_FINDING, f"no {what}; {where}")
        match command.do:
            case Do.ACK:
                return self._mark(finding, FindingState.ACKNOWLEDGED, None)
            case Do.SNOOZE:
                until = _end_of(command, clock)
                if until is None:
                    return _bad_time("a snooze ends within the next 31 days", clock)
                return self._mark(finding, FindingState.SNOOZED, until)
            case Do.NORMAL_HERE:
                return self._close(finding)
            case _:  # feedback: it is counted and shown to the model, and changes nothing
                return Decision(replace(_done(finding), judged=finding.seen))

    def _of_incident(self, command: Command, incident_id: str, clock: float) -> Decision:
        """Mark the open findings of an incident; a broken limit among them has to be named by itself."""
        found = [one for one in self.findings.values() if one.incident == incident_id]
        if not found:
            return _refuse(CommandReason.UNKNOWN_FINDING, "no open finding is of this incident")
        marked = [one for one in found if not one.limit]
        if not marked:
            return _refuse(CommandReason.LIMIT, "a configured limit was broken: name the finding")
        state, until = FindingState.ACKNOWLEDGED, None
        if command.do is Do.SNOOZE:
            state, until = FindingState.SNOOZED, _end_of(command, clock)
            if until is None:
                return _bad_time("a snooze ends within the next 31 days", clock)
        detail = f"{len(marked)} of {len(found)} open findings"
        outcome = replace(_DONE, detail=detail, state=state, until=until)
        return Decision(outcome, tuple(replace(one, state=state, until=until) for one in marked))

    def _mark(self, finding: Finding, state: FindingState, until: float | None) -> Decision:
        if finding.state.closed:
            return _refuse(CommandReason.CLOSED, f"the finding is over ({finding.state})", finding)
        marked = replace(finding, state=state, until=until)
        return Decision(_done(marked), (marked,))

    def _close(self, finding: Finding) -> Decision:
        if finding.state in (FindingState.NORMAL_HERE, FindingState.FORGOTTEN):
            return _refuse(CommandReason.CLOSED, f"the finding is over ({finding.state})", finding)
        if finding.limit:
            advice = "a configured limit was broken: change it in limits, or plan maintenance"
            return _refuse(CommandReason.LIMIT, advice, finding)
        if not _can_be_usual(finding):
            return _refuse(CommandReason.NOTHING_CITED, "no reading of it is kept", finding)
        closed = replace(finding, state=FindingState.NORMAL_HERE, until=None)
        outcome = _done(closed)
        if finding.kind is Kind.SILENCE and finding.silent_since is not None:
            silence = (finding.silent_since, finding.silent_to)
            outcome = replace(outcome, series=(str(Kind.SILENCE),), silence=silence)
        else:
            metrics = tuple(dict.fromkeys(one.metric for one in closed.seen))
            outcome = replace(outcome, series=metrics, allow=closed.seen)
        return Decision(outcome, (closed,))

    # ----------------------------------------------------------------------------- of one device

    def _forget(self, command: Command) -> Decision:
        device = command.device or ""
        finding = self.findings.get(device)
        if finding is None and not self._knows(device):
            where = self.elsewhere(device) or "see edge-agent device list"
            return _refuse(CommandReason.UNKNOWN_DEVICE, f"no such device; {where}")
        outcome = replace(_DONE, device=device, forget=True)
        if finding is None:
            return Decision(outcome)
        gone = replace(finding, state=FindingState.FORGOTTEN, until=None)
        return Decision(replace(outcome, finding_id=gone.id, state=gone.state), (gone,))

    def _maintain(self, command: Command, clock: float) -> Decision:
        since = clock if command.since is None else command.since
        until = command.until if command.until is not None else since + (command.for_s or 0.0)
        if not (clock - MAX_LENGTH_S <= since <= clock + MAX_AHEAD_S and until - since <= MAX_LENGTH_S):
            return _bad_time("maintenance begins within a year and lasts 31 days at most", clock)
        glob = command.device or ""
        ends = self.maintenance.end_of(glob)
        over = until <= max(since, clock)
        if over and ends is None:
            advice = "nothing is planned under this name; edge-agent maintenance lists the plans"
            return _refuse(CommandReason.BAD_TIME, advice)
        if not self.maintenance.plan(Work(glob, since, until), clock):
            return _refuse(CommandReason.TOO_MANY, f'{MAX_WORKS} are planned; end one with "for":"0s"')
        begun, resumed = self._change_work(clock, glob)
        count = sum(fnmatchcase(one, glob) for one in self._devices())
        detail = "" if over else "1 known device" if count == 1 else f"{count} known devices"
        outcome = replace(_DONE, device=glob, until=until, ends=ends, detail=detail)
        return Decision(outcome, (*begun, *resumed), tuple(resumed))

    def _change_work(self, clock: float, glob: str = "*") -> tuple[list[Finding], list[Finding]]:
        """Return the findings whose devices come under maintenance, and those that outlast it.

        One whose values are normal again waits for its next anomaly, or its end.
        """
        begun, resumed = [], []
        for finding in self.findings.values():
            if not fnmatchcase(finding.device, glob):
                continue
            under_way = self.maintenance.covers(finding.device, clock)
            if under_way and not finding.maintenance:
                begun.append(replace(finding, maintenance=True))
            elif finding.maintenance and not under_way and not finding.normal_streak:
                resumed.append(replace(finding, maintenance=False))
        return begun, resumed

    # ------------------------------------------------------------------------------------ of time

    def next_change(self) -> float | None:
        """Return the clock at which the next snooze ends, or maintenance begins or ends."""
        ends = (min(self.findings.snoozed.values(), default=None), self.maintenance.next_change())
        return min((one for one in ends if one is not None), default=None)

    def pass_time(self, clock: float) -> Passed:
        """End snoozes that are over, begin and end maintenance, and return the findings that this changes."""
        opened = self.findings.end_snoozes(clock)
        begun, resumed = self._change_work(clock) if self.maintenance.pass_time(clock) else ([], [])
        for finding in (*begun, *resumed):
            self.findings.put(finding)
        devices = {one.device for one in resumed}
        opened = [self.findings[one.device] for one in opened if one.device not in devices]
        return Passed(opened, begun, resumed)


def _end_of(command: Command, clock: float) -> float | None:
    """Return the end of a snooze or pause, None where it may not be then."""
    until = command.until if command.for_s is None else clock + command.for_s
    return until if until is not None and clock < until <= clock + MAX_LENGTH_S else None


def _repeat(command: Command, first: Command, outcome: CommandOutcome) -> Decision:
    if command != first:
        return _refuse(CommandReason.ID_REUSED, "another command had this id; a new one needs a new id")
    again = replace(outcome, allow=(), judged=(), silence=None, forget=False)
    return Decision(replace(again, reason=CommandReason.REPEATED) if again.accepted else again)


def _done(finding: Finding) -> CommandOutcome:
    return replace(
        _DONE,
        device=finding.device,
        finding_id=finding.id,
        state=finding.state,
        until=finding.until,
        series=series_of(finding),
    )


def _refuse(reason: CommandReason, detail: str, finding: Finding | None = None) -> Decision:
    outcome = refused(reason, detail)
    if finding is not None:
        outcome = replace(outcome, device=finding.device, finding_id=finding.id, state=finding.state)
    return Decision(outcome)


def _bad_time(rule: str, clock: float) -> Decision:
    """Return a refusal with the agent's time: the clock of the sender may be wrong."""
    return _refuse(CommandReason.BAD_TIME, f"{rule}; the agent's clock is at {iso(clock)}")


def can_be_done(finding: Finding) -> list[str]:
    """Return the commands of an open finding that would not be refused."""
    return [Do.ACK, Do.SNOOZE, *([Do.NORMAL_HERE] if not finding.limit and _can_be_usual(finding) else [])]


def _can_be_usual(finding: Finding) -> bool:
    """Return whether a finding names a value, or is a silence, that could be usual."""
    return bool(finding.seen) or (finding.kind is Kind.SILENCE and finding.silent_since is not None)


def series_of(finding: Finding) -> tuple[str, ...]:
    """Return the metrics that a finding cites; a silence is one of its own."""
    metrics = dict.fromkeys(one.metric for one in finding.seen)
    if finding.silent_since is not None:
        metrics[str(Kind.SILENCE)] = None
    return tuple(metrics)
