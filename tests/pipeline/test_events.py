"""Events of the pipeline: after the commit, in order, whatever subscribers do."""

import asyncio
from pathlib import Path
from typing import Any

from agent.domain.records import FindingEvent, MessageRow, Reading, TimerKind
from agent.journal.reader import Reader
from agent.pipeline.events import DeviceSeen, Event, FindingChanged, Subscribers, VerdictCommitted
from agent.pipeline.window import WindowSettings
from tests.journal.rig import arrival, link_up
from tests.pipeline.test_restart import Life, in_a_life
from tests.support.make import T0


def _breaks(_event: Event) -> None:
    raise RuntimeError("a subscriber")


def test_a_subscriber_that_fails_is_reported_and_the_others_are_called() -> None:
    """Whatever it raises; only the subscribers of the event's kind get it."""
    errors: list[Exception] = []
    seen: list[Event] = []
    events = Subscribers(note=errors.append)
    events.subscribe(DeviceSeen, _breaks)
    events.subscribe(DeviceSeen, seen.append)
    events.subscribe(VerdictCommitted, seen.append)
    events.publish(DeviceSeen("d", 1.0))
    assert (seen, [str(error) for error in errors]) == ([DeviceSeen("d", 1.0)], ["a subscriber"])


async def _judge(life: Life) -> list[Any]:
    """Return the devices seen, then of each verdict whether it was on disk when its event came."""
    found: list[Any] = []

    def committed(event: VerdictCommitted) -> None:
        with Reader.open(life.rig.folder) as reader:
            found.append(any(event.verdict.id in body.decode() for body in _bodies(reader)))

    life.events.subscribe(DeviceSeen, lambda event: found.append(event.device))
    life.events.subscribe(VerdictCommitted, committed)
    life.rig.offer([link_up(1), *(arrival(number, topic="sensors/d/temperature") for number in (1, 2))])
    await life.feed()
    await asyncio.sleep(0.1)
    life.pipeline.note(TimerKind.TICK)
    await life.feed()
    return found


def _bodies(reader: Reader) -> list[bytes]:
    return [row[0] for row in reader._connection.execute("SELECT body FROM verdicts")]


def test_a_verdict_is_published_once_it_is_on_disk(tmp_path: Path) -> None:
    """A device at its first reading only, and each verdict when the journal holds it."""
    device, *on_disk = in_a_life(tmp_path, _judge)
    assert device == "d"
    assert set(on_disk) == {True}


async def _alarm(life: Life) -> list[tuple[FindingEvent, str | None]]:
    found: list[tuple[FindingEvent, str | None]] = []
    life.events.subscribe(
        FindingChanged, lambda event: found.append((event.change, event.verdict.finding_id))
    )
    life.pipeline.windows.reconfigure(WindowSettings(max_readings=1))
    for seq in range(1, 5):
        value = 99.0 if seq == 1 else 20.0
        life.pipeline.consume([MessageRow(seq, T0 + seq, (Reading("d", "t", T0 + seq, value, None),))])
        await asyncio.to_thread(life.rig.settle)
        await asyncio.sleep(0.01)
    return found


def test_a_finding_is_published_as_it_opens_and_clears(tmp_path: Path) -> None:
    """With the verdict that changed it, and under one id."""
    (opened, name), (cleared, same) = in_a_life(tmp_path, _alarm, high=50.0)
    assert (opened, cleared) == (FindingEvent.OPENED, FindingEvent.CLEARED)
    assert name == same is not None
