"""Births of Sparkplug B nodes: names, types and units behind the aliases of data."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agent.decode.sparkplug_payload import Metric

NODE = ""  # in place of a device: the node's own table
MAX_METRICS = 32_768  # of all tables; beyond it the oldest node is forgotten
MAX_NODES = 1024
MAX_DEVICES = 1024  # of one node
MAX_ROW_BYTES = 1024 * 1024

MAX_REQUESTS_PER_MIN = 30

_FIRST_WAIT_S, _MAX_WAIT_S = 60.0, 3600.0
_BD_SEQ = "bdSeq"
_SEQ_NUMBERS = 256


class Known(NamedTuple):
    """A metric as its birth declared it."""

    name: str
    datatype: int | None
    unit: str | None


class Node:
    """One edge node since its birth."""

    __slots__ = ("bd_seq", "seq", "tables")

    def __init__(self) -> None:
        self.bd_seq: int | None = None  # pairs a birth with the will of the same connection
        self.seq: int | None = None  # of the last message, 0 to 255; not kept over a restart
        self.tables: dict[str, dict[int | str, Known]] = {}  # by device, then by alias or name

    @property
    def size(self) -> int:
        """Number of metrics in all tables."""
        return sum(len(table) for table in self.tables.values())

    def lost_before(self, seq: int | None) -> bool:
        """Return whether messages are missing before the one with ``seq``, which becomes the last one."""
        last, self.seq = self.seq, seq
        if last is None or seq is None:
            return False
        return seq not in {last, (last + 1) % _SEQ_NUMBERS}

    def find(self, device: str, metric: Metric) -> Known | None:
        """Return what the birth declared of a metric of ``device``."""
        table = self.tables.get(device, {})
        if metric.name is not None:
            return table.get(metric.name)
        return None if metric.alias is None else table.get(metric.alias)


class Births:
    """The nodes that have been born, and the rows that a journal keeps of them."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._metrics = 0
        self._changed: set[str] = set()

    def find(self, key: str) -> Node | None:
        """Return a node that was born, or restored."""
        return self._nodes.get(key)

    def node(self, key: str) -> Node:
        """Return the node; an unknown one is begun."""
        found = self._nodes.get(key)
        if found is None:
            while len(self._nodes) >= MAX_NODES:
                self._forget_oldest()
            found = self._nodes[key] = Node()
        return found

    def declare(self, key: str, device: str, metrics: Iterable[Metric]) -> None:
        """Take a birth; that of the node makes the tables of its devices invalid."""
        node = self.node(key)
        self._metrics -= node.size
        if device == NODE:
            node.tables.clear()
            node.bd_seq = bd_seq_of(metrics)
        elif device not in node.tables and len(node.tables) > MAX_DEVICES:
            del node.tables[next(one for one in node.tables if one != NODE)]
        node.tables[device] = _table(metrics)
        self._nodes[key] = self._nodes.pop(key)  # the newest
        self._metrics += node.size
        while self._metrics > MAX_METRICS and len(self._nodes) > 1:
            self._forget_oldest()
        self._changed.add(key)

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows that differ from the last call, None for a node that is forgotten."""
        changed, self._changed = self._changed, set()
        return {key: _row(self._nodes.get(key)) for key in sorted(changed)}

    def restore(self, rows: Mapping[str, bytes]) -> None:
        """Take rows of an earlier process; one that cannot be read is passed over."""
        for key, body in rows.items():
            node = _node(body)
            if node is not None and len(self._nodes) < MAX_NODES and self._metrics + node.size <= MAX_METRICS:
                self._nodes[key] = node
                self._metrics += node.size

    def _forget_oldest(self) -> None:
        key = next(iter(self._nodes))
        self._metrics -= self._nodes.pop(key).size
        self._changed.add(key)


class Rebirths:
    """Rate limit of requests for a birth: at growing intervals per node, and per minute over all nodes."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, float]] = {}  # node: when, and seconds until the next request
        self._minute, self._count = 0, 0

    def admit(self, node: str, now: float) -> bool:
        """Return whether ``node`` may be asked at the receipt time ``now``."""
        at, wait_s = self._asked.get(node, (-_MAX_WAIT_S, 0.0))
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        if abs(now - at) < wait_s or self._count >= MAX_REQUESTS_PER_MIN:
            return False
        self._count += 1
        if node not in self._asked and len(self._asked) >= MAX_NODES:
            del self._asked[next(iter(self._asked))]
        self._asked[node] = now, min(_MAX_WAIT_S, max(_FIRST_WAIT_S, 2 * wait_s))
        return True

    def settle(self, node: str) -> None:
        """Begin with short intervals again: the node was born."""
        self._asked.pop(node, None)


def bd_seq_of(metrics: Iterable[Metric]) -> int | None:
    """Return the number that pairs birth and death of one connection."""
    return next((one.value for one in metrics if one.name == _BD_SEQ and type(one.value) is int), None)


def _table(metrics: Iterable[Metric]) -> dict[int | str, Known]:
    table: dict[int | str, Known] = {}
    for one in metrics:
        if one.name:
            table[one.name if one.alias is None else one.alias] = Known(one.name, one.datatype, one.unit)
    by_name: dict[int | str, Known] = {known.name: known for known in table.values()}
    return by_name | table


def _row(node: Node | None) -> bytes | None:
    if node is None:
        return None
    tables = {
        device: [[None if key == one.name else key, *one] for key, one in table.items()]
        for device, table in node.tables.items()
    }
    body = json.dumps([node.bd_seq, tables], separators=(",", ":"), ensure_ascii=False).encode()
    return body if len(body) <= MAX_ROW_BYTES else None


def _node(body: bytes) -> Node | None:
    node = Node()
    try:
        bd_seq, tables = json.loads(body)
        for device, rows in tables.items():
            node.tables[str(device)] = dict(_entry(*row) for row in rows)
    except (ValueError, TypeError, AttributeError):
        return None
    node.bd_seq = bd_seq if type(bd_seq) is int else None
    return node


def _entry(alias: Any, name: Any, datatype: Any, unit: Any) -> tuple[int | str, Known]:
    known = Known(str(name), datatype if type(datatype) is int else None, None if unit is None else str(unit))
    return (alias if type(alias) is int else known.name), known
