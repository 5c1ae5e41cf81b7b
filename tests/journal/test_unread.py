"""Messages without a value: what is counted, what is journaled, what is shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.decode.family import Skip, Skipped
from agent.decode.registry import Registry, SourceSpec
from agent.domain.records import DecodeError, Handling, Reading, TimerKind, TimerRow
from agent.journal.reader import Reader
from agent.journal.source_tally import OUTCOMES, SourceTally
from agent.journal.unread import HEARD_S, MAX_DEVICES, MAX_NAMES, MESSAGE, Unread
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, decode, link_up

AT = 1_700_000_000.0


def opened(folder: Path) -> Rig:
    """Return a journal whose detector knows each device."""
    rig = Rig(folder)
    rig.open()
    rig.journal.unread._knows = lambda _device: True
    rig.start_thread()
    return rig


def heard(rig: Rig) -> list[str | None]:
    return [row.device for row in rig.rows if isinstance(row, TimerRow) and row.kind is TimerKind.HEARD]


def test_a_device_that_is_only_heard_has_a_row_in_the_sequence(tmp_path: Path) -> None:
    """One row per device and interval; a replay reads the same rows."""
    rig = opened(tmp_path)
    texts = [arrival(number, payload=b"text", mono=1000.0 + number / 100) for number in range(40)]
    rig.offer([link_up(1), *texts, arrival(40, payload=b"text", mono=1000.1 + HEARD_S)])
    rig.settle()
    rig.stop()
    assert heard(rig) == [*(f"d{number}" for number in range(10)), "d0"]
    with Reader.open(tmp_path) as reader:
        assert list(reader.rows_after(0)) == rig.rows


def test_garbage_is_a_sign_of_life_where_its_topic_names_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is in quarantine, and its device is not silent."""

    def placed(item: Any) -> Any:
        try:
            return decode(item)
        except DecodeError as error:
            error.source, error.device = "sensors", "d3"
            raise

    monkeypatch.setattr(rig_module, "decode", placed)
    rig = opened(tmp_path)
    rig.offer([link_up(1), arrival(3, payload=b"{")])
    rig.settle()
    rig.stop()
    assert heard(rig) == ["d3"]
    assert rig.journal.stats.sources["sensors"].messages == {"refused": 1}
    assert [one.name for one in rig.journal.unread.missing(AT)["d3"]] == [MESSAGE]


def test_an_unknown_device_and_a_retained_message_have_no_row(tmp_path: Path) -> None:
    """Silence concerns known devices only, and what is retained was sent at another time."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, payload=b"text")])
        rig.settle()
    assert heard(rig) == []
    rig = opened(tmp_path)
    rig.offer([link_up(2), arrival(1, payload=b"text", retain=True, generation=2)])
    rig.settle()
    rig.stop()
    assert heard(rig) == []


def test_an_empty_payload_is_no_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may delete a retained message."""
    empty = Plain(text_only=True, handling=Handling.TEXT, device="d1", skipped=(Skipped("v", Skip.EMPTY),))
    monkeypatch.setattr(rig_module, "decode", lambda _item: empty)
    rig = opened(tmp_path)
    rig.offer([link_up(1), arrival(1)])
    rig.settle()
    rig.stop()
    assert heard(rig) == []


def test_every_message_has_one_outcome(tmp_path: Path) -> None:
    """The outcomes add up to the messages received, and each is of the closed list."""
    with Rig(tmp_path) as rig:
        kinds = {"payload": b"text"}, {"payload": b"{"}, {"payload": b"fault"}, {"retain": True}
        rig.offer([link_up(1), *(arrival(number, **kinds[number % 4]) for number in range(40)), arrival(41)])
        rig.offer([arrival(42, topic="own/x")])
        rig.settle()
        stats = rig.journal.stats
    counts = {source: tally.messages for source, tally in stats.sources.items()}
    assert counts["sensors"] == {"text": 10, "seed": 10, "read": 1}
    assert counts[""] == {"refused": 20, "own": 1}
    assert sum(sum(one.values()) for one in counts.values()) == stats.received
    assert {outcome for one in counts.values() for outcome in one} <= set(OUTCOMES)


def test_skipped_values_are_counted_by_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values skipped by intent are counted, but not an example; a lone surrogate harms nothing."""
    skipped = (
        Skipped("humidity", Skip.NOT_FINITE),
        Skipped("id", Skip.NOT_A_VALUE),
        Skipped("\ud800", Skip.BAD_NAME),
    )

    def with_skips(item: Any) -> Plain:
        return replace(decode(item), device="d1", skipped=skipped, notes=("time_too_old",))

    monkeypatch.setattr(rig_module, "decode", with_skips)
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1), arrival(1)])
        rig.settle()
        (tally,) = rig.journal.stats.sources.values()
        missing = rig.journal.unread.missing(AT)
    assert tally.skipped == {"not_finite": 2, "not_a_value": 2, "bad_name": 2}
    assert tally.times == 2
    assert tally.samples == {("d1", "humidity"): "not_finite", ("d1", "\\ud800"): "bad_name"}
    assert [one.name for one in missing["d1"]] == ["humidity", "\\ud800"]


def test_a_missing_value_that_comes_again_is_forgotten() -> None:
    """With the last one its device goes; what is a day old goes too."""
    unread = Unread(knows=lambda _device: True)
    unread.note("d1", "humidity", "not_finite", AT)
    unread.clear([Reading("d1", "temperature", AT, 20.0), Reading("d2", "humidity", AT, 20.0)])
    assert [one.why for one in unread.missing(AT)["d1"]] == ["not_finite"]
    assert unread.missing(AT + 90_000) == {}
    unread.clear([Reading("d1", "humidity", AT, 20.0)])
    assert unread.missing(AT) == {}


def test_invented_names_take_bounded_memory() -> None:
    """Of devices the oldest give way, of names the later ones are not kept."""
    unread = Unread(knows=lambda _device: True)
    for number in range(3000):
        unread.note(f"d{number}", "x", "text", AT)
        unread.note("loud", f"x{number}", "text", AT)
    missing = unread.missing(AT)
    assert len(missing) == MAX_DEVICES
    assert len(missing["loud"]) == MAX_NAMES


def test_a_rolled_back_row_is_written_again() -> None:
    """Its message comes again with the next transaction."""
    unread = Unread(knows=lambda _device: True)
    assert unread.wants_row("d1", 1.0)
    unread.rollback()
    assert unread.wants_row("d1", 1.0)
    unread.commit()
    assert not unread.wants_row("d1", 1.0 + HEARD_S / 2)


def grown(*groups: tuple[float, int, int]) -> SourceTally:
    """Return a tally after groups: monotonic time, readings, messages without one."""
    tally = SourceTally()
    for now, readings, fruitless in groups:
        tally.add(SourceTally(readings=readings, fruitless=fruitless, last=AT + now), now)
    return tally


def test_a_source_that_never_had_a_reading_yields_nothing_after_minutes() -> None:
    """Some messages and five minutes are needed; one reading ends it."""
    tally = grown((0.0, 0, 1), (10.0, 0, 5))
    assert [tally.yields_nothing(now) for now in (299.0, 300.0)] == [False, True]
    tally.add(SourceTally(readings=1), 400.0)
    assert not tally.yields_nothing(10_000.0)
    assert not grown((0.0, 0, 2)).yields_nothing(10_000.0)


def test_a_source_with_slow_readings_has_three_times_their_interval() -> None:
    """Its devices may send a state each minute and a value each hour."""
    tally = grown((0.0, 1, 0), (7200.0, 1, 0), (7260.0, 0, 100))
    assert [tally.yields_nothing(now) for now in (20_000.0, 7260.0 + 3 * 7200.0)] == [False, True]


GATEWAYS = [
    (  # a device per address in one list
        {"topic": "ble/{gateway}"},
        "ble/gw1",
        b'[{"mac":"AA:BB:CC:DD:EE:01","temperature":"nan"},{"mac":"AA:BB:CC:DD:EE:02","temperature":4.5}]',
        "AA:BB:CC:DD:EE:01",
    ),
    (  # a device per address in one object
        {"topic": "plant/{gateway}"},
        "plant/gw1",
        b'{"AA:BB:CC:DD:EE:01":{"temperature":"nan"},"AA:BB:CC:DD:EE:02":{"temperature":4.5}}',
        "gw1/AA:BB:CC:DD:EE:01",
    ),
    (  # devices named by a template
        {"topic": "rtl/events", "device": "{$.model}/{$.id}"},
        "rtl/events",
        b'[{"model":"A","id":1,"humidity":5},{"model":"B","id":2,"humidity":"nan"}]',
        "B/2",
    ),
    (  # one device, named by the family
        {"topic": "rtl_433/#", "format": "rtl_433"},
        "rtl_433/host/events",
        b'{"time":"2026-11-27 10:00:00","model":"Acurite","id":77,"temperature_C":"nan","battery_ok":1}',
        "Acurite/77",
    ),
    (  # devices named by their own key
        {"topic": "http/iot/data"},
        "http/iot/data",
        b'[{"device_id":"a","temperature":1},{"device_id":"b","temperature":"nan"}]',
        "b",
    ),
]


@pytest.mark.parametrize(("source", "topic", "payload", "device"), GATEWAYS)
def test_a_missing_value_belongs_to_the_device_behind_the_gateway(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: dict[str, str],
    topic: str,
    payload: bytes,
    device: str,
) -> None:
    """Not to the gateway that the topic names, and not to another device of the message."""
    registry = Registry(sources=[SourceSpec(**source)], base_topic="own")  # type: ignore[arg-type]
    monkeypatch.setattr(
        rig_module, "decode", lambda one: registry.decode(one.topic, one.payload, one.received)
    )
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, topic=topic, payload=payload)])
        rig.settle()
        missing = rig.journal.unread.missing(AT)
        (tally,) = rig.journal.stats.sources.values()
    assert list(missing) == [device]
    assert [one.why for one in missing[device]] == ["not_finite"]
    assert {named for named, _ in tally.samples} == {device}


def test_an_element_without_a_device_is_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an example of an unread value, and not a missing value of the first device of the list."""
    registry = Registry(sources=[SourceSpec("g/x", device="{$.id}")], base_topic="own")
    monkeypatch.setattr(
        rig_module, "decode", lambda one: registry.decode(one.topic, one.payload, one.received)
    )
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1, topic="g/x", payload=b'[{"id":"a","t":1},{"t":2}]')])
        rig.settle()
        (tally,) = rig.journal.stats.sources.values()
        assert (rig.journal.unread.missing(AT), tally.samples) == ({}, {("", "[1]"): "bad_name"})
