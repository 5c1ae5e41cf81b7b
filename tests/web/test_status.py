import random
import typing
from typing import Any, cast

import jsonschema
import pytest

from agent.status import schema as status
from agent.status.report import MAX_METRICS_IN_ALL, encode_status
from agent.verdict.encode import published_schema
from agent.web.http import Response, fit
from tests.support.schema import closed
from tests.web.sample import sample_status

SCHEMA: dict[str, Any] = closed(published_schema("status"))


def test_sample_is_valid() -> None:
    """A status as the types describe it validates against the shipped schema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(sample_status(), SCHEMA)


def walk(shape: Any, schema: dict[str, Any], path: str) -> None:
    """Compare the keys of a typed dictionary with those of a schema, all the way down."""
    if typing.is_typeddict(shape):
        hints = typing.get_type_hints(shape)
        assert set(hints) == set(schema["properties"]) == set(schema["required"]), path
        assert schema["additionalProperties"] is False, path
        for name, inner in hints.items():
            walk(inner, schema["properties"][name], f"{path}.{name}")
    elif typing.get_origin(shape) is list and typing.is_typeddict(typing.get_args(shape)[0]):
        walk(typing.get_args(shape)[0], schema["items"], f"{path}[]")


def test_types_and_schema_have_the_same_keys() -> None:
    """No key is in the types and not in the schema, or the reverse."""
    walk(status.Status, SCHEMA, "status")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("devices", status.MAX_DEVICES),
        ("recent_verdicts", status.MAX_VERDICTS),
        ("quarantine", status.MAX_QUARANTINE),
    ],
)
def test_lists_are_bounded(name: str, limit: int) -> None:
    """One item too many is refused by the schema."""
    full: dict[str, Any] = dict(sample_status())
    full[name] = [full[name][0]] * limit
    jsonschema.validate(full, SCHEMA)
    full[name] = [full[name][0]] * (limit + 1)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(full, SCHEMA)


def test_a_full_status_weighs_64_kib_at_most() -> None:
    """Every list at its bound, every value noise, every text another one: a refresh stays small."""
    draw = random.Random(7)
    full: dict[str, Any] = dict(sample_status())
    words = [f"{draw.getrandbits(64):x}" for _ in range(400)]

    def metric() -> dict[str, Any]:
        recent = [float(f"{draw.gauss(50, 3):.6g}") for _ in range(status.MAX_RECENT_VALUES)]
        usual = [draw.gauss(40, 1), draw.gauss(60, 1)]
        series: dict[str, Any] = full["devices"][0]["metrics"][0]
        return series | {"name": draw.choice(words), "value": recent[-1], "usual": usual, "recent": recent}

    def text() -> str:
        return " ".join(draw.choices(words, k=8))

    count = status.MAX_DEVICES
    devices = [
        full["devices"][0]
        | {"id": f"hall/{place}", "metrics": [metric() for _ in range(MAX_METRICS_IN_ALL // count)]}
        for place in range(count)
    ]
    findings = [
        full["findings"][0]
        | {"id": f"{place:016x}", "device": f"hall/{place}", "summary": text(), "metric": metric()}
        | {"model": full["findings"][0]["model"] | {"said": text()}}
        | {"evidence": [full["findings"][0]["evidence"][0] | {"value": draw.gauss(50, 3)} for _ in range(12)]}
        for place in range(count)
    ]
    incidents = [
        full["incidents"][0]
        | {"id": f"{place:016x}", "summary": text(), "devices": draw.choices(words, k=12)}
        | {"limits": [f"{draw.getrandbits(64):016x}"]}
        for place in range(count)
    ]
    verdicts = [full["recent_verdicts"][0] | {"summary": text()} for _ in range(status.MAX_VERDICTS)]
    full |= {"devices": devices, "incidents": incidents, "findings": findings, "recent_verdicts": verdicts}
    full |= {"sources": full["sources"][:1] * status.MAX_SOURCES}
    jsonschema.validate(full, SCHEMA)
    answer = fit(Response(encode_status(cast("status.Status", full))), {"accept-encoding": "gzip"})
    assert len(answer.body) <= 64 * 1024
