"""OPC UA PubSub in JSON: network messages with the data sets of several writers.

Format: OPC 10000-14 (PubSub), 7.2.5, and OPC 10000-6, 5.4 for the values.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from agent.decode.device_ids import is_named, own_device
from agent.decode.family import Content, Family, Properties, Route, Skip, Skipped
from agent.decode.json_family import Frame, JsonFamily, nothing
from agent.domain.records import Reading

_STANDARD = "opcua/json/"
_HEAD_BYTES = 1024
_MAX_MESSAGES = 1024
_BAD = 0x8000_0000  # the severity bits of a status code
_OPERATIONAL = 2.0
_NO_DATA = frozenset({"ua-metadata", "ua-application", "ua-endpoints", "ua-connection", "ua-action-metadata"})
_NO_FRAME = frozenset({"ua-keepalive", "ua-event", "ua-condition"})
_VALUES = ("Value", "Body")
_HEADER = frozenset({"Payload", "DataSetWriterId", "DataSetWriterName"})


class OpcUaPubSub(JsonFamily):
    """Decoder of data messages; the field is named by its writer, so that two writers never mix."""

    topics: ClassVar[tuple[str, ...]] = ("opcua/#", "+/opcua/#", "http/#")

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether it is a standard topic, or the payload begins with the header of a message."""
        if _STANDARD in route.topic:
            return True
        head = payload[:_HEAD_BYTES]
        return b'"ua-data"' in head or b'"DataSetWriterId"' in head

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the fields of all data set messages."""
        root = self.parse(payload)
        header = root if type(root) is dict else {}
        kind = header.get("MessageType")
        publisher = self.name_in(header.get("PublisherId"))
        device = route.device
        if publisher is not None and not is_named(route):
            device = own_device(route, publisher, _STANDARD)
        if kind == "ua-status":
            return Content((), text_only=True, states=((device, header.get("Status") == _OPERATIONAL),))
        if kind in _NO_DATA:
            return nothing(str(kind), Skip.NOT_A_VALUE)
        frame = self.frame(route, received, properties, header.get("Timestamp"), root=root)
        return self.join(self._messages(_messages_in(root), frame, device))

    def _messages(self, messages: list[Any], frame: Frame, device: str) -> Iterator[Content]:
        for message in messages[:_MAX_MESSAGES]:
            if isinstance(message, Skip):
                yield nothing("messages", message)
                continue
            if type(message) is not dict or message.get("MessageType") in _NO_FRAME:
                yield nothing("message", Skip.NOT_A_VALUE, heard=(device,))
                continue
            yield from self._fields(message, frame, device)
        if len(messages) > _MAX_MESSAGES:
            yield nothing("messages", Skip.TOO_MANY)

    def _fields(self, message: dict[str, Any], frame: Frame, device: str) -> Iterator[Content]:
        writer = self.name_in(message.get("DataSetWriterId")) or self.name_in(
            message.get("DataSetWriterName")
        )
        fields = message.get("Payload")
        if fields is None and not _HEADER & message.keys():
            fields = message  # without any header: the fields alone
        if type(fields) is not dict or not fields:
            yield nothing(writer or "Payload", Skip.NO_VALUE, heard=(device,))
            return
        if "Timestamp" in message:
            frame = self.part_of(frame, message["Timestamp"])
        bad = _is_bad(message.get("Status"))
        for given, field in fields.items():
            own = self.name_in(given)
            if own is None:
                yield Content((), skipped=(Skipped(ascii(given[:32]), Skip.BAD_NAME),))
                continue
            name = f"{writer}.{own}" if writer else own
            yield self._field(name, field, frame, device, bad=bad)

    def _field(self, name: str, field: Any, frame: Frame, device: str, *, bad: bool) -> Content:
        value = field
        if type(field) is dict:
            key = next((key for key in _VALUES if key in field), None)
            value = field[key] if key else field
            inner = value if type(value) is dict else {}
            if key and inner.keys() & {"Body", "Value"}:  # a variant inside a data value
                value = inner.get("Body", inner.get("Value"))
            bad = bad or _is_bad(field.get("StatusCode", field.get("Status")))
            given = field.get("SourceTimestamp") or field.get("ServerTimestamp")
            if given is not None:
                frame = self.part_of(frame, given)
        if bad:
            return nothing(name, Skip.BAD_QUALITY, heard=(device,))
        if value is None:
            return nothing(name, Skip.NULL, heard=(device,))
        if type(value) is float and len(name) <= self.limits.max_string:  # by far the most
            moment = frame.moment
            one = Reading(device, name, moment.at, value)
            return Content((one,), time_from=moment.time_from, notes=moment.notes, off_s=moment.off_s)
        return self.take(value, frame, device=device, metric=name)


def _messages_in(root: Any) -> list[Any]:
    if type(root) is list:
        return root
    found = root.get("Messages") if type(root) is dict else None
    if type(found) is list:
        return found
    return [root if found is None else found]


def _is_bad(status: Any) -> bool:
    code = status.get("Code") if type(status) is dict else status
    if type(code) is float:
        return code >= _BAD
    return type(code) is str and code.startswith("Bad")


FAMILY: type[Family] = OpcUaPubSub
