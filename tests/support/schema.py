"""The published schemas, closed: a key that this version does not know fails."""

from copy import deepcopy
from typing import Any


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a copy in which every object holds all of its named properties and no other.

    Keys that a version adds are not required in public: what an older one had queued is published as it is.
    """
    copy = deepcopy(schema)
    _close(copy)
    return copy


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node and node.get("type") == "object":
            node["additionalProperties"] = False
            node["required"] = [name for name, one in node["properties"].items() if not _is_rare(one)]
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for value in node:
            _close(value)


def _is_rare(node: Any) -> bool:
    """Whether a key is there in some configurations alone."""
    return isinstance(node, dict) and str(node.get("description", "")).startswith("Only ")
