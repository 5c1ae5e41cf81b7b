"""Settings as rows of the journal: a replay judges as the process before did."""

import asyncio
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.detect import Expect, Limit, QuietHours, Tuning
from agent.domain.records import MessageRow, SettingsRow
from agent.journal.reader import Reader
from agent.pipeline.judging import Judging
from agent.pipeline.window import WindowSettings
from tests.journal.rig import arrival, link_up
from tests.pipeline.test_restart import Life, in_a_life

WINDOW = WindowSettings(max_age_s=1e6, max_readings=5000, settle_s=1e6)
NARROW = Judging(WINDOW, (Limit("*/*", high=30.0),), (Tuning("*/*", sensitivity="eager"),))
WIDE = Judging(WINDOW, (Limit("*/*", high=300.0),), (Tuning("*/*", ignore=True),))
SHORT = Judging(WindowSettings(max_age_s=1e6, max_readings=3, settle_s=1e6), WIDE.limits, WIDE.tuning)
State = tuple[bytes, str]


@pytest.mark.parametrize(
    "judging",
    [
        Judging(WindowSettings()),
        Judging(
            WindowSettings(1.5, 7, 0.25),
            (Limit('a/"b"', 1.0, None, "°C"), Limit("*", None, -2.5)),
            (
                Tuning("pv/*", expect=Expect(30.0, (QuietHours.parse("fri 18:00-07:00"),))),
                Tuning("x/[ab]*", ignore=True, sensitivity="calm"),
            ),
        ),
    ],
)
def test_their_text_gives_them_back(judging: Judging) -> None:
    """The same settings have the same text, so that a row is made only where something changed."""
    again = Judging.read(judging.text())
    assert again == judging
    assert again.text() == judging.text()


def state_of(life: Life) -> State:
    """Return the series of the detector and the open windows with their scores, bit by bit."""
    series = [array("d", state).tobytes() for *_, state in life.detector._rows()]
    return b"".join(series), "".join(life.pipeline.windows.dump())


async def send(life: Life, numbers: Iterable[int]) -> None:
    life.rig.offer(
        arrival(number, topic="sensors/d1/level", payload=f"{40.5 + number % 7}".encode())
        for number in numbers
    )
    await life.feed()


async def begin(life: Life) -> None:
    """Let a process that judges by NARROW take a snapshot, and readings behind it."""
    life.pipeline.judge_by(NARROW)
    life.rig.offer([link_up(1)])
    await life.feed()
    await send(life, range(20))
    life.pipeline.snapshot()
    await life.feed()
    await send(life, range(20, 40))


async def reload(life: Life) -> State:
    await begin(life)
    life.pipeline.judge_by(WIDE)
    await life.feed()
    await send(life, range(40, 60))
    return state_of(life)


async def reload_without_a_row(life: Life) -> State:
    await begin(life)
    life.pipeline._core.judge_by(WIDE)
    await send(life, range(40, 60))
    return state_of(life)


async def look(life: Life) -> State:
    return state_of(life)


def configured(judging: Judging) -> dict[str, Any]:
    """Return how a process starts that finds these settings in its file."""
    return {"judging": judging}


def test_a_kill_between_reload_and_snapshot_changes_no_score(tmp_path: Path) -> None:
    """The next process has the new file; it judges the rows before the reload by the old one."""
    before = in_a_life(tmp_path, reload, **configured(NARROW))
    assert in_a_life(tmp_path, look, **configured(WIDE)) == before
    assert in_a_life(tmp_path, look, **configured(WIDE)) == before


def test_without_the_row_they_would_change(tmp_path: Path) -> None:
    """The control: detector and scores of the open window are others then."""
    detector, windows = in_a_life(tmp_path, reload_without_a_row, **configured(NARROW))
    with_rows = in_a_life(tmp_path, look, **configured(WIDE))
    assert windows != with_rows[1]
    assert detector != with_rows[0]


async def begin_and_look(life: Life) -> State:
    await begin(life)
    return state_of(life)


async def go_on(life: Life) -> tuple[State, int]:
    """Take the settings of the file, as the app does at a start, and one more reading."""
    replayed = state_of(life)
    life.pipeline.judge_by(WIDE)
    await life.feed()
    await send(life, [60])
    return replayed, len(life.rig.rows)


def test_a_file_that_changed_while_the_agent_was_dead_holds_from_the_start_on(tmp_path: Path) -> None:
    """Rows of before are judged as they were; the change is one row, once."""
    before = in_a_life(tmp_path, begin_and_look, **configured(NARROW))
    replayed, rows = in_a_life(tmp_path, go_on, **configured(WIDE))
    assert (replayed, rows) == (before, 2)
    assert in_a_life(tmp_path, go_on, **configured(WIDE))[1] == 1
    with Reader.open(tmp_path) as reader:
        found = [row.body for row in reader.rows_after(0) if isinstance(row, SettingsRow)]
    assert found == [NARROW.text(), WIDE.text()]


async def shorten(life: Life) -> tuple[int, str]:
    await begin(life)
    life.pipeline.judge_by(SHORT)
    await life.feed()
    return sum(life.pipeline.stats.windows.values()), state_of(life)[1]


async def look_at_windows(life: Life) -> tuple[int, str]:
    return sum(life.pipeline.stats.windows.values()), state_of(life)[1]


def test_an_open_window_is_not_cut_by_bounds_that_came_later(tmp_path: Path) -> None:
    """Windows shrink at a reload; those before it are replayed whole."""
    before = in_a_life(tmp_path, shorten, **configured(NARROW))
    assert before[0] == 0
    assert in_a_life(tmp_path, look_at_windows, **configured(SHORT)) == before


async def prune(life: Life) -> None:
    await reload(life)
    life.pipeline.snapshot()
    await life.feed()
    await asyncio.to_thread(
        life.rig.write, lambda store: store._pruner.step(store._connection, early=True, full=True)
    )
    life.pipeline.judge_by(NARROW)
    await life.feed()


def test_pruning_keeps_the_settings_of_the_snapshot(tmp_path: Path) -> None:
    """Those that a replay begins with stay, older ones go."""
    in_a_life(tmp_path, prune, **configured(NARROW))
    with Reader.open(tmp_path) as reader:
        rows = list(reader.rows_after(0))
        assert not reader.is_whole()
    assert [row.body for row in rows if isinstance(row, SettingsRow)] == [WIDE.text(), NARROW.text()]
    assert not any(isinstance(row, MessageRow) for row in rows)
    recovered = in_a_life(tmp_path, recovered_of, **configured(NARROW))
    assert recovered == (WIDE.text(), NARROW.text())


async def recovered_of(life: Life) -> tuple[str | None, str | None]:
    return life.journal.recovered.settings, life.journal.recovered.last_settings
