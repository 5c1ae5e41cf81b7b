"""AWS IoT device shadows: the reported state, each key with its own time.

Format: https://docs.aws.amazon.com/iot/latest/developerguide/device-shadow-document.html
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import device_in, is_named
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing

_TOPIC = re.compile(r"(?:(.+)/)?things/([^/]+)/shadow(?:/name/([^/]+))?(?:/.*)?", re.DOTALL)
_HEAD_BYTES = 4096


class AwsShadow(JsonFamily):
    """Decoder of shadow documents: update, accepted, documents."""

    topics: ClassVar[tuple[str, ...]] = ("#",)

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether it is a topic of the shadow service, or a document with a reported state."""
        if "/shadow" in route.topic:
            return "/things/" in route.topic or route.topic.startswith("things/")
        if payload[:1] != b"{":
            return False
        head = payload[:_HEAD_BYTES]
        return b'"state"' in head and b'"reported"' in head

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the reported values; the desired ones and the difference to them are not measured."""
        root = self.parse_object(payload)
        current = root.get("current")  # of a message about the change of a document
        document = current if type(current) is dict else root
        state = document.get("state")
        reported = state.get("reported") if type(state) is dict else None
        device = route.device if is_named(route) else device_in(route.topic, _TOPIC) or route.device
        if type(reported) is not dict or route.topic.endswith(("/delta", "/rejected")):
            return nothing("state", Skip.NOT_A_VALUE)
        stamp = document.get("timestamp", root.get("timestamp"))
        metadata = document.get("metadata")
        times = metadata.get("reported") if type(metadata) is dict else None
        parts: dict[Any, dict[str, Any]] = {}
        _sort(reported, times, (), parts)
        if not parts:
            return nothing("reported", Skip.EMPTY, heard=(device,))
        return self.join(
            self.take(part, self.frame(route, received, properties, at, stamp, root=root), device=device)
            for at, part in parts.items()
        )


def _sort(
    fields: dict[str, Any], times: Any, path: tuple[str, ...], parts: dict[Any, dict[str, Any]]
) -> None:
    """Sort the values of the reported state by their time into objects of the same form."""
    for key, value in fields.items():
        own = times.get(key) if type(times) is dict else None
        if type(value) is dict and value:
            _sort(value, own, (*path, key), parts)
            continue
        given = own.get("timestamp") if type(own) is dict else None
        place = parts.setdefault(given if type(given) is float else None, {})
        for step in path:
            place = place.setdefault(step, {})
        place[key] = value


FAMILY: type[Family] = AwsShadow
