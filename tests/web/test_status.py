import typing
from typing import Any

import jsonschema
import pytest

from agent.status import schema as status
from agent.verdict.encode import published_schema
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
