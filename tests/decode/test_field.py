"""Messages as real sites send them, with their readings and what was skipped."""

import json
import random
from typing import Any

import pytest

from agent.decode.registry import Registry, SourceSpec
from tests.decode.cases import FIELD, NOW, Case
from tests.decode.judge import faults


@pytest.mark.parametrize("case", FIELD, ids=str)
def test_a_message_of_the_field_is_read(case: Case) -> None:
    """It gives the expected readings and no other; what is left out is named."""
    assert faults(case) == []


NAMES = ("tag", "name", "DisplayName", "n", "asset", "device_name", "hostname", "location")
ANY_ID = (
    "id", "mac", "NodeId", "sensor_id", "serial", "uuid", "zone", "room", "station", "node", "probe", "vatId",
    "press_id",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(400))
def test_two_ids_never_share_a_series(seed: int) -> None:
    """Whatever key names the elements of a list, each of them has a series of its own."""
    rng = random.Random(seed)
    key = rng.choice((*NAMES, *ANY_ID))
    value = rng.choice(("value", "val", "temperature", "v"))
    beside = rng.sample(("ts", "type", "quality", "rssi", "unit", "name"), 3)
    texts = {"ts": 1_782_475_140, "type": "bme", "quality": 192, "rssi": -60, "unit": "C", "name": "Sensor"}
    ids = rng.sample(("a", "b", "17", 17.0, "AC:23:3F:00:00:02", "AC233F000003", "ns=2;s=T", "x.y", "ü"), 4)
    shared = {one: texts[one] for one in beside}
    items: list[dict[str, Any]] = [{**shared, key: one, value: float(place)} for place, one in enumerate(ids)]
    if key in NAMES or "17" in ids:
        items = [item for item in items if item[key] != 17.0]
    payload = json.dumps(rng.choice((items, {"data": items}, {"list": items}))).encode()
    registry = Registry(sources=[SourceSpec("s/{device}")], base_topic="edge-agent/gw1")
    readings = registry.decode("s/g", payload, NOW).readings
    wanted = {item[value] for item in items}
    series = {one.value: one.series for one in readings if one.value in wanted and "rssi" not in one.metric}
    assert set(series) == wanted
    assert len(set(series.values())) == len(wanted)
