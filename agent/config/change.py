"""What differs between two configurations, and one made of parts of both; for ``agent.app.reload``."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, cast

from agent.config.apart import Plain

if TYPE_CHECKING:
    from agent.config.models import Config

#: Follow from other keys, which are named themselves.
_DERIVED = frozenset({"base_topic", "mqtt.tls", "mqtt.host", "mqtt.port", "web.host", "web.port"})


def differences(old: "Config", new: "Config") -> list[str]:
    """Return the dotted keys whose values differ, sorted."""
    found = set(_differ(old, new, "")) - _DERIVED
    return sorted(key for key in found if key.partition(".")[0] != "origins")


def merge(old: "Config", new: "Config", *, sections: Collection[str], keep: Collection[str]) -> "Config":
    """Return ``old`` with ``sections`` of ``new``, in which the dotted keys ``keep`` stay as they were."""
    merged = Plain(**{**vars(old), **{name: getattr(new, name) for name in sections}})
    for key in keep:
        value: Any = old
        for name in key.split("."):
            value = getattr(value, name)
        merged = _put(merged, key.split("."), value)
    return cast("Config", merged)


def _differ(old: Any, new: Any, key: str) -> Iterator[str]:
    if isinstance(old, Plain) and isinstance(new, Plain):
        old, new = vars(old), vars(new)
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield key
        return
    for name in {**old, **new}:
        inner = f"{key}.{name}" if key else str(name)
        if name in old and name in new:
            yield from _differ(old[name], new[name], inner)
        else:
            yield inner


def _put(section: Plain, names: list[str], value: Any) -> Plain:
    name, *deeper = names
    inside = _put(getattr(section, name), deeper, value) if deeper else value
    return Plain(**{**vars(section), name: inside})
