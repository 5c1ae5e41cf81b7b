"""Charts of a device: thinned values, usual ranges, time of a finding, bounds."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import Finding, FindingState, Kind, Seen, Severity
from agent.journal import JournalSettings, findings
from agent.journal.store import Store
from agent.status.device_history import HOURS, MAX_ID, POINTS, read_device, thin
from tests.journal.rig import Rig, arrival, link_up, sealing, window

NOW = 1_700_000_000.0
DAY_S = 86_400.0
END = DAY_S
OPENED = NOW - 5 * DAY_S


def test_a_peak_survives_the_thinning() -> None:
    """100,000 values are 144 points, and the one that differs is in its place."""
    values = [(place * END / 100_000, 20.0, 99.0 if place == 70_001 else 20.0) for place in range(100_000)]
    points = thin(values, 0.0, END)
    assert len(points) == POINTS
    assert [place for place, (_, low, high) in enumerate(points) if (low, high) != (20.0, 20.0)] == [100]
    assert points[100][1:] == (20.0, 99.0)


def test_a_gap_has_no_point() -> None:
    """Silence is not drawn as a value."""
    points = thin([(0.0, 1.0, 1.0), (END, 2.0, 2.0)], 0.0, END)
    assert [(low, high) for _, low, high in points] == [(1.0, 1.0), (2.0, 2.0)]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=",
        "id=nobody",
        "x",
        "id=%ff%00",
        "id=" + "a" * 9000,
        "&" * 50,
        "id=<script>",
        "id=d1&hours=1e9",
        "id=d1&hours=-6&finding=%00",
    ],
)
def test_a_hostile_query_is_an_empty_answer(query: str, tmp_path: Path) -> None:
    """Nothing is found, id and time are bounded, and the answer is JSON."""
    answer = json.loads(read_device(tmp_path, query, now=END))
    assert (answer["series"], answer["findings"], answer["hours"]) == ([], [], 24)
    assert len(answer["id"]) <= MAX_ID


def finding(store: Store, one: Finding, clock: float) -> None:
    findings.write(store._connection, one, clock=clock)


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """A journal with a reading each 20 minutes of a week; one is 90. The last ones are still rows."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=0)
    with Rig(tmp_path, settings=settings, wall=lambda: NOW) as rig:
        rig.offer([link_up(1)])
        for place in range(7 * 72):
            at = NOW - 7 * DAY_S + place * 1200.0
            value = b"90" if at == OPENED else b"20"
            for metric in ("temperature", "humidity"):
                rig.offer([arrival(place, topic=f"sensors/d1/{metric}", payload=value, received=at)])
        rig.settle()
        for hour in range(7 * 24):
            sealed = replace(window(f"w{hour}", "d1"), end=NOW - 7 * DAY_S + hour * 3600.0)
            rig.write(sealing(sealed, [("temperature", 18.0, 22.0)]))
        last = rig.journal.stats.journaled - 4
        rig.write(lambda store: store.snapshot(last, b""))
        rig.write(lambda store: store._connection.execute("DELETE FROM windows"))
        while rig.write(lambda store: store.prune()):
            pass
        one = Finding(
            "f1", "d1", Kind.SPIKE, Severity.WARNING, OPENED, OPENED,
            seen=(Seen("temperature", Kind.SPIKE, 90.0, 90.0),),
        )  # fmt: skip
        over = replace(one, id="f2", opened=NOW - DAY_S, state=FindingState.CLEARED)
        rig.write(lambda store: finding(store, one, OPENED))
        rig.write(lambda store: finding(store, over, NOW - DAY_S / 2))
    return tmp_path


def ask(folder: Path, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(read_device(folder, query, now=NOW))
    return answer


@pytest.mark.parametrize("hours", HOURS)
def test_days_are_shown_with_their_peaks_and_usual_ranges(week: Path, hours: int) -> None:
    """Rows and samples are one line, and it begins with the first of them."""
    answer = ask(week, f"id=d1&hours={hours}")
    assert [one["name"] for one in answer["series"]] == ["humidity", "temperature"]
    humidity, temperature = answer["series"]
    highest = max(high for _, _, high in temperature["points"])
    assert highest == (90.0 if hours > 24 * 5 else 20.0)
    assert temperature["points"][-1][0] > NOW - 3600
    assert temperature["points"][0][0] < NOW - min(hours, 7 * 24) * 3600 + 3600
    assert len(temperature["points"]) <= POINTS
    assert humidity["usual"] == []
    assert {tuple(usual) for _, *usual in temperature["usual"]} == {(18.0, 22.0)}
    times = [at for at, *_ in temperature["usual"]]
    assert max(after - before for before, after in pairwise(times)) <= 3600 * (1 + hours / POINTS)
    assert len(times) <= POINTS + 1


def test_a_finding_is_shown_in_its_time_with_what_it_cites_first(week: Path) -> None:
    """From before its opening to now, or to after its end."""
    answer = ask(week, "finding=f1")
    assert answer["id"] == "d1"
    assert [one["name"] for one in answer["series"]] == ["temperature", "humidity"]
    points = answer["series"][0]["points"]
    assert max(high for _, _, high in points) == 90.0
    assert OPENED - 13 * 3600 < points[0][0] < OPENED - 11 * 3600
    assert points[-1][0] > NOW - 3600
    over = ask(week, "finding=f2")["series"][0]["points"]
    assert NOW - DAY_S / 2 < over[-1][0] < NOW - DAY_S / 2 + 7 * 3600
    assert [one["id"] for one in answer["findings"]] == ["f2", "f1"]


def test_a_finding_that_is_not_kept_changes_nothing(week: Path) -> None:
    assert ask(week, "id=d1&finding=f9") == ask(week, "id=d1")
    assert ask(week, "finding=f9")["series"] == []
