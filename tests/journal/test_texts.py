"""Signs of injection are sought after the commit, and never cost a message."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from agent.domain.records import Arrival
from tests.journal.rig import Rig, arrival, link_up

Texts = list[tuple[Arrival, bool]]


def opened(folder: Path, look: Callable[[Texts], None]) -> Rig:
    rig = Rig(folder)
    rig.open()
    writer = rig.journal._writer
    writer._wiring = replace(writer._wiring, on_texts=look)
    rig.start_thread()
    return rig


def quarantined(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])


def test_texts_are_looked_at_once_they_are_on_disk(tmp_path: Path) -> None:
    """By then another process sees the rows, and the acks are on their way; readings are not looked at."""
    looked: list[tuple[int, int, list[tuple[bytes, bool]]]] = []

    def look(texts: Texts) -> None:
        seen = [(one.payload, garbled) for one, garbled in texts]
        looked.append((quarantined(tmp_path), len(rig.acks), seen))

    rig = opened(tmp_path, look)
    rig.offer([link_up(1), arrival(1), *(arrival(number, payload=b"\n" * 4096) for number in range(2, 42))])
    rig.settle()
    rig.stop()
    assert sum(len(seen) for _, _, seen in looked) == 40
    seen_so_far = 0
    for rows, acks, seen in looked:
        seen_so_far += len(seen)
        assert rows >= seen_so_far
        assert acks >= seen_so_far
        assert set(seen) == {(b"\n" * 4096, True)}


def test_a_search_that_fails_loses_nothing(tmp_path: Path) -> None:
    """Even the worst search comes after the commit, so the next start does not meet its text again."""

    def fail(_texts: Texts) -> None:
        raise MemoryError

    rig = opened(tmp_path, fail)
    rig.offer([link_up(1), arrival(1, payload=b"\n" * 4096)])
    rig.thread.join(60)
    assert isinstance(rig.error, MemoryError)
    assert len(rig.acks) == 1
    assert quarantined(tmp_path) == 1
    with Rig(tmp_path) as again:
        again.settle()
    assert quarantined(tmp_path) == 1
