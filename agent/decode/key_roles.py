"""Roles of the keys of a JSON object, cached because a device repeats its keys."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason

_MAX_KEPT_KEYS = 16  # bounds the memory of the cache: 512 answers of 16 keys of 128 characters


def _ranked(*words: str) -> dict[str, int]:
    """Return the place of each word; earlier words win."""
    return {word: place for place, word in enumerate(words)}


_TIMES = _ranked("ts", "timestamp", "time", "datetime", "ts_ms", "timestamp_ms", "time_ms", "last_seen")
_NAMES = _ranked(
    "metric", "name", "measurement", "parameter", "quantity", "field", "sensor", "channel", "type", "n"
)
_VALUES = _ranked("value", "val", "v")
_UNITS = _ranked("unit", "units", "uom", "unit_of_measurement", "u")
# A button that sends "on" switches nothing on.
_EVENTS = _ranked("action", "event", "click")
# Ids and message counts would only ever raise false alarms as series.
_LABELS = frozenset({
    "id", "uid", "uuid", "device", "device_id", "deviceid", "mac", "serial", "message_id", "msg_id",
    "packet_id", "seq", "seqno", "sequence", "traceparent", "tracestate",
})  # fmt: skip
_NUMBERED = frozenset({"sensor", "channel"})


class KeyRoles(NamedTuple):
    """The keys of an object by role, in each role the best first."""

    times: tuple[str, ...]  # never metrics, whatever they hold
    labels: tuple[str, ...]  # nor these
    names: tuple[str, ...]  # only together with a value, otherwise keys like any other
    values: tuple[str, ...]
    units: tuple[str, ...]
    events: frozenset[str]
    metrics: tuple[str, ...]  # all but times and labels, in the order of the payload
    alone: bool  # one sure value, at most with a unit: the most common measurement

    def name_in(self, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return key and text of the name of the value in ``fields``."""
        for key in self.names:
            given = fields[key]
            if type(given) is str and is_name(given.strip()):
                return key, given.strip()
            if type(given) is float and given.is_integer() and key.lower() in _NUMBERED:
                return key, str(int(given))
        return None


def is_sure(key: str) -> bool:
    """Return whether a value key needs no name next to it; ``v`` may be volts."""
    return key.lower() == "value"


def roles_of(fields: Mapping[str, Any]) -> KeyRoles:
    """Return the roles of the keys of ``fields``.

    Raises:
        DecodeError: where a key cannot name a metric.
    """
    keys = tuple(fields)
    return _kept(keys) if len(keys) <= _MAX_KEPT_KEYS else _sorted(keys)


def _sorted(keys: tuple[str, ...]) -> KeyRoles:
    for key in keys:
        if not is_name(key):
            raise DecodeError(DecodeReason.BAD_JSON, f"key {key!a} is empty or holds a control character")
    lower = [(key, key.lower()) for key in keys]
    times = _among(lower, _TIMES)
    labels = tuple(key for key, word in lower if word in _LABELS)
    apart = {*times, *labels}
    values, units = _among(lower, _VALUES), _among(lower, _UNITS)
    metrics = tuple(key for key in keys if key not in apart)
    return KeyRoles(
        times=times,
        labels=labels,
        names=_among(lower, _NAMES),
        values=values,
        units=units,
        events=frozenset(_among(lower, _EVENTS)),
        metrics=metrics,
        alone=len(values) == 1 and is_sure(values[0]) and len(units) <= 1 and len(metrics) == 1 + len(units),
    )


_kept = lru_cache(maxsize=512)(_sorted)


def _among(lower: Iterable[tuple[str, str]], ranks: Mapping[str, int]) -> tuple[str, ...]:
    found = [(ranks[word], key) for key, word in lower if word in ranks]
    return tuple(key for _, key in sorted(found, key=itemgetter(0)))
