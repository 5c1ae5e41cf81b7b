"""Sparkplug B over several messages: births, aliases, gaps, deaths, rebirth."""

from typing import Any

import pytest

from agent.decode.families.sparkplug import Sparkplug
from agent.decode.family import Content, DecodeLimits, Note, Reader, Remembering, Route, Skip
from agent.decode.sparkplug_births import MAX_NODES, MAX_REQUESTS_PER_MIN, Births
from agent.decode.sparkplug_payload import parse_payload
from tests.decode.sparkplug_wire import payload

NOW = 1_782_475_200.0
MS = int(NOW * 1000) - 1000
ASKS = Reader(request_rebirth=True)
BD_SEQ = {"name": "bdSeq", "datatype": 8, "long_value": 3}
TEMP = {"name": "temp", "alias": 1, "datatype": 10, "double_value": 20.0}


@pytest.fixture
def family() -> Sparkplug:
    return make()


def make() -> Sparkplug:
    return Sparkplug(limits=DecodeLimits(), max_future_skew_s=300.0)


def send(
    family: Sparkplug, levels: str, *metrics: dict[str, Any], seq: int | None = None, at: float = NOW,
    reader: Reader = ASKS,
) -> Content:  # fmt: skip
    """Return the result for one message below ``spBv1.0/g``."""
    route = Route(f"spBv1.0/g/{levels}", "any", None, reader=reader)
    return family.decode(route, payload(*metrics, at_ms=MS, seq=seq), at, ())


def values(content: Content) -> dict[str, float]:
    return {f"{reading.device}/{reading.metric}": reading.value for reading in content.readings}


def test_data_with_an_alias_has_the_name_and_type_of_its_birth(family: Sparkplug) -> None:
    """Data types may be left out after the birth, and small signed numbers need them."""
    birth = send(
        family, "NBIRTH/n", BD_SEQ, {**TEMP}, {"name": "t8", "alias": 2, "datatype": 1, "int_value": 0}
    )
    assert values(birth) == {"g/n/temp": 20.0, "g/n/t8": 0.0}
    assert birth.states == (("g/n", True),)
    data = send(family, "NDATA/n", {"alias": 1, "double_value": 21.5}, {"alias": 2, "int_value": 0xFFFFFFFB})
    assert values(data) == {"g/n/temp": 21.5, "g/n/t8": -5.0}
    named = send(family, "NDATA/n", {"name": "t8", "int_value": 0xFB})
    assert values(named) == {"g/n/t8": -5.0}


def test_a_device_has_its_own_aliases(family: Sparkplug) -> None:
    """Two devices of one node may use one alias for two metrics."""
    send(family, "NBIRTH/n", BD_SEQ)
    send(family, "DBIRTH/n/a", TEMP)
    send(family, "DBIRTH/n/b", {**TEMP, "name": "level"})
    assert values(send(family, "DDATA/n/a", {"alias": 1, "double_value": 1.0})) == {"g/n/a/temp": 1.0}
    assert values(send(family, "DDATA/n/b", {"alias": 1, "double_value": 2.0})) == {"g/n/b/level": 2.0}


def test_a_birth_of_the_node_ends_the_aliases_of_its_devices(family: Sparkplug) -> None:
    """They may mean something else now."""
    send(family, "NBIRTH/n", BD_SEQ)
    send(family, "DBIRTH/n/a", TEMP)
    send(family, "NBIRTH/n", BD_SEQ)
    data = send(family, "DDATA/n/a", {"alias": 1, "double_value": 1.0})
    assert data.readings == ()
    assert [one.why for one in data.skipped] == [Skip.UNKNOWN_ALIAS]
    assert data.heard == ("g/n/a",)


def test_a_gap_in_the_sequence_is_noted_once(family: Sparkplug) -> None:
    """255 is followed by 0; a birth begins where it likes; a repeated message is not a gap."""
    send(family, "NBIRTH/n", BD_SEQ, TEMP, seq=254)
    data = {"alias": 1, "double_value": 1.0}
    found = [send(family, "NDATA/n", data, seq=seq).notes for seq in (255, 0, 0, 2, 3)]
    assert found == [(), (), (), (Note.SEQUENCE_GAP,), ()]
    assert send(family, "NBIRTH/n", BD_SEQ, TEMP, seq=77).notes == ()


def test_the_will_of_an_earlier_connection_changes_nothing(family: Sparkplug) -> None:
    """A node that reconnects is born before the broker publishes its old will."""
    send(family, "NBIRTH/n", BD_SEQ, TEMP)
    send(family, "DBIRTH/n/a", TEMP)
    assert send(family, "NDEATH/n", {**BD_SEQ, "long_value": 2}).states == ()
    assert send(family, "NDEATH/n", BD_SEQ).states == (("g/n", False), ("g/n/a", False))
    assert send(family, "DDEATH/n/a").states == (("g/n/a", False),)


def test_historical_values_are_history(family: Sparkplug) -> None:
    """They were stored while the connection was down and must not look like news."""
    send(family, "NBIRTH/n", BD_SEQ, TEMP)
    old = {"alias": 1, "double_value": 99.0, "is_historical": True}
    data = send(family, "NDATA/n", old, {"alias": 1, "double_value": 20.0})
    assert [one.value for one in data.readings] == [20.0]
    assert [(one.metric, one.value) for one in data.history] == [("temp", 99.0)]
    alone = send(family, "NDATA/n", old)
    assert (alone.readings, alone.heard, len(alone.history)) == ((), (), 1)


def test_births_survive_the_process(family: Sparkplug) -> None:
    """The rows of one process are the aliases of the next one; unchanged tables give no row."""
    assert isinstance(family, Remembering)
    send(family, "NBIRTH/n", BD_SEQ, TEMP)
    send(family, "DBIRTH/n/a", {**TEMP, "name": "t8", "datatype": 1, "double_value": 0.0})
    rows = family.take_changes()
    assert family.take_changes() == {}
    later = make()
    later.restore({key: body for key, body in rows.items() if body is not None})
    assert later.take_changes() == {}
    assert values(send(later, "NDATA/n", {"alias": 1, "double_value": 1.0})) == {"g/n/temp": 1.0}
    assert values(send(later, "DDATA/n/a", {"alias": 1, "int_value": 0xFF})) == {"g/n/a/t8": -1.0}
    assert send(later, "NDEATH/n", {**BD_SEQ, "long_value": 2}).states == ()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1,2]", b'[1,{"a":[[1]]}]', b"[null,{}", b"\xff"])
def test_a_damaged_row_is_passed_over(family: Sparkplug, body: bytes) -> None:
    """The next birth replaces it."""
    family.restore({"g/n": body})
    assert send(family, "NDATA/n", {"alias": 1, "double_value": 1.0}).readings == ()


def test_a_rebirth_is_asked_for_at_growing_intervals(family: Sparkplug) -> None:
    """After an unknown alias, as long as the node does not answer, and again after its next birth."""
    data = {"alias": 1, "double_value": 1.0}
    asked = [at for at in range(0, 400, 10) if send(family, "NDATA/n", data, at=NOW + at).request is not None]
    assert asked == [0, 60, 180]
    send(family, "NBIRTH/n", BD_SEQ, seq=0)
    topic, body = send(family, "NDATA/n", data, seq=1, at=NOW + 410).request or ("", b"")
    assert topic == "spBv1.0/g/NCMD/n"
    [metric] = parse_payload(body, DecodeLimits()).metrics
    assert (metric.name, metric.value, metric.datatype) == ("Node Control/Rebirth", True, 11)


def test_no_rebirth_is_asked_for_without_consent(family: Sparkplug) -> None:
    """Writing to a device is the operator's decision."""
    data = send(family, "NDATA/n", {"alias": 1, "double_value": 1.0}, reader=Reader())
    assert data.request is None


def test_many_nodes_share_a_limit_of_requests(family: Sparkplug) -> None:
    """So that made-up nodes do not turn the agent into a source of messages."""
    data = {"alias": 1, "double_value": 1.0}
    asked = [send(family, f"NDATA/n{one}", data).request for one in range(100)]
    assert sum(one is not None for one in asked) == MAX_REQUESTS_PER_MIN


def test_the_tables_are_bounded(family: Sparkplug) -> None:
    """The node that was born longest ago is forgotten, and its row with it."""
    for one in range(MAX_NODES + 1):
        send(family, f"NBIRTH/n{one}", BD_SEQ, TEMP)
    rows = family.take_changes()
    assert len([body for body in rows.values() if body is not None]) == MAX_NODES
    assert rows["g/n0"] is None


def test_metrics_of_all_tables_are_bounded() -> None:
    """By their number, whatever the nodes are."""
    births = Births()
    many = [{"name": f"m{one}", "datatype": 10, "double_value": 1.0} for one in range(4000)]
    metrics = parse_payload(payload(*many, at_ms=MS), DecodeLimits()).metrics
    for one in range(20):
        births.declare(f"g/n{one}", "", metrics)
    assert sum(body is not None for body in births.take_changes().values()) == 8
