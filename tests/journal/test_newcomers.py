"""New device ids are limited for each source; known devices never notice."""

import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.journal import JournalSettings
from agent.journal.newcomers import Newcomers
from agent.records import Arrival, DecodeError, Reading
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
    """A hundred thousand ids over the hours: a device heard among them is never a newcomer again."""
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
        rig.until(lambda: len(rig.acks) == BURST + 22)
        stats = rig.journal.stats
        assert stats.quarantined["new_device_limit"] == 21
        assert (stats.journaled, stats.new_refused) == (BURST + 1, {"sensors": 21})
        assert stats.new_refused_at is not None
    with Rig(tmp_path, settings=settings) as rig:
        rig.offer([link_up(2), *(arrival(n, topic=f"sensors/x{n}/t", generation=2) for n in range(BURST))])
        rig.offer([arrival(1, generation=2), arrival(2, topic="sensors/n9/t", generation=2)])
        rig.until(lambda: len(rig.acks) == BURST + 2)
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
