"""Both ways of a plain message leave the same behind."""

import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agent.decode.availability import AvailabilitySpec
from agent.decode.partition import Partition, PartitionSettings
from agent.decode.receive import Receiver
from agent.decode.registry import Registry, SourceSpec
from agent.domain.records import Arrival, LinkDown, LinkUp
from agent.journal import JournalSettings
from tests.journal.rig import Rig

pytestmark = pytest.mark.slow

T0 = 1_800_000_000.0
UNSET = 1_400_000_000.0  # a clock here that was not set
GROUP = 64
Item = Arrival | LinkUp | LinkDown

SOURCES = [
    SourceSpec("plain/{device}/{metric}"),
    SourceSpec("whole/{device}"),
    SourceSpec("watched/{device}", availability=AvailabilitySpec("watched/{device}/status")),
    SourceSpec("live/{device}", retained="live"),
]
_MIX: dict[str, tuple[bytes, ...]] = {
    "plain/{}/temperature": (b"21.5", b'{"value":21.5,"unit":"C"}', b"warm", b"nan", b"85"),
    "plain/{}/state": (b"1", b"ON", b"online", b"offline"),
    "plain/{}/status": (b"online", b"offline", b"1"),
    "whole/{}": (
        b'{"temperature":21.5,"humidity":40}',
        b'{"temperature":21.5,"time":%d}',
        b'{"temperature":21.5,"humidity":40,"new":1}',
        b'{"a":1,"a":2}',
        b"{broken",
    ),
    "watched/{}": (b'{"level":3}', b"3.5"),
    "watched/{}/status": (b"online", b"offline"),
    "live/{}": (b"7.25",),
    "plain/{}/interval": (b"60", b"3600"),  # the announcement of one
    "other/{}": (b"1",),
}


def stream(seed: int, began: float, count: int = 300) -> Iterator[Item]:
    """Yield messages of a few devices, most of them plain, over connections that break."""
    rng = random.Random(seed)
    generation, mid, received = 1, 0, began
    yield LinkUp(1, session_present=False, protocol="5", mono=0.0)
    last: list[Arrival] = []
    for number in range(count):
        received += rng.choice((0.0, 0.5, 3.0, -1.0))
        if rng.random() < 0.01:
            yield LinkDown(generation, "lost", number / 10)
            generation += 1
            yield LinkUp(generation, session_present=rng.random() < 0.7, protocol="5", mono=number / 10)
            yield from (_changed(one, generation=generation, dup=True) for one in last)
        (pattern,) = rng.choices(list(_MIX), (8, 1, 1, 4, 3, 1, 2, 1, 1))
        payload = _MIX[pattern][0] if rng.random() < 0.8 else rng.choice(_MIX[pattern])
        if b"%d" in payload:
            payload %= int(received) - rng.choice((0, 3600, 90_000, 400_000))
        mid = mid % 65_535 + 1
        one = Arrival(
            generation=generation,
            mid=mid,
            qos=1 if rng.random() < 0.95 else 0,
            dup=rng.random() < 0.02,
            retain=rng.random() < 0.05,
            topic=pattern.format(f"{pattern[0] if rng.random() < 0.97 else 'd'}{rng.randrange(6)}"),
            payload=payload,
            received=received,
            mono=number / 10,
            properties=(("ts", str(received - 5)),) if rng.random() < 0.05 else (),
        )
        last = [*last[-3:], one]
        yield one


def _changed(one: Arrival, **changes: Any) -> Arrival:
    return Arrival(**{**asdict(one), **changes})


def live(folder: Path, items: Iterable[Item], *, short: bool, faulty: bool, of: int = 1) -> tuple[Rig, int]:
    """Return a journal after it took ``items``, and how many of them had the short way."""
    receiver = Receiver[Any](
        registry=Registry(sources=SOURCES, base_topic="e"),
        own={},
        wall_at=lambda mono, real: real + mono,
        note=lambda _error, _topic: None,
        partition=Partition(PartitionSettings(of=of)) if of > 1 else None,
    )
    taken: list[Arrival] = []

    def read(arrival: Arrival) -> Any:
        taken.append(arrival)
        decoded = receiver.decode(arrival)
        if not arrival.topic.endswith("/interval"):
            return decoded
        return decoded._replace(readings=(), expected_s=((decoded.device, float(arrival.payload)),))  # type: ignore[arg-type]  # the topic names it

    settings = JournalSettings(commit_ms=1, ballast_bytes=0, max_group=GROUP, new_devices_burst=5)
    rig = Rig(folder, settings=settings, wall=lambda: T0, mono=lambda: 0.0, read=read)
    if short:
        rig.read_plain = lambda arrival: (
            None if arrival.topic.endswith("/interval") else receiver.plain(arrival)
        )
    writer, inbox = rig.open()._writer, rig.journal.inbox
    waiting, turns = list(items), 0
    while waiting or inbox.depth:
        while waiting and inbox.depth < GROUP:
            rig.offer([waiting.pop(0)])
        turns += 1
        if faulty and not turns % 3:
            _fail_once(writer)
        writer.turn()
    return rig, len(taken)


def _fail_once(writer: Any) -> None:
    """Let the storage refuse the next transaction, after all rows are inserted."""
    tables = writer._family_tables
    insert = tables.insert

    def refuse(_connection: sqlite3.Connection) -> None:
        tables.insert = insert
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    tables.insert = refuse


def content(rig: Rig) -> list[tuple[Any, ...]]:
    """Return all rows of a journal, without its random ids."""
    with closing(sqlite3.connect(rig.folder / "journal.sqlite")) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [(name, *row) for name in names for row in db.execute(f"SELECT * FROM {name}")]
    return [row for row in rows if row[:2] not in {("meta", "journal_id"), ("meta", "answer_key")}]


@pytest.mark.parametrize("faulty", [False, True], ids=["sound", "faulty"])
@pytest.mark.parametrize("of", [1, 2], ids=["alone", "parted"])
@pytest.mark.parametrize(("seed", "began"), [(0, T0), (1, T0), (2, T0), (3, UNSET)])
def test_both_ways_leave_the_same_behind(
    tmp_path: Path, seed: int, began: float, of: int, faulty: bool
) -> None:
    """On disk, in the rows for the analyst, in the acks and in the counts; also of one of two agents."""
    items = list(stream(seed, began))
    long, _ = live(tmp_path / "long", items, short=False, faulty=faulty, of=of)
    short, looked_at = live(tmp_path / "short", items, short=True, faulty=faulty, of=of)
    if began == T0 and not faulty:  # retries count too
        assert looked_at < 0.7 * len(items)
    assert short.rows == long.rows
    assert short.acks == long.acks
    assert short.journal._writer._clocks._newest == long.journal._writer._clocks._newest
    assert short.journal.unread.missing(T0) == long.journal.unread.missing(T0)
    one, other = (asdict(rig.journal.stats) for rig in (short, long))
    for volatile in ("commit_s", "bytes_written", "bytes_used"):
        del one[volatile], other[volatile]
    assert one == other
    for rig in (long, short):
        assert rig.journal.stop(1.0)
    assert content(short) == content(long)
