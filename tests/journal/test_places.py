"""The place of a device: its source, and the topic that calls it offline."""

from pathlib import Path

import pytest

from agent.domain.records import Arrival, Place, Reading
from agent.journal.store import Store
from tests.journal import rig as rig_module
from tests.journal.rig import Plain, Rig, arrival, link_up

ALL = ("d1", "d2")


def decode(item: Arrival) -> Plain:
    """Read ``<source>/<device>`` as a reading, and a word on ``bridge`` as the state of all devices."""
    if item.topic == "bridge":
        online = item.payload == b"online"
        return Plain(source="a", states=tuple((device, online) for device in ALL))
    source, device = item.topic.split("/")
    return Plain((Reading(device, "t", item.received, 20.0),), source=source)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(rig_module, "decode", decode)
    return Rig(tmp_path)


def test_a_device_is_of_the_source_that_read_it_last(rig: Rig) -> None:
    """Counted by source, also by the next process."""
    with rig:
        rig.offer([link_up(1), arrival(1, topic="a/d1"), arrival(2, topic="a/d2"), arrival(3, topic="b/d2")])
        rig.settle()
        places = rig.journal.places
        assert (places.of("d1"), places.of("d2"), places.of("d3")) == (Place("a"), Place("b"), None)
    with Rig(rig.folder) as again:
        places = again.journal.places
        assert (places.of("d2"), places.count("a"), places.count("b")) == (Place("b"), 1, 1)


def test_a_topic_that_calls_a_device_offline_is_its_link(rig: Rig) -> None:
    """Until the topic, or a reading, shows that it is there."""
    with rig:
        rig.offer([link_up(1), arrival(1, topic="a/d1"), arrival(2, topic="bridge", payload=b"offline")])
        rig.settle()
        assert rig.journal.places.of("d1") == Place("a", "bridge")
        rig.offer([arrival(3, topic="a/d1")])
        rig.settle()
        assert rig.journal.places.of("d1") == Place("a")
        assert rig.journal.places.of("d2") == Place("a", "bridge")
        rig.offer([arrival(4, topic="bridge", payload=b"online")])
        rig.settle()
    with Rig(rig.folder) as again:
        assert again.journal.places.of("d2") == Place("a")


def test_a_device_that_is_gone_is_forgotten(rig: Rig) -> None:
    """Its row goes too."""
    with rig:
        rig.offer([link_up(1), arrival(1, topic="a/d1")])
        rig.settle()
        rig.write(forget)
        assert (rig.journal.places.of("d1"), rig.journal.places.count("a")) == (None, 0)
    with Rig(rig.folder) as again:
        assert again.journal.places.of("d1") is None


def forget(store: Store) -> None:
    store._places.forget("d1")
    store._places.insert()
