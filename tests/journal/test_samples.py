"""Samples: what stays of readings that are pruned, for how long, and how many."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.records import Finding, Kind, Severity
from agent.journal import findings, samples
from agent.journal.reader import Reader
from agent.journal.samples import AFTER_S, BEFORE_S, FINE_S, GROUP, SLOT_S, Samples
from agent.journal.schema import migrate
from agent.testing.failpoint import MARKER, VARIABLE
from tests.journal.rig import Rig, arrival, link_up

NOW = 1_800_000_000.0
DAY_S = 86_400.0
KEEP_S = 7 * DAY_S
Row = tuple[int, float, float]  # series, time, value

PRUNE = """
import sys
from pathlib import Path
from agent.testing.failpoint import arm
from tests.journal.rig import Rig
arm(Path(sys.argv[1]))
with Rig(Path(sys.argv[1]), wall=lambda: 1_700_000_500.0) as rig:
    for _ in range(500):  # one point kills a moment after it
        rig.write(lambda store: store.prune())
"""


class Site:
    """The tables in memory: series 1 to 3 are of device a, b and b."""

    def __init__(self, *, max_bytes: int = 2**30) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, version=0)
        self.connection.executemany(
            "INSERT INTO series(id, device, metric) VALUES (?,?,?)",
            [(1, "a", "t"), (2, "b", "t"), (3, "b", "h")],
        )
        self.samples = Samples(keep_s=KEEP_S, max_bytes=max_bytes)
        self._seq = 0

    def prune_readings(
        self, rows: Iterable[Row], now: float, *, seed: bool = False, table: str = "readings"
    ) -> None:
        """Let readings be rows and then none."""
        for series, at, value in rows:
            self._seq += 1
            self.connection.execute(
                "INSERT INTO messages VALUES (?,1,1,'t',x'','',?,?,?)", (self._seq, seed, at, at)
            )
            self.connection.execute(f"INSERT INTO {table} VALUES (?,0,?,?,?)", (self._seq, series, at, value))
        self.samples.take(self.connection, self._seq, now)
        for name in ("messages", "readings", "history"):
            self.connection.execute(f"DELETE FROM {name}")

    def prune(self, now: float, *, early: bool = False, findings_gone: bool = False) -> None:
        """Let all steps be done."""
        for _ in range(40):
            self.samples.prune(self.connection, now, early=early, findings_gone=findings_gone)
            findings_gone = False

    def find(self, device: str, opened: float) -> Finding:
        one = Finding(f"f{opened}", device, Kind.SPIKE, Severity.WARNING, opened, opened)
        findings.write(self.connection, one, clock=opened)
        return one

    def read(self, series: int, metric: str = "t") -> list[samples.Sample]:
        found = samples.read(
            self.connection, {series: metric}, after=NOW - 40 * DAY_S, before=NOW + 40 * DAY_S
        )
        return found.get(metric, [])

    def count(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM samples").fetchone()[0])


@pytest.mark.parametrize("seed", range(5))
def test_no_peak_is_lost_by_any_order_of_pruning(seed: int) -> None:
    """Lowest and highest value of each slot are those of its readings, however these are cut up."""
    draw, site = random.Random(seed), Site()
    rows = [(draw.randint(1, 3), NOW - draw.random() * FINE_S / 2, draw.gauss(20, 5)) for _ in range(800)]
    wanted: dict[tuple[int, int], list[float]] = defaultdict(list)
    for series, at, value in rows:
        wanted[series, int(at / SLOT_S)].append(value)
    while rows:
        cut = draw.randint(1, 60)
        site.prune_readings(rows[:cut], NOW, table=draw.choice(["readings", "history"]))
        rows = rows[cut:]
    site.prune(NOW)
    stored = site.connection.execute("SELECT series, slot, low, high FROM samples").fetchall()
    assert {(series, slot): (low, high) for series, slot, low, high in stored} == {
        key: (min(values), max(values)) for key, values in wanted.items()
    }


def test_a_retained_value_is_no_sample() -> None:
    """Nor is a time that no chart shows, nor one of a clock in the far future."""
    site = Site()
    site.prune_readings([(1, NOW, 1.0)], NOW, seed=True)
    site.prune_readings([(1, NOW - KEEP_S - 1, 2.0), (1, NOW + 40 * DAY_S, 3.0)], NOW)
    assert site.count() == 0


def test_hours_later_six_become_one_with_their_peaks() -> None:
    """Except around the opening of a finding of the same device."""
    site = Site()
    begin = NOW // (SLOT_S * GROUP) * SLOT_S * GROUP
    rows = [(series, begin + place * SLOT_S, float(place)) for series in (1, 2) for place in range(24)]
    site.prune_readings(rows, NOW)
    site.find("b", begin)
    site.prune(begin + DAY_S)
    one, other = site.read(1), site.read(2)
    assert [(sample.low, sample.high) for sample in one] == [(0, 5), (6, 11), (12, 17), (18, 23)]
    assert [(sample.low, sample.high) for sample in other] == [(place, place) for place in range(24)]


def test_a_late_reading_of_hours_ago_joins_what_became_one() -> None:
    """A logger that sends its readings thrice a day."""
    site = Site()
    site.prune_readings([(1, NOW - DAY_S, 1.0)], NOW)
    site.prune(NOW)
    site.prune_readings([(1, NOW - DAY_S + 1, 9.0)], NOW, table="history")
    site.prune(NOW)
    assert [(sample.low, sample.high) for sample in site.read(1)] == [(1.0, 9.0)]


def test_a_finding_keeps_its_samples_as_long_as_it_is_kept() -> None:
    """Those of a week ago go, those around its opening of the same device stay, and go with it."""
    site = Site()
    opened = NOW + 12 * 3600.0
    finding = site.find("b", opened)
    for day in range(10):
        at = NOW + day * DAY_S
        hours = [(series, at + hour * 3600, 1.0) for series in (1, 2, 3) for hour in range(24)]
        site.prune_readings(hours, at + DAY_S)
        site.prune(at + DAY_S)
    end = NOW + 30 * DAY_S
    site.prune(end)
    assert site.read(1) == []
    for series, metric in ((2, "t"), (3, "h")):
        times = [sample.at for sample in site.read(series, metric)]
        assert len(times) == (BEFORE_S + AFTER_S) / 3600 + 1
        assert min(times) >= opened - BEFORE_S
        assert max(times) <= opened + AFTER_S + SLOT_S
    site.connection.execute("DELETE FROM findings WHERE id = ?", (finding.id,))
    site.prune(end, findings_gone=True)
    assert site.count() == 0


def test_there_is_a_bound_of_all_rows() -> None:
    """The oldest go first, in a journal of 16 MiB after some 35,000 rows."""
    site = Site(max_bytes=2**20)
    bound = int(samples.SHARE * 2**20 / samples.ROW_BYTES)
    rows = [(series, NOW - slot * SLOT_S, 1.0) for slot in range(70) for series in range(1, 61)]
    site.prune_readings(rows, NOW)
    assert site.count() == len(rows) > bound
    site.prune(NOW)
    assert bound - 60 * GROUP <= site.count() <= bound
    newest = site.connection.execute("SELECT max(slot) FROM samples").fetchone()[0]
    assert newest == int(NOW / SLOT_S)


def test_a_journal_short_of_room_keeps_a_day() -> None:
    """Then what comes late for a day that is gone is not taken."""
    site = Site()
    site.prune_readings([(1, NOW - day * DAY_S + 60, 1.0) for day in range(6)], NOW)
    site.prune(NOW, early=True)
    assert len(site.read(1)) == 2
    site.prune_readings([(1, NOW - 3 * DAY_S, 1.0)], NOW)
    assert len(site.read(1)) == 2


def test_usual_ranges_stand_beside_the_values() -> None:
    """Before or after them, of the newest series of that name, and of no unknown one."""
    site = Site()
    at = NOW // (SLOT_S * GROUP) * SLOT_S * GROUP
    samples.note_usual(site.connection, "a", at + 400, [("t", 1.0, 2.0), ("unknown", 0.0, 1.0)])
    site.prune_readings([(1, at + 10, 7.0), (1, at + 400, 8.0)], at)
    assert [(one.low, one.high, one.usual) for one in site.read(1)] == [(7, 7, (1, 2)), (8, 8, None)]
    samples.note_usual(site.connection, "a", at + 900, [("t", 3.0, 4.0)])
    site.prune(at + DAY_S)
    assert [(one.low, one.high, one.usual) for one in site.read(1)] == [(7, 8, (3, 4))]
    assert site.count() == 1


def seen(folder: Path) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value that a chart shows of each device."""
    found = {}
    with Reader.open(folder) as reader:
        for device in reader.devices():
            values = [
                value
                for values in reader.last_readings(device, after=0.0, before=2e9, max_rows=10_000).values()
                for _, value in values
            ]
            for kept in reader.samples_of(device, after=1_699_990_000.0, before=1_700_010_000.0).values():
                values += [value for one in kept for value in (one.low, one.high) if value is not None]
            found[device] = (min(values), max(values))
    return found


@pytest.mark.process
@pytest.mark.parametrize("point", ["c11_pruning", "c2_committing", "c3_committed"])
def test_killed_while_rows_become_samples(point: str, tmp_path: Path) -> None:
    """Before the commit they are rows, after it samples: the chart shows the same."""
    with Rig(tmp_path, wall=lambda: 1_700_000_500.0) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(200))])
        rig.settle()
        rig.write(lambda store: store.snapshot(200, b""))
    before = seen(tmp_path)
    assert before["d3"] == (23.0, 213.0)
    (tmp_path / MARKER).touch()
    argv = [sys.executable, "-c", PRUNE, str(tmp_path)]
    killed = subprocess.run(argv, env={**os.environ, VARIABLE: point}, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        rows, sampled = (
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("readings", "samples")
        )
    assert (rows > 0) != (sampled > 0)
    assert point == "c2_committing" or (sampled > 0) == (point == "c3_committed")  # somewhere in the commit
    assert seen(tmp_path) == before
