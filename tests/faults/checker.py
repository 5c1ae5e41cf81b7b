"""The checker: finds, offline, every promise that a run has not kept.

The invariants are those of the guarantee: I1 nothing lost, I2 each reading in one window, I3 one content per
verdict id, I4 no verdict of an unknown window, I5 order, I6 duplicates, I9 integrity. The sum of
``window.readings`` over all verdict ids is compared with the broker's acks, without the journal.

Messages with equal topic and payload look the same, so they are counted: of each form as many must be
there as were acknowledged, and no more than were sent.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from tests.faults.collector import Collected
from tests.faults.evidence import Evidence, JournalFacts, parse
from tests.faults.workload import Key, device_name, form_of, is_unique, readings_of

Reading = tuple[str, str, float]  # device, metric, value
MAX_EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Findings:
    """The counts. ``broken()`` names the promises that do not hold."""

    sent: int = 0
    acked: int = 0  # by the broker, for the agent's session
    unacked: int = 0
    lost: int = 0  # acked, in no row and in no quarantine (I1)
    invented: int = 0  # journaled, but never sent
    duplicated: int = 0  # messages that are there more than once (I6); allowed, counted
    quarantined: int = 0
    readings: int = 0
    open: int = 0  # readings that wait for a window
    windows: int = 0
    uncovered: int = 0  # readings passed over by the windows of their device (I2)
    covered_twice: int = 0  # (I2)
    miscounted: int = 0  # windows whose count is not their readings
    verdicts: int = 0  # distinct ids at the collector
    repeats: int = 0  # published again, same bytes; allowed, counted
    conflicting: int = 0  # ids with two contents (I3)
    missing: int = 0  # windows without a verdict at the collector
    unknown: int = 0  # verdicts of no window (I4)
    disordered: int = 0  # readings or verdicts of a device out of order (I5)
    unexplained: int = 0  # difference of the verdicts' sums and the acks, in readings
    integrity: str = "ok"  # (I9)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def broken(self) -> list[str]:
        """Name each promise that does not hold, with its count and an example."""
        counts = (
            "lost", "invented", "uncovered", "covered_twice", "miscounted", "conflicting", "missing",
            "unknown", "disordered", "unexplained", "open",
        )  # fmt: skip
        out = [
            f"{name} {getattr(self, name)} ({', '.join(self.examples.get(name, ['?']))})"
            for name in counts
            if getattr(self, name)
        ]
        return out if self.integrity == "ok" else [*out, f"integrity_check: {self.integrity}"]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return asdict(self)

    def note(self, name: str, example: object, count: int = 1) -> None:
        """Count a fault and keep the first examples of its kind."""
        setattr(self, name, getattr(self, name) + count)
        examples = self.examples.setdefault(name, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(str(example))


def check(evidence: Evidence) -> Findings:
    """Return what an agent with a journal kept and broke."""
    journal = evidence.journal
    if journal is None:
        raise ValueError("an agent without a journal is checked by check_naive")
    found = Findings(integrity=journal.integrity)
    have = Counter((row.device, row.metric, row.value) for row in journal.readings)
    _check_messages(found, evidence, have, journal.quarantined)
    sealed = _check_windows(found, journal)
    _check_order(found, journal)
    _check_verdicts(found, evidence.collected, journal)
    _check_sums(found, evidence, have, sealed)
    return found


def check_naive(evidence: Evidence) -> Findings:
    """Return the same of the naive agent, whose verdicts name their readings."""
    found = Findings()
    have: Counter[Reading] = Counter()
    rejected: Counter[Key] = Counter()
    for item in evidence.collected:
        value = parse(item.payload)
        if value is None:
            continue
        if "/verdicts/" in item.topic:
            found.verdicts += 1
            have.update((value["device"], metric, float(number)) for metric, number in value["members"])
        elif item.topic.endswith("/rejected"):
            rejected[_rejected_key(value)] += 1
    found.windows = found.verdicts
    _check_messages(found, evidence, have, rejected)
    return found


def _rejected_key(value: Mapping[str, str]) -> Key:
    digits = value["text"].removeprefix('{"n":').removesuffix(",")
    return Key(int(value["topic"].rpartition("/d")[2]), int(digits))


def _named(key: Key) -> str:
    return f"{device_name(key.device)} #{key.number}"


def _check_messages(
    found: Findings, evidence: Evidence, have: Counter[Reading], quarantined: Counter[Key]
) -> None:
    """I1 and I6: each acknowledged message is there with all its readings, or in quarantine."""
    delivered = evidence.delivered()
    found.sent, found.acked = len(evidence.intents), len(delivered)
    found.unacked = len(evidence.intents) - len(evidence.acks)
    found.readings, found.quarantined = have.total(), quarantined.total()
    sent, acked = (Counter(map(form_of, keys)) for keys in (evidence.intents, delivered))
    readings: set[Reading] = set()
    for key, times in sent.items():
        fewest, most = _times_there(key, have, quarantined)
        if acked[key] > fewest:
            found.note("lost", _named(key), acked[key] - fewest)
        if most > times:
            found.note("duplicated", _named(key), most - times)
        readings.update((device_name(key.device), metric, value) for metric, value in readings_of(key))
    for reading in have.keys() - readings:
        found.note("invented", reading)


def _times_there(key: Key, have: Counter[Reading], quarantined: Counter[Key]) -> tuple[int, int]:
    """Return how often the message is there: by its rarest and by its most frequent reading."""
    readings = readings_of(key)
    if not readings:
        return quarantined[key], quarantined[key]
    times = [have[device_name(key.device), metric, value] for metric, value in readings]
    return min(times), max(times)


def _check_windows(found: Findings, journal: JournalFacts) -> dict[str, int]:
    """I2: each reading in exactly one window, or above all of its device; return the last seq sealed."""
    found.windows = len(journal.windows)
    rows: dict[str, list[int]] = defaultdict(list)
    for row in journal.readings:
        rows[row.device].append(row.seq)
    ends: dict[str, int] = {}
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for window in journal.windows:
        ends[window.device] = max(window.hi, ends.get(window.device, 0))
        if window.trigger == "silence":
            inside = 0
        else:
            ranges[window.device].append((window.lo, window.hi))
            seqs = rows[window.device]
            inside = bisect_right(seqs, window.hi) - bisect_right(seqs, window.lo - 1)
        if inside != window.readings:
            found.note("miscounted", f"{window.id} says {window.readings}, has {inside}")
    for device, seqs in rows.items():
        _check_cover(found, device, seqs, sorted(ranges[device]), ends.get(device, 0))
    return ends


def _check_cover(
    found: Findings, device: str, seqs: Sequence[int], ranges: Sequence[tuple[int, int]], end: int
) -> None:
    starts = [lo for lo, _ in ranges]
    for (_, hi), (lo, _) in pairwise(ranges):
        if lo <= hi:
            found.note("covered_twice", f"{device} seq {lo}")
    for seq in seqs:
        place = bisect_right(starts, seq) - 1
        if place >= 0 and ranges[place][0] <= seq <= ranges[place][1]:
            continue
        found.note("uncovered" if seq <= end else "open", f"{device} seq {seq}")


def _check_order(found: Findings, journal: JournalFacts) -> None:
    """I5: the readings of a unique device's series rise as they were sent, except for duplicates."""
    highest: dict[tuple[str, str], float] = {}
    seen: set[Reading] = set()
    for row in journal.readings:
        reading = (row.device, row.metric, row.value)
        if reading in seen or not is_unique(int(row.device[1:])):
            continue
        seen.add(reading)
        if row.value < highest.get((row.device, row.metric), 0.0):
            found.note("disordered", f"{row.device}/{row.metric} {row.value} at seq {row.seq}")
        highest[row.device, row.metric] = max(row.value, highest.get((row.device, row.metric), 0.0))


def _check_verdicts(found: Findings, collected: Iterable[Collected], journal: JournalFacts) -> None:
    """I3 and I4: one content per id among all bytes that were published, and for every window one."""
    windows = {window.id: window for window in journal.windows}
    contents: dict[str, set[bytes]] = defaultdict(set)
    events: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    embedded: dict[str, list[Any]] = defaultdict(list)
    last: dict[str, int] = {}
    ordered: set[str] = set()
    for item in collected:
        value = parse(item.payload)
        if value is None:
            continue
        if "/verdicts/" in item.topic:
            verdict_id = str(value["id"])
            found.repeats += verdict_id in contents
            # A retained verdict comes before the queued ones whenever the collector subscribes again.
            if not item.retain and verdict_id not in ordered and verdict_id in windows:
                ordered.add(verdict_id)
                window = windows[verdict_id]
                if window.lo < last.get(window.device, 0):
                    found.note("disordered", f"verdict {verdict_id} of {window.device}")
                last[window.device] = window.lo
            contents[verdict_id].add(item.payload)
        elif "/events/" in item.topic:
            verdict_id = str(value["verdict"]["id"])
            events[verdict_id, str(value["event_type"])].add(item.payload)
            embedded[verdict_id].append(value["verdict"])
    found.verdicts = len(contents)
    _check_contents(found, contents, journal)
    for (verdict_id, kind), payloads in events.items():
        verdict = parse(next(iter(contents.get(verdict_id, {b"{}"}))))
        if len(payloads) > 1 or any(item != verdict for item in embedded[verdict_id]):
            found.note("conflicting", f"event {kind} of {verdict_id}")
    for verdict_id in contents.keys() | embedded.keys():
        if verdict_id not in windows:
            found.note("unknown", verdict_id)
    for window_id, window in windows.items():
        if window_id not in contents:
            found.note("missing", f"{window_id} of {window.device}, {window.trigger}, state {window.state}")


def _check_contents(found: Findings, contents: Mapping[str, set[bytes]], journal: JournalFacts) -> None:
    for verdict_id, payloads in contents.items():
        journaled = journal.verdicts.get(verdict_id)
        if len(payloads) > 1 or (journaled is not None and journaled not in payloads):
            found.note("conflicting", verdict_id)


def _check_sums(
    found: Findings, evidence: Evidence, have: Counter[Reading], sealed: Mapping[str, int]
) -> None:
    """Compare the verdicts' sums with the acks by device; the journal only shows what is twice or open."""
    counted: Counter[str] = Counter()
    ids: set[str] = set()
    for item in evidence.collected:
        value = parse(item.payload) if "/verdicts/" in item.topic else None
        if value is not None and value["id"] not in ids:
            ids.add(value["id"])
            counted[value["device"]] += value["window"]["readings"]
    expected: Counter[str] = Counter()
    acked = Counter(map(form_of, evidence.delivered()))
    for key in set(map(form_of, evidence.intents)):
        for metric, number in readings_of(key):
            times = have[device_name(key.device), metric, number]
            expected[device_name(key.device)] += max(times, acked[key])
    if evidence.journal is not None:
        for row in evidence.journal.readings:
            if row.seq > sealed.get(row.device, 0):
                expected[row.device] -= 1
    for device in {*expected, *counted}:
        difference = counted[device] - expected[device]
        if difference:
            found.note("unexplained", f"{device}: {difference:+d}", abs(difference))
