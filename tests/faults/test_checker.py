"""The checker finds each kind of fault when one is put into good evidence."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.checker import check, check_naive
from tests.faults.collector import Collected
from tests.faults.evidence import NO_SUBSCRIBER, Evidence, JournaledReading, JournaledWindow, JournalFacts
from tests.faults.outcome import Outcome
from tests.faults.report import find_recoveries
from tests.faults.workload import (
    BROKEN_CONTACT,
    BROKEN_EVERY,
    CONSTANT,
    CYCLE,
    PAYLOADS,
    REPEATING,
    Key,
    device_name,
    devices_of,
    form_of,
    is_broken,
    payload_of,
    readings_of,
    topic_of,
)

DEVICES, NUMBERS = 3, 8
CUT = 4  # messages in a window


def verdict(window: JournaledWindow, summary: str = "fine") -> bytes:
    """A verdict's bytes, as far as the checker reads them."""
    value = {
        "id": window.id,
        "device": window.device,
        "summary": summary,
        "window": {"readings": window.readings},
    }
    return json.dumps(value).encode()


def good() -> Evidence:
    """Evidence of a run in which nothing went wrong: two windows per device."""
    keys = [Key(device, number) for number in range(1, NUMBERS + 1) for device in range(DEVICES)]
    rows = [
        JournaledReading(seq, device_name(key.device), metric, value)
        for seq, key in enumerate(keys, start=1)
        for metric, value in readings_of(key)
    ]
    windows = []
    for device in range(DEVICES):
        mine = [row for row in rows if row.device == device_name(device)]
        seqs = sorted({row.seq for row in mine})
        for lo, hi in ((seqs[0], seqs[CUT - 1]), (seqs[CUT], seqs[-1])):
            count = sum(lo <= row.seq <= hi for row in mine)
            windows.append(JournaledWindow(f"w{device}-{lo}", device_name(device), lo, hi, count, "count", 2))
    bodies = {window.id: verdict(window) for window in windows}
    return Evidence(
        intents=dict.fromkeys(keys, 0.0),
        acks=dict.fromkeys(keys, 0),
        collected=[
            Collected(0.0, f"edge-agent/gw/verdicts/{window.device}", False, bodies[window.id])
            for window in windows
        ],
        journal=JournalFacts(
            readings=rows,
            received=[0.0] * len(keys),
            quarantined=Counter(),
            windows=windows,
            verdicts=bodies,
            waiting=0,
            integrity="ok",
        ),
    )


def journal_of(evidence: Evidence) -> JournalFacts:
    """The journal's part."""
    assert evidence.journal is not None
    return evidence.journal


def with_rows(evidence: Evidence, rows: list[JournaledReading]) -> Evidence:
    """The same with other journaled readings."""
    return replace(evidence, journal=replace(journal_of(evidence), readings=rows))


def with_windows(evidence: Evidence, windows: list[JournaledWindow]) -> Evidence:
    """The same with other journaled windows."""
    return replace(evidence, journal=replace(journal_of(evidence), windows=windows))


def drop_a_row(evidence: Evidence) -> Evidence:
    """A reading vanishes after its window was sealed and counted."""
    return with_rows(evidence, [row for row in journal_of(evidence).readings if row.seq != 5])


def drop_half_a_message(evidence: Evidence) -> Evidence:
    """One of two readings of a message is missing."""
    return with_rows(evidence, [row for row in journal_of(evidence).readings if row.value != 3.5])


def drop_a_window(evidence: Evidence) -> Evidence:
    """The first window of a device is gone."""
    return with_windows(evidence, list(journal_of(evidence).windows[1:]))


def widen_a_window(evidence: Evidence) -> Evidence:
    """Two windows of a device hold the same reading."""
    first, *rest = journal_of(evidence).windows
    return with_windows(evidence, [first._replace(hi=first.hi + DEVICES, readings=CUT + 1), *rest])


def forget_the_last(evidence: Evidence) -> Evidence:
    """The last window of a device was never sealed."""
    gone = journal_of(evidence).windows[1]
    left = [window for window in journal_of(evidence).windows if window is not gone]
    return replace(with_windows(evidence, left), collected=[*evidence.collected[:1], *evidence.collected[2:]])


def change_bytes(evidence: Evidence) -> Evidence:
    """A verdict is published again with another summary."""
    again = verdict(journal_of(evidence).windows[0], "something else")
    return replace(evidence, collected=[*evidence.collected, evidence.collected[0]._replace(payload=again)])


def lose_a_verdict(evidence: Evidence) -> Evidence:
    """A window's verdict never came."""
    return replace(evidence, collected=evidence.collected[1:])


def make_up_a_verdict(evidence: Evidence) -> Evidence:
    """A verdict speaks of a window that nobody sealed."""
    window = journal_of(evidence).windows[0]._replace(id="nobody", readings=0)
    stranger = Collected(0.0, f"edge-agent/gw/verdicts/{window.device}", False, verdict(window))
    return replace(evidence, collected=[*evidence.collected, stranger])


def swap_rows(evidence: Evidence) -> Evidence:
    """Two readings of a device change places."""
    rows = list(journal_of(evidence).readings)
    mine = [number for number, row in enumerate(rows) if row.device == device_name(0)]
    one, two = mine[0], mine[1]
    rows[one], rows[two] = (
        rows[one]._replace(value=rows[two].value),
        rows[two]._replace(value=rows[one].value),
    )
    return with_rows(evidence, rows)


def swap_verdicts(evidence: Evidence) -> Evidence:
    """A device's second verdict is published before its first."""
    first, second, *rest = evidence.collected
    return replace(evidence, collected=[second, first, *rest])


def contradict_in_an_event(evidence: Evidence) -> Evidence:
    """An event carries another text than the verdict that it embeds."""
    window = journal_of(evidence).windows[0]
    event = {"event_type": "opened", "verdict": json.loads(verdict(window, "another text"))}
    item = Collected(0.0, f"edge-agent/gw/events/{window.device}", False, json.dumps(event).encode())
    return replace(evidence, collected=[*evidence.collected, item])


def damage(evidence: Evidence) -> Evidence:
    """SQLite finds the file damaged."""
    return replace(evidence, journal=replace(journal_of(evidence), integrity="row 7 missing"))


def test_good_evidence_is_found_good() -> None:
    """A run without faults has no finding, and its counts are right."""
    found = check(good())
    assert found.broken() == []
    assert found.sent == found.acked == DEVICES * NUMBERS
    assert found.readings == NUMBERS * 4  # one device sends two readings in each message
    assert found.windows == found.verdicts == 2 * DEVICES


@pytest.mark.parametrize(
    ("spoil", "faults"),
    [
        (drop_a_row, {"lost", "miscounted", "unexplained"}),
        (drop_half_a_message, {"lost", "miscounted", "unexplained"}),
        (drop_a_window, {"uncovered", "unknown"}),
        (widen_a_window, {"covered_twice", "unexplained"}),
        (forget_the_last, {"open"}),
        (change_bytes, {"conflicting"}),
        (lose_a_verdict, {"missing", "unexplained"}),
        (make_up_a_verdict, {"unknown"}),
        (swap_rows, {"disordered"}),
        (swap_verdicts, {"disordered"}),
        (contradict_in_an_event, {"conflicting"}),
        (damage, {"integrity_check:"}),
    ],
)
def test_each_fault_is_found(spoil: Callable[[Evidence], Evidence], faults: set[str]) -> None:
    """Damage that is done on purpose is named."""
    named = {text.split()[0] for text in check(spoil(good())).broken()}
    assert faults - {"unexplained"} <= named
    assert named <= faults | {"unexplained"}


def test_a_repeat_with_the_same_bytes_is_allowed() -> None:
    """A verdict that is published twice with the same bytes is counted and not a fault."""
    evidence = good()
    found = check(replace(evidence, collected=[*evidence.collected, evidence.collected[0]]))
    assert found.broken() == []
    assert found.repeats == 1


def test_a_duplicate_is_counted_and_must_be_in_the_sums() -> None:
    """A message that is journaled twice is a duplicate, no loss, and its window counts it."""
    evidence = good()
    first = journal_of(evidence).windows[0]
    extra = journal_of(evidence).readings[0]
    rows = sorted([*journal_of(evidence).readings, extra])
    windows = [first._replace(readings=first.readings + 1), *journal_of(evidence).windows[1:]]
    body = verdict(windows[0])
    facts = replace(journal_of(evidence), readings=rows, windows=windows)
    facts.verdicts[first.id] = body
    collected = [evidence.collected[0]._replace(payload=body), *evidence.collected[1:]]
    found = check(replace(evidence, journal=facts, collected=collected))
    assert found.broken() == []
    assert found.duplicated == 1


def test_what_nobody_was_subscribed_to_is_not_lost() -> None:
    """A PUBACK with the code for `no subscribers` is owed to nobody."""
    evidence = drop_a_row(good())
    gone = next(key for number, key in enumerate(evidence.intents, start=1) if number == 5)
    assert check(evidence).lost == 1
    assert check(replace(evidence, acks=evidence.acks | {gone: NO_SUBSCRIBER})).lost == 0


def test_a_broken_message_must_be_in_quarantine() -> None:
    """A message that is broken on purpose is lost unless it is in quarantine."""
    key = Key(0, BROKEN_EVERY)
    assert readings_of(key) == ()
    assert payload_of(key).startswith(b"{")
    evidence = good()
    evidence.intents[key], evidence.acks[key] = 0.0, 0
    assert check(evidence).lost == 1
    journal_of(evidence).quarantined[key] = 1
    assert check(evidence).lost == 0


def test_the_naive_agent_is_judged_by_the_members_of_its_verdicts() -> None:
    """A reading in no verdict of the naive agent is lost."""
    evidence = good()
    members = [list(reading) for number in (1, 2, 3) for reading in readings_of(Key(0, number))]
    body = json.dumps({"id": "a", "device": device_name(0), "members": members}).encode()
    only = replace(
        evidence,
        journal=None,
        acks={Key(0, number): 0 for number in (1, 2, 3, 4)},
        collected=[Collected(0.0, f"naive/verdicts/{device_name(0)}", False, body)],
    )
    assert check_naive(only).lost == 1


def test_recovery_is_from_the_kill_to_the_next_reading() -> None:
    """A kill before the first reading after the one before is counted as interrupted."""
    assert find_recoveries([10.0, 20.0, 20.5], [5.0, 11.5, 21.0, 21.1]) == ([1.5, 0.5], 1)


def test_topics_and_payloads_lead_back_to_their_message() -> None:
    """Names are unique per device."""
    assert len({topic_of(device) for device in range(2000)}) == 2000


def equal(device: int, *, sent: int, there: int) -> Evidence:
    """Evidence of messages that are all alike, of which so many were acknowledged and so many are there."""
    keys = [Key(device, CYCLE * number + 1) for number in range(sent)]
    rows = [
        JournaledReading(seq, device_name(device), metric, value)
        for seq in range(1, there + 1)
        for metric, value in readings_of(keys[0])
    ]
    facts = replace(journal_of(good()), readings=rows, windows=[], verdicts={})
    if is_broken(keys[0]):
        facts.quarantined[form_of(keys[0])] = there
    return Evidence(
        intents=dict.fromkeys(keys, 0.0), acks=dict.fromkeys(keys, 0), collected=[], journal=facts
    )


@pytest.mark.parametrize("device", [CONSTANT, CONSTANT + BROKEN_CONTACT, REPEATING])
@pytest.mark.parametrize(("there", "lost", "duplicated"), [(5, 0, 0), (3, 2, 0), (7, 0, 2)])
def test_equal_messages_are_counted(device: int, there: int, lost: int, duplicated: int) -> None:
    """Of five equal messages as many are lost as fewer are there, and as many are twice as more are."""
    found = check(equal(device, sent=5, there=there))
    assert (found.lost, found.duplicated) == (lost, duplicated)


@pytest.mark.parametrize(("losses", "rate", "held_s", "most"), [
    (0, 300, 0.1, 0), (1, 300, 0.1, 286), (20, 300, 0.1, 5720), (1, 10_000, 0.1, 2000), (3, 100, 1.6, 1248),
])  # fmt: skip
def test_a_run_with_more_duplicates_than_its_bound_fails(
    losses: int, rate: float, held_s: float, most: int
) -> None:
    """A commit group for each loss and the messages of the time that acknowledgements take; no more."""
    run = Outcome("ours", "faults", rate, held_s=held_s, losses=losses, settled=True)
    run.found.duplicated = most
    assert run.problems() == []
    run.found.duplicated += 1
    assert run.problems() == [f"duplicated {most + 1}, the bound is {most}"]


@pytest.mark.parametrize("payloads", PAYLOADS)
def test_a_form_stands_for_all_messages_with_its_topic_and_payload(payloads: str) -> None:
    """Two messages of a device have one form exactly when their payloads are the same."""
    for device in devices_of(payloads, 12):
        keys = [Key(device, number) for number in range(1, 2 * CYCLE + 1)]
        forms = {form_of(key) for key in keys}
        assert len({payload_of(key) for key in keys}) == len(forms)
        assert all(payload_of(key) == payload_of(form_of(key)) for key in keys)
        assert all(readings_of(key) == readings_of(form_of(key)) for key in keys)


def test_repeating_payloads_meet_their_packet_ids_again() -> None:
    """The payloads of a lap of 65,535 packet ids come again with the same ids in the next."""
    assert 65_535 % CYCLE == 0
    assert len(devices_of("registers", 1)) == CYCLE
