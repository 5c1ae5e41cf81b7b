"""Sparkplug B: births, data and deaths of edge nodes and their devices.

Format: https://sparkplug.eclipse.org/specification/version/3.0/
"""

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from agent.decode.family import (
    Content,
    DecodeLimits,
    Family,
    Note,
    Properties,
    Route,
    Skip,
    Skipped,
    TimeFrom,
)
from agent.decode.json_family import MAX_SKIPPED, Frame, JsonFamily, nothing
from agent.decode.sparkplug_births import NODE, Births, Node, Rebirths, bd_seq_of
from agent.decode.sparkplug_payload import Metric, Payload, parse_payload, read_number, rebirth_command
from agent.domain.records import Reading

_TOPIC = re.compile(
    r"(?:(.+)/)?spBv1\.0/([^/]+)/(NBIRTH|NDATA|NDEATH|DBIRTH|DDATA|DDEATH)/([^/]+)(?:/([^/]+))?", re.DOTALL
)
_BIRTHS = frozenset({"NBIRTH", "DBIRTH"})
_DEATHS = frozenset({"NDEATH", "DDEATH"})
_CONTROL = ("Node Control/", "Device Control/")


class Address(NamedTuple):
    """The parts of a topic."""

    kind: str
    node: str  # group and node, below the levels before the namespace: the id of the node
    device: str  # NODE for the node itself
    command: str  # topic of commands to the node

    @property
    def id(self) -> str:
        """Device id of the readings."""
        return self.node if self.device == NODE else f"{self.node}/{self.device}"


class Sparkplug(JsonFamily):
    """Decoder of one namespace. The topic names node and device, whatever the source calls its levels."""

    topics: ClassVar[tuple[str, ...]] = ("spBv1.0/#", "+/spBv1.0/#")

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        super().__init__(limits=limits, max_future_skew_s=max_future_skew_s)
        self._births = Births()
        self._rebirths = Rebirths()

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: the namespace is a level of its topics."""
        return True

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the tables that a journal should keep; see :class:`agent.decode.family.Remembering`."""
        return self._births.take_changes()

    def restore(self, rows: Mapping[str, bytes]) -> None:
        """Take the tables of an earlier process."""
        self._births.restore(rows)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of a birth or of data, or the state that a birth or death reports.

        Births are not retained: of a node that was born before the agent listened, metrics without a name
        are skipped as ``unknown_alias``.
        """
        address = _address(route.topic)
        if address is None:  # commands, and the states of host applications
            return nothing(route.topic.rpartition("/")[2], Skip.NOT_A_VALUE)
        message = parse_payload(payload, self.limits)
        if address.kind in _DEATHS:
            return self._death(address, message)
        if address.kind in _BIRTHS:
            self._births.declare(address.node, address.device, message.metrics)
            self._rebirths.settle(address.node)
        node = self._births.find(address.node) or Node()
        lost = node.lost_before(message.seq) and address.kind != "NBIRTH"
        frame = self.frame(route, received, properties, _float(message.timestamp))
        content = self._readings(address, node, message, frame)
        if lost:
            content = content._replace(notes=(*content.notes, Note.SEQUENCE_GAP))
        if address.kind in _BIRTHS:
            return content._replace(states=((address.id, True),))
        unknown = any(one.why is Skip.UNKNOWN_ALIAS for one in content.skipped)
        wanted = route.reader.request_rebirth and (lost or unknown)
        wanted = wanted and not any(sign in address.command for sign in "+#")
        if wanted and self._rebirths.admit(address.node, received):
            return content._replace(request=(address.command, rebirth_command(received)))
        return content

    def _readings(self, address: Address, node: Node, message: Payload, frame: Frame) -> Content:
        device = address.id
        base = frame.moment
        readings: dict[tuple[str, float], Reading] = {}
        history: dict[tuple[str, float], Reading] = {}
        skipped: list[Skipped] = [Skipped("metrics", Skip.TOO_MANY)] if message.more else []
        notes = dict.fromkeys(base.notes)
        time_from, off_s = base.time_from, base.off_s
        for metric in message.metrics:
            name, found, unit = _resolve(node, address.device, metric)
            if isinstance(found, Skip):
                skipped.append(Skipped(name, found))
                continue
            moment = base
            if metric.timestamp is not None and metric.timestamp != message.timestamp:
                moment = self.part_of(frame, _float(metric.timestamp)).moment
                notes.update(dict.fromkeys(moment.notes))
                if moment.time_from is TimeFrom.PAYLOAD:
                    time_from = TimeFrom.PAYLOAD
                off_s = moment.off_s if off_s is None else off_s
            taken = history if metric.historical else readings
            if (name, moment.at) in taken:
                skipped.append(Skipped(name, Skip.REPEATED))
                notes[Note.REPEATED] = None
                continue
            taken[name, moment.at] = Reading(device, name, moment.at, found, unit)
        return Content(
            tuple(readings.values()), not readings, time_from, None, tuple(notes),
            tuple(sorted(skipped, key=_rank)[:MAX_SKIPPED]), heard=() if readings or history else (device,),
            history=tuple(history.values()), off_s=off_s,
        )  # fmt: skip

    def _death(self, address: Address, message: Payload) -> Content:
        node = self._births.find(address.node)
        if address.device != NODE:
            if node is not None:
                node.lost_before(message.seq)
            return Content((), text_only=True, states=((address.id, False),))
        number = bd_seq_of(message.metrics)
        if node is not None and node.bd_seq is not None and number is not None and number != node.bd_seq:
            # The will of an earlier connection, published after the node was born again.
            return nothing("bdSeq", Skip.NOT_A_VALUE)
        return Content((), text_only=True, states=tuple(_all_down(address.node, node)))


def _address(topic: str) -> Address | None:
    found = _TOPIC.fullmatch(topic)
    if found is None:
        return None
    before, group, kind, node, device = found.groups()
    if (device is not None) != kind.startswith("D"):
        return None
    prefix = f"{before}/" if before else ""
    command = f"{prefix}spBv1.0/{group}/NCMD/{node}"
    return Address(kind, f"{prefix}{group}/{node}", device or NODE, command)


def _resolve(node: Node, device: str, metric: Metric) -> tuple[str, float | Skip, str | None]:
    """Return name, value and unit of a metric, with the parts that only its birth declared."""
    known = node.find(device, metric)
    name = metric.name if metric.name is not None else known.name if known else None
    if name is None:
        return f"alias {metric.alias}", Skip.UNKNOWN_ALIAS, None
    if not name:
        return "a name", Skip.BAD_NAME, None
    if name == "bdSeq" or name.startswith(_CONTROL):
        return name, Skip.NOT_A_VALUE, None
    if metric.bad:
        return name, Skip.BAD_QUALITY, None
    datatype = metric.datatype if metric.datatype is not None else known.datatype if known else None
    unit = metric.unit if metric.unit is not None else known.unit if known else None
    return name, read_number(metric, datatype), unit


def _all_down(name: str, node: Node | None) -> Iterator[tuple[str, bool]]:
    yield name, False
    for device in node.tables if node is not None else ():
        if device != NODE:
            yield f"{name}/{device}", False


def _rank(skipped: Skipped) -> bool:
    """Put the names that every message holds last."""
    return skipped.why is Skip.NOT_A_VALUE


def _float(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else float(milliseconds)


FAMILY: type[Family] = Sparkplug
