"""When windows seal, and that nothing falls between them."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import CALM, Kind, Partner, Progress, Reading, Score, Trigger
from agent.pipeline.window import Draft, Windows, WindowSettings, identify
from agent.verdict.local_opinion import find_unjudged, opine
from tests.support.make import T0, reading, score

SETTINGS = WindowSettings(max_age_s=60, max_readings=5, settle_s=5)


def seal_all(windows: Windows, clock: float) -> list[Draft]:
    """Seal every open window."""
    return [
        draft for device in list(windows._open) for draft in windows.seal_device(device, clock, Trigger.AGE)
    ]


def test_seals_by_count() -> None:
    """The row that fills a window is its last."""
    windows = Windows(SETTINGS)
    drafts = [windows.add("d1", seq, T0 + seq, [(reading(at=T0 + seq), CALM)], None) for seq in range(1, 6)]
    assert [len(cut) for cut in drafts] == [0, 0, 0, 0, 1]
    draft = drafts[-1][0]
    assert (draft.trigger, draft.lo, draft.hi, len(draft.readings)) == (Trigger.COUNT, 1, 5, 5)
    assert len(windows) == 0


def test_seals_by_age_on_a_timer_row() -> None:
    """A window is due max_age_s after its first row, and not before."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(), CALM)], None)
    assert windows.next_due() == T0 + 60
    assert windows.tick(T0 + 59.9) == []
    assert [draft.trigger for draft in windows.tick(T0 + 60)] == [Trigger.AGE]
    assert windows.next_due() is None


def test_seals_after_the_settle_time_of_an_alarm() -> None:
    """An alarm makes its window due settle_s later; readings until then belong to it."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(), CALM)], None)
    windows.add("d1", 2, T0 + 1, [(reading(99, T0 + 1), score(2.0))], None)
    windows.add("d1", 3, T0 + 3, [(reading(99, T0 + 3), score(2.0))], None)
    assert windows.next_due() == T0 + 6
    (draft,) = windows.tick(T0 + 6)
    assert (draft.trigger, draft.lo, draft.hi) == (Trigger.SUSPICION, 1, 3)


def test_the_documented_defaults() -> None:
    """A window seals after 60 s, 60 readings, or 5 s after an alarm, unless the configuration differs."""
    windows = Windows(WindowSettings())
    windows.add("d1", 1, T0, [(reading(), CALM)], None)
    assert windows.next_due() == T0 + 60
    windows.add("d1", 2, T0, [(reading(), score(1.0))], None)
    assert windows.next_due() == T0 + 5
    assert windows.add("d1", 3, T0, [(reading(), CALM)] * 57, None) == []
    assert len(windows.add("d1", 4, T0, [(reading(), CALM)], None)) == 1


def test_event_span_seals_before_the_row_that_outgrows_it() -> None:
    """A backlog is cut by event time, as it would have been live."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(at=T0), CALM)], None)
    (draft,) = windows.add("d1", 2, T0 + 0.1, [(reading(at=T0 + 300), CALM)], None)
    assert (draft.trigger, draft.lo, draft.hi, draft.start, draft.end) == (Trigger.AGE, 1, 1, T0, T0)
    (draft,) = seal_all(windows, T0 + 1)
    assert (draft.lo, draft.hi) == (2, 2)


def test_one_message_is_never_split() -> None:
    """Readings of one message stay together even above the count."""
    windows = Windows(SETTINGS)
    many = [(Reading("d1", f"m{index}", T0, 1.0), CALM) for index in range(12)]
    (draft,) = windows.add("d1", 7, T0, many, None)
    assert len(draft.readings) == 12


def test_traceparents_are_bounded() -> None:
    """At most 8 trace contexts travel with a window."""
    windows = Windows(WindowSettings(max_readings=100))
    for seq in range(1, 20):
        windows.add("d1", seq, T0, [(reading(), CALM)], f"00-{seq:032x}-{seq:016x}-01")
    (draft,) = seal_all(windows, T0)
    assert len(draft.traceparents) == 8


def test_state_survives_dump_and_load() -> None:
    """Loaded windows seal as the dumped ones would; windows sealed since are left out."""
    windows = Windows(SETTINGS)
    windows.add("a", 1, T0, [(reading(device="a"), score(1.5, Kind.DRIFT, limit=True))], "t")
    windows.add("b", 2, T0 + 1, [(reading(device="b"), CALM)], None)
    windows.add("c", 3, T0 + 2, [(reading(device="c"), CALM)], None)
    state = json.loads("".join(windows.dump()))
    again = Windows(SETTINGS)
    again.load(state, {"b": 2})
    assert again.next_due() == windows.next_due()
    assert again.lowest_seq() == 1
    drafts = {draft.device: draft for draft in seal_all(again, T0 + 9)}
    assert set(drafts) == {"a", "c"}
    expected = {draft.device: draft for draft in seal_all(windows, T0 + 9)}
    assert drafts["a"] == expected["a"]


def reloaded(windows: Windows) -> Windows:
    """Return windows that were loaded from a dump."""
    again = Windows(SETTINGS)
    again.load(json.loads("".join(windows.dump())), {})
    return again


def test_a_dump_keeps_each_reading_and_score() -> None:
    """Readings come back in order over the pieces of a long dump, and scores that were withheld too."""
    learning = Score(0.0, progress=Progress(3, 20, T0 + 9, "values"), unchecked="K")
    windows = Windows(WindowSettings(max_readings=1000))
    many = [(reading(at, T0 + at), (CALM, learning, score(0.5))[at % 3]) for at in range(250)]
    windows.add("d1", 1, T0, many, None)
    windows.add("d2", 2, T0, [(reading(device="d2"), CALM)], None)
    assert seal_all(reloaded(windows), T0) == seal_all(windows, T0)


def test_a_dump_of_an_older_version_has_no_progress() -> None:
    """Its scores end before the fields that came later."""
    windows = Windows(SETTINGS)
    scored = ["temperature", T0, 20.0, "degC", 0.5, "spike", [19.0, 21.0], False]
    windows.load([["d1", 1, 1, T0, T0, T0, [], None, None, [scored]]], {})
    (draft,) = seal_all(windows, T0)
    assert draft.readings == [(reading(), score(0.5))]


def test_a_dump_comes_in_pieces() -> None:
    """A window of many readings makes no long text, so that other work may come between."""
    windows = Windows(WindowSettings(max_readings=1000))
    windows.add("d1", 1, T0, [(reading(at=T0 + at), CALM) for at in range(500)], None)
    assert max(len(piece) for piece in windows.dump()) < sum(len(piece) for piece in windows.dump()) / 4


def test_new_limits_hold_for_open_windows() -> None:
    """A reload changes when the windows seal that are open already."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(), CALM)], None)
    windows.reconfigure(WindowSettings(max_age_s=10))
    assert windows.next_due() == T0 + 10


def test_an_alarm_that_has_not_settled_waits() -> None:
    """A tick before its time seals nothing."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(99), score(2.0))], None)
    assert windows.tick(T0 + 4.9) == []
    assert [draft.trigger for draft in windows.tick(T0 + 5)] == [Trigger.SUSPICION]


def test_a_tick_seals_each_window_that_is_due() -> None:
    """Old windows of several devices go at once; younger ones stay."""
    windows = Windows(SETTINGS)
    for seq, device in enumerate("abc"):
        windows.add(device, seq + 1, T0 + 10 * seq, [(reading(device=device), CALM)], None)
    assert [draft.device for draft in windows.tick(T0 + 70)] == ["a", "b"]
    assert [draft.device for draft in windows.tick(T0 + 80)] == ["c"]


def spans(windows: Windows) -> list[tuple[float, float]]:
    """Drain and return first and last event time of each window, counted from T0."""
    return [(draft.start - T0, draft.end - T0) for draft in seal_all(windows, T0)]


@pytest.mark.parametrize("times", [(10, 20, 30), (20, 10, 30), (10, 30, 20), (30, 20, 10)])
def test_a_window_spans_its_earliest_to_its_latest_event(times: tuple[int, ...]) -> None:
    """Rows may come in any order of their event times."""
    windows = Windows(SETTINGS)
    for seq, at in enumerate(times, start=1):
        windows.add("d1", seq, T0, [(reading(at=T0 + at), CALM)], None)
    assert spans(windows) == [(10, 30)]


def test_a_message_whose_readings_run_backwards_spans_the_same() -> None:
    """The readings of one message may come in falling order of their event times."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(at=T0 + at), CALM) for at in (9, 4)], None)
    assert spans(windows) == [(4, 9)]


@pytest.mark.parametrize(("first", "second"), [(0, 60), (60, 0)])
def test_a_span_of_just_the_age_is_one_window(first: int, second: int) -> None:
    """Readings that are max_age_s apart stay together, in either order; a moment more parts them."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(at=T0 + first), CALM)], None)
    assert windows.add("d1", 2, T0, [(reading(at=T0 + second), CALM)], None) == []
    beyond = second + (0.5 if second > first else -0.5)
    (draft,) = windows.add("d1", 3, T0, [(reading(at=T0 + beyond), CALM)], None)
    assert (draft.trigger, draft.lo, draft.hi) == (Trigger.AGE, 1, 2)


def test_an_alarm_in_a_backlog_settles_in_event_time() -> None:
    """Rows that come at once are cut settle_s after the alarm by their event times, as live ones would be."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(at=T0), CALM)], None)
    windows.add("d1", 2, T0, [(reading(99, T0 + 1), score(2.0))], None)
    assert windows.add("d1", 3, T0, [(reading(99, T0 + 6), score(2.0))], None) == []
    (draft,) = windows.add("d1", 4, T0, [(reading(at=T0 + 6.5), CALM)], None)
    assert (draft.trigger, draft.lo, draft.hi) == (Trigger.SUSPICION, 1, 3)
    assert [item.lo for item in seal_all(windows, T0)] == [4]


def test_without_an_alarm_a_backlog_is_cut_by_age_alone() -> None:
    """A gap longer than the settle time parts nothing where nothing has alarmed."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(at=T0), CALM)], None)
    assert windows.add("d1", 2, T0, [(reading(at=T0 + 30), CALM)], None) == []


@pytest.mark.parametrize(("level", "due"), [(0.999, 60), (1.0, 5), (1.001, 5)])
def test_a_score_of_exactly_one_is_an_alarm(level: float, due: int) -> None:
    """1.0 is the alarm line: on it the window settles, just below it only ages."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(), score(level))], None)
    assert windows.next_due() == T0 + due


def test_the_first_alarm_of_a_window_counts() -> None:
    """A later alarm, in the same message or another, does not put the seal off."""
    windows = Windows(SETTINGS)
    windows.add("d1", 1, T0, [(reading(99, T0 + at), score(2.0)) for at in (0, 4)], None)
    windows.add("d1", 2, T0 + 3, [(reading(99, T0 + 5), score(2.0))], None)
    assert windows.next_due() == T0 + 5
    (draft,) = windows.add("d1", 3, T0 + 3, [(reading(at=T0 + 5.5), CALM)], None)
    assert (draft.trigger, draft.hi) == (Trigger.SUSPICION, 2)


SCORES = {
    "calm": CALM,
    "learning": Score(0.0),
    "in another unit": Score(0.0, unchecked="degF"),
    "beyond a limit": Score(2.0, Kind.OUT_OF_RANGE, (0.0, 1.0), limit=True),
}


ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(list(SCORES))), min_size=1, max_size=3)


@given(st.lists(ROWS, min_size=1))
def test_of_a_series_that_is_learnt_the_last_progress_is_kept(rows: list[list[tuple[str, str]]]) -> None:
    """Nothing else changes, and the window is concluded as if each reading had its own."""
    windows = Windows(WindowSettings(max_age_s=1e6, max_readings=5000, settle_s=1000))
    every: list[tuple[Reading, Score]] = []
    for seq, row in enumerate(rows, 1):
        scored = []
        for place, (metric, name) in enumerate(row):
            plain = SCORES[name]
            progress = None if plain is CALM else Progress(seq * 10 + place, 1000)
            scored.append((Reading("d1", metric, T0 + seq, 1.0), replace(plain, progress=progress)))
        every += scored
        assert windows.add("d1", seq, T0, scored, None) == []
    (draft,) = seal_all(windows, T0)
    assert [one for one, _ in draft.readings] == [one for one, _ in every]
    assert find_unjudged(draft.readings) == find_unjudged(every)
    assert opine(draft.readings, None) == opine(every, None)
    kept = [(one.metric, found) for one, found in draft.readings]
    assert [replace(one, progress=None) for _, one in kept] == [
        replace(one, progress=None) for _, one in every
    ]
    if all(len(row) == 1 for row in rows):
        plain_ones = [
            metric for metric, one in kept if one.progress and one == Score(0.0, progress=one.progress)
        ]
        assert len(plain_ones) == len(set(plain_ones))


def test_sealing_a_device_seals_it_alone() -> None:
    """Its window ends with the given trigger and clock, once; other devices are left alone."""
    windows = Windows(SETTINGS)
    windows.add("a", 1, T0, [(reading(99, device="a"), score(2.0))], None)
    windows.add("b", 2, T0 + 1, [(reading(device="b"), CALM)], None)
    (draft,) = windows.seal_device("a", T0 + 2, Trigger.SILENCE)
    assert (draft.device, draft.trigger, draft.lo, draft.hi, draft.sealed) == (
        "a", Trigger.SILENCE, 1, 1, T0 + 2,
    )  # fmt: skip
    assert windows.seal_device("a", T0 + 3, Trigger.SILENCE) == []
    assert windows.seal_device("c", T0 + 3, Trigger.SILENCE) == []
    assert windows.next_due() == T0 + 61  # the alarm of a went with it
    assert windows.tick(T0 + 30) == []
    assert [item.device for item in seal_all(windows, T0 + 31)] == ["b"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(min_value=0, max_value=90),
            st.sampled_from([0.0, 0.5, 1.0, 4.0]),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_every_reading_is_in_exactly_one_window(steps: list[tuple[str, int, float, bool]]) -> None:
    """Whatever the sequence, a device's windows are contiguous and hold each of its rows once."""
    windows, clock, drafts = Windows(SETTINGS), T0, []
    for seq, (device, gap, level, tick) in enumerate(steps, start=1):
        clock += gap
        if tick:
            drafts += windows.tick(clock)
        drafts += windows.add(device, seq, clock, [(reading(seq, clock, device), score(level))], None)
    drafts += seal_all(windows, clock)
    held = [(draft.device, int(item.value)) for draft in drafts for item, _ in draft.readings]
    assert sorted(held) == sorted((device, seq) for seq, (device, *_) in enumerate(steps, start=1))
    for name in "abc":
        spans = [(draft.lo, draft.hi) for draft in drafts if draft.device == name]
        assert all(earlier[1] < later[0] for earlier, later in pairwise(spans))


def test_id_depends_on_everything_that_fixes_a_window() -> None:
    """Two windows that differ in anything have different ids; the same window always has the same."""
    base: dict[str, Any] = dict.fromkeys(("journal", "agent", "device"), "x")
    base |= {"trigger": Trigger.AGE, "lo": 1, "hi": 2, "last_seq": 2, "count": 2}
    others = {key: "y" if value == "x" else 9 for key, value in base.items()} | {"trigger": Trigger.COUNT}
    ids = {identify(**base), *(identify(**{**base, key: other}) for key, other in others.items())}
    assert len(ids) == 9
    assert identify(**base) in ids


def test_an_id_is_the_same_in_every_version() -> None:
    """A window that an older version sealed keeps its id, whatever characters its device has."""
    given = identify(
        journal="j", agent="gw", device="Küche/th1", trigger=Trigger.COUNT, lo=1, hi=9, last_seq=9, count=5
    )
    assert given == "b472dfbafb67decd9c75abaf065b8107"


def test_a_dump_keeps_the_word_behind_a_number() -> None:
    """The summary of a window that was open at a restart can still name it."""
    windows = Windows(SETTINGS)
    door = Reading("d1", "contact", T0, 1.0, None, "open")
    windows.add("d1", 1, T0, [(door, CALM), (replace(door, unit="x"), score(1.5)), (reading(), CALM)], None)
    assert seal_all(reloaded(windows), T0) == seal_all(windows, T0)


def test_a_dump_keeps_the_partner_of_a_series() -> None:
    """The summary of a window that was open at a restart names it."""
    windows = Windows(SETTINGS)
    partner = Partner("flow", 41.0, "degC", 38.0, "Tue 14:00 UTC")
    parted = Score(1.5, Kind.OTHER, (30.0, 33.0), partner=partner)
    windows.add("d1", 1, T0, [(reading(), parted), (reading(), CALM)], None)
    sealed = seal_all(reloaded(windows), T0)
    assert "the other 41 degC; usual is then" in opine(sealed[0].readings).summary
    assert sealed == seal_all(windows, T0)
