"""The last anomaly verdict of an open finding stays while the finding is open."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.domain.records import (
    Cause,
    Finding,
    FindingState,
    Grounds,
    Incident,
    Kind,
    Move,
    Place,
    Severity,
    Way,
    Window,
)
from agent.journal.store import Store
from tests.journal.rig import Rig, sealing, window

FINDING = Finding("f1", "d", Kind.SILENCE, Severity.CRITICAL, 1.0, 1.0)


def body(window_id: str, status: str = "anomaly") -> bytes:
    return json.dumps({"id": window_id, "finding_id": FINDING.id, "status": status}).encode()


def conclude(one: Window, status: str, cleared: bool, store: Store) -> None:
    store.conclude(
        window=one,
        verdict=body(one.id, status),
        finding=replace(FINDING, state=FindingState.CLEARED) if cleared else FINDING,
        outgoing=(),
        anomaly=status == "anomaly",
    )


def say(rig: Rig, *steps: tuple[str, str, bool]) -> None:
    """Conclude a window for each id, status and whether it clears the finding."""
    for window_id, status, cleared in steps:
        one = window(window_id)
        rig.write(sealing(one))
        rig.write(partial(conclude, one, status, cleared))


def told(folder: Path) -> dict[str, bytes]:
    with Rig(folder) as rig:
        return rig.journal.recovered.told


def test_the_last_anomaly_of_an_open_finding_is_kept(tmp_path: Path) -> None:
    """A calm verdict in between does not replace it, and pruning the verdicts does not take it away."""
    with Rig(tmp_path) as rig:
        say(rig, ("a" * 32, "anomaly", False), ("b" * 32, "anomaly", False), ("c" * 32, "normal", False))
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        connection.execute("DELETE FROM verdicts")
        connection.commit()
    assert told(tmp_path) == {"f1": body("b" * 32)}


def test_it_goes_when_the_finding_is_cleared(tmp_path: Path) -> None:
    """Nothing is left of it but the verdicts."""
    with Rig(tmp_path) as rig:
        say(rig, ("a" * 32, "anomaly", False), ("b" * 32, "normal", True))
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM told").fetchone() == (0,)


def test_grounds_and_incidents_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Of open findings, and of the last one that is over with its incident; a merged one is not the past."""
    place, move = Place("s", "bridge"), Move("m", Way.UP, 2.0, 30.0)
    opened = replace(FINDING, incident="i1", score=2.5, grounds=Grounds("s", "bridge", 60.0, move))
    over = replace(
        opened, id="f0", incident="i0", state=FindingState.CLEARED, ended=7.0, calm_s=9.0, calm_since=5.0
    )
    silent = replace(opened, id="f2", device="e", grounds=Grounds("s", None, 60.0))
    incident = Incident("i1", 1.0, Cause.TOGETHER, Severity.CRITICAL, 2, place, reviewed=5.0)
    past = replace(incident, id="i0", closed=True)
    merged = replace(incident, id="i9", closed=True, merged_into="i1")

    def write(store: Store) -> None:
        for number, finding in enumerate((over, opened, silent)):
            one = window(f"{number:032x}")
            store.seal(one)
            store.conclude(
                window=one, verdict=b"{}", finding=finding, outgoing=(), changed=(incident, past, merged)
            )

    with Rig(tmp_path) as rig:
        rig.write(write)
    with Rig(tmp_path) as rig:
        left = rig.journal.recovered
    assert {one.id: one for one in left.findings} == {"f1": opened, "f2": silent}
    assert left.closed == (over,)
    assert (left.incidents, left.past_incidents) == ((incident,), (past,))
