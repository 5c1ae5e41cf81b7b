"""New devices and series are limited for each source; known ones never notice."""

import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.domain.records import Arrival, DecodeError, Reading
from agent.journal import JournalSettings
from agent.journal.series import SERIES_X, Newcomers
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, link_up

BURST = 100


class Door:
    """Newcomers over a table of series of their own, in made-up time."""

    def __init__(self, *, burst: int = 3, heard: Iterable[str] = ()) -> None:
        self.connection = sqlite3.connect(":memory:")
        self.connection.execute("CREATE TABLE series (device TEXT)")
        self.newcomers = Newcomers(
            self.connection, knows=set(heard).__contains__, per_min={"a": 60}, burst=burst
        )

    def admits(self, *devices: str, at: float = 0.0, source: str = "a") -> list[str]:
        """Return the devices of one message whose readings pass."""
        readings = tuple(Reading(device, "t", 0.0, 1.0, None) for device in devices)
        try:
            return [reading.device for reading in self.newcomers.admit(source, readings, at)]
        except DecodeError:
            return []


def test_a_burst_then_so_many_a_minute() -> None:
    """Three at once, then one a second; an idle hour does not save up more than the burst."""
    door = Door()
    assert [bool(door.admits(str(number))) for number in range(5)] == [True] * 3 + [False] * 2
    assert [bool(door.admits(f"b{number}", at=2.0)) for number in range(3)] == [True, True, False]
    assert [bool(door.admits(f"c{number}", at=3602.0)) for number in range(4)] == [True] * 3 + [False]


def test_known_devices_pass_when_the_bucket_is_empty() -> None:
    """One admitted before, one of which the journal has a series, one that the detector tracks."""
    door = Door(heard=["tracked"])
    door.connection.execute("INSERT INTO series VALUES ('journaled')")
    for number in range(5):
        door.admits(f"n{number}")
    assert [door.admits(device) for device in ("n0", "journaled", "tracked", "n4")] == [
        ["n0"],
        ["journaled"],
        ["tracked"],
        [],
    ]


def test_each_source_has_a_bucket_of_its_own() -> None:
    """A flood of one source leaves the others theirs."""
    door = Door()
    for number in range(5):
        door.admits(str(number))
    assert door.admits("x", source="b") == ["x"]


def test_a_message_keeps_the_readings_of_the_devices_that_may() -> None:
    """One new device too many never costs the others in the same message theirs."""
    door = Door()
    assert door.admits("a", "b", "a", "c", "d", "b") == ["a", "b", "a", "c", "b"]


def test_a_rollback_takes_admissions_back() -> None:
    """The transaction is run again: its devices must not be paid for twice, nor be known before."""
    door = Door()
    door.admits("kept")
    door.newcomers.commit()
    door.admits("one", "two")
    door.newcomers.rollback()
    assert door.admits("one", "two", "three") == ["one", "two"]


def test_devices_that_speak_stay_known_among_many() -> None:
    """A hundred thousand ids over the hours: a device that sent among them is never a newcomer again."""
    door = Door(burst=1)
    assert door.admits("steady") == ["steady"]
    for number in range(100_000):
        door.admits(f"n{number}", at=float(number))
        if number % 5_000 == 0:
            assert door.admits("steady", at=float(number)) == ["steady"]


def test_a_flood_goes_to_quarantine_and_known_devices_go_on(tmp_path: Path) -> None:
    """Beyond the burst: quarantined with the reason and acknowledged; known devices also after a restart."""
    settings = JournalSettings(
        commit_ms=1, ballast_bytes=0, new_devices_per_min={"sensors": 0}, new_devices_burst=BURST
    )
    flood = [arrival(number, topic=f"sensors/n{number}/t", payload=b"1") for number in range(BURST + 20)]
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(1), arrival(1), *flood, arrival(11)])
        rig.acked(BURST + 22)
        stats = rig.journal.stats
        assert stats.quarantined["new_device_limit"] == 21
        assert (stats.journaled, stats.new_refused) == (BURST + 1, {"sensors": 21})
        assert stats.new_refused_at is not None
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(2), *(arrival(n, topic=f"sensors/x{n}/t", generation=2) for n in range(BURST))])
        rig.offer([arrival(1, generation=2), arrival(2, topic="sensors/n9/t", generation=2)])
        rig.acked(BURST + 2)
        assert rig.journal.stats.journaled == BURST + 2


def test_part_of_a_message_is_journaled_and_the_rest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices in one message, one of them one too many: a row with the readings of the other."""

    def pair(item: Arrival) -> Plain:
        names = item.topic.split("/")[1:]
        return Plain(tuple(Reading(name, "t", item.received, 1.0, None) for name in names))

    monkeypatch.setattr(rig_module, "decode", pair)
    settings = JournalSettings(
        commit_ms=1, ballast_bytes=0, new_devices_per_min={"sensors": 0}, new_devices_burst=1
    )
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(1), arrival(1, topic="s/old/new", mono=time.monotonic())])
        rig.settle()
        (row,) = rig.rows
        assert [reading.device for reading in row.readings] == ["old"]  # type: ignore[union-attr]
        assert rig.journal.stats.new_refused == {"sensors": 1}
        assert (rig.journal.stats.readings, rig.acks) == (1, [(1, 2)])


def named(prefix: str, count: int) -> bytes:
    """Return a payload of so many metrics of one device."""
    return json.dumps({f"{prefix}{number}": 1 for number in range(count)}).encode()


def many(item: Arrival) -> Plain:
    """Decode a flat object as the registry would."""
    device = item.topic.rpartition("/")[2]
    return Plain(tuple(Reading(device, name, item.received, 1.0, None) for name in json.loads(item.payload)))


def test_metrics_that_a_known_device_invents_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond its burst a device begins no series; what it began goes on, and another device begins some."""
    monkeypatch.setattr(rig_module, "decode", many)
    settings = JournalSettings(
        commit_ms=1, ballast_bytes=0, new_devices_per_min={"sensors": 0}, new_devices_burst=BURST
    )
    with Rig(tmp_path, settings=settings) as rig:
        flood = [arrival(n, topic="s/evil", payload=named(f"m{n}x", 30)) for n in range(1, 8)]
        known = arrival(8, topic="s/evil", payload=named("m1x", 30))
        other = arrival(9, topic="s/good", payload=named("t", 30))
        rig.offer([link_up(1), *flood, known, other])
        rig.settle()
        stats = rig.journal.stats
        assert len(rig.acks) == 9
        assert (stats.readings, stats.new_refused) == (BURST + 30 + 30, {"sensors": 4})
        assert stats.quarantined["new_series_limit"] == 3


def test_metrics_of_many_devices_are_limited_for_their_source() -> None:
    """Five times as many series as devices, whichever device begins them; a rollback takes them back."""
    door = Door(burst=10)
    assert sum(door.newcomers.admit_series("a", f"d{n}", 0.0) for n in range(60)) == 10 * SERIES_X
    door.newcomers.rollback()
    assert sum(door.newcomers.admit_series("a", "one", 0.0) for _ in range(60)) == 10
    assert door.newcomers.admit_series("a", "another", 0.0)
