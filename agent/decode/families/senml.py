"""SenML (RFC 8428) in JSON: records are resolved with their base fields."""

import re
from math import isfinite
from typing import Any, ClassVar

from agent.decode.device_ids import is_named
from agent.decode.family import Content, Family, Note, Properties, Route, Skip, Skipped
from agent.decode.json_family import Frame, JsonFamily
from agent.decode.times import Moment
from agent.decode.values import VALUE, is_name, read_unit
from agent.domain.records import DecodeError, DecodeReason, Reading

_HEAD = re.compile(rb'\[\s*\{[^{}\[\]]{0,512}"(?:bn|n)"\s*:')
_VALUE = re.compile(rb'"(?:v|vs|vb|vd|s|bv|bs|bver)"\s*:')
_HEAD_BYTES = 1024
_ABSOLUTE = 2.0**28  # a time below it is relative to now
_TEXT = {"vs": Skip.TEXT, "vd": Skip.NOT_A_VALUE}


class SenML(JsonFamily):
    """Decoder of SenML packs."""

    topics: ClassVar[tuple[str, ...]] = ("#",)

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the payload begins as a list of records with a name and a value."""
        if not payload.startswith(b"["):
            return False
        head = payload[:_HEAD_BYTES]
        return _HEAD.match(head) is not None and _VALUE.search(head) is not None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return one reading for each value or sum of the pack.

        Raises:
            DecodeError: for a field that must be understood (RFC 8428, 4.4) and is not.
        """
        records = self.parse(payload)
        if type(records) is not list:
            records = [records]
        base: dict[str, Any] = {}
        frame = self.frame(route, received, properties)
        return self.join([self._record(route, one, base, frame) for one in records])

    def _record(self, route: Route, record: Any, base: dict[str, Any], frame: Frame) -> Content:
        if type(record) is not dict:
            why = record if isinstance(record, Skip) else Skip.NOT_A_VALUE
            return Content((), skipped=(Skipped(VALUE, why),))
        for key, value in record.items():
            if key[-1:] == "_":
                raise DecodeError(DecodeReason.NO_READINGS, f"field {key!a} must be understood and is not")
            if key[:1] == "b":
                base[key] = value
        device, name = self._names(route, _text(base.get("bn")), _text(record.get("n")))
        if name is None:
            return Content((), skipped=(Skipped(_text(record.get("n")) or VALUE, Skip.BAD_NAME),))
        at, notes = self._time(_number(base.get("bt")) + _number(record.get("t")), base, record, frame)
        values, skipped = _values(name, record, base)
        unit = read_unit(record.get("u")) or read_unit(base.get("bu"))
        update_s = _number(record.get("ut"))
        return Content(
            tuple(Reading(device, metric, at.at, value, unit) for metric, value in values),
            time_from=at.time_from,
            off_s=at.off_s,
            notes=notes,
            skipped=skipped,
            heard=(device,),
            expected_s=((device, update_s),) if update_s > 0 else (),
        )

    def _names(self, route: Route, base: str, own: str) -> tuple[str, str | None]:
        """Return device and metric: the base name is the device where the source names none."""
        bare = base.rstrip(":/")
        if not is_named(route) and bare and is_name(bare) and len(bare) <= self.limits.max_string:
            return bare, self.name_in(own or VALUE)
        return route.device, self.name_in(base + own)

    def _time(
        self, given: float, base: dict[str, Any], record: dict[str, Any], frame: Frame
    ) -> tuple[Moment, tuple[Note, ...]]:
        if "bt" not in base and "t" not in record:
            return frame.moment, frame.moment.notes
        given = given if given >= _ABSOLUTE else frame.moment.received + given
        found = self.part_of(frame, given).moment
        return found, found.notes


def _values(
    name: str, record: dict[str, Any], base: dict[str, Any]
) -> tuple[list[tuple[str, float]], tuple[Skipped, ...]]:
    found: list[tuple[str, float]] = []
    skipped: list[Skipped] = []
    if type(record.get("vb")) is bool:
        found.append((name, float(record["vb"])))
    elif "v" in record or ("bv" in base and not _TEXT.keys() & record.keys()):
        value = record.get("v", 0.0 if "bv" in base else None)
        if type(value) is float:
            found.append((name, value + _number(base.get("bv"))))
        else:
            why = value if isinstance(value, Skip) else Skip.NULL if value is None else Skip.TEXT
            skipped.append(Skipped(name, why))
    skipped += [Skipped(name, why) for key, why in _TEXT.items() if key in record]
    if "s" in record or "bs" in base:
        total = _number(record.get("s")) + _number(base.get("bs"))
        found.append((f"{name}.sum" if found else name, total))
    sound = [(metric, value) for metric, value in found if isfinite(value)]
    skipped += [Skipped(metric, Skip.NOT_FINITE) for metric, value in found if not isfinite(value)]
    if not sound and not skipped and "n" in record:
        skipped.append(Skipped(name, Skip.NO_VALUE))
    return sound, tuple(skipped)


def _number(given: Any) -> float:
    return given if type(given) is float else 0.0


def _text(given: Any) -> str:
    return given if type(given) is str else ""


FAMILY: type[Family] = SenML
