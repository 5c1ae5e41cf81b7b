"""Decode a case and compare the result; see :mod:`tests.decode.cases`."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from agent.config.models import adapter
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.domain.records import DecodeError
from tests.decode.cases import Case, payload_of

NEAR_S = 0.01

# Spellings of one unit that occur in the cases.
_SAME_UNIT = {"degC": "°C", "C": "°C", "Cel": "°C", "℃": "°C", "ºC": "°C", "F": "°F", "degF": "°F"}


def spec_of(source: dict[str, Any]) -> SourceSpec:
    """Return an entry of ``sources:`` as the configuration makes it."""
    return adapter().validate_python({"sources": [source]}).sources[0]


def decode(case: Case, word: str | None = None) -> Decoded:
    """Return the result for a case, under ``word`` instead of the format of its source if given."""
    first = {**case.source, "format": word} if word else case.source
    sources = [spec_of(one) for one in (first, *case.wanted.get("more_sources", []))]
    registry = Registry(sources=sources, base_topic="edge-agent/gw1")
    for message in case.wanted.get("before", []):
        registry.decode(message["topic"], payload_of(message), case.received)
    return registry.decode(case.topic, case.payload, case.received)


def faults(case: Case, word: str | None = None) -> list[str]:
    """Return what differs from the expected result, one sentence each."""
    wanted = case.wanted
    answers = [*([wanted.get("expect", {})] if not wanted.get("refused") else []), *wanted.get("or", [])]
    try:
        decoded = decode(case, word)
    except DecodeError as error:
        good = wanted.get("refused")
        return [] if good is True or good == error.reason else [f"refused: {error}"]
    if not answers:
        return [f"not refused: {decoded}"]
    found = _found(decoded)
    by_answer = [list(_values(found, answer, wanted.get("may", []))) for answer in answers]
    best = min(by_answer, key=len)
    return [*best, *_units(decoded, wanted), *_times(decoded, case, answers), *_rest(decoded, wanted)]


Found = dict[str, dict[str, list[tuple[float, float]]]]


def _found(decoded: Decoded) -> Found:
    made: Found = {device: {} for device in decoded.heard}
    for reading in decoded.readings:
        made.setdefault(reading.device, {}).setdefault(reading.metric, []).append((reading.at, reading.value))
    return made


def _values(found: Found, answer: dict[str, Any], may: list[str]) -> Iterator[str]:
    for device, metrics in answer.items():
        if device not in found:
            yield f"device {device} is missing"
        for metric, wanted in metrics.items():
            got = found.get(device, {}).get(metric, [])
            if isinstance(wanted, list):
                if not _same(got, wanted):
                    yield f"{device}/{metric} is {got} instead of {wanted}"
            elif len(got) != 1 or not _near(got[0][1], wanted):
                yield f"{device}/{metric} is {got} instead of {wanted}"
    for device, metrics in found.items():
        if device not in answer and not metrics:
            yield f"device {device} should not be there"
        for metric in metrics:
            allowed = any(fnmatchcase(f"{device}/{metric}", glob) for glob in may)
            if metric not in answer.get(device, {}) and not allowed:
                yield f"{device}/{metric} should not be there"


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= 1e-9 * max(1.0, abs(wanted))


def _same(got: list[tuple[float, float]], wanted: list[list[float]]) -> bool:
    return len(got) == len(wanted) and all(
        abs(at - want_at) <= NEAR_S and _near(value, want)
        for (at, value), (want_at, want) in zip(got, wanted, strict=True)
    )


def _units(decoded: Decoded, wanted: dict[str, Any]) -> Iterator[str]:
    for glob, unit in wanted.get("units", {}).items():
        for reading in decoded.readings:
            same = _SAME_UNIT.get(str(reading.unit), reading.unit) == _SAME_UNIT.get(unit, unit)
            if fnmatchcase(reading.metric, glob) and not same:
                yield f"{reading.metric} is in {reading.unit} instead of {unit}"


def _times(decoded: Decoded, case: Case, answers: list[dict[str, Any]]) -> Iterator[str]:
    """Check the times of readings that the answer does not list by their times."""
    given = case.wanted.get("at", "receipt")
    wanted = [
        case.received if one == "receipt" else one for one in (given if type(given) is list else [given])
    ]
    listed = {
        metric
        for answer in answers
        for metrics in answer.values()
        for metric, one in metrics.items()
        if isinstance(one, list)
    }
    for reading in decoded.readings:
        if reading.metric not in listed and all(abs(reading.at - at) > NEAR_S for at in wanted):
            yield f"{reading.metric} is at {reading.at} instead of {given}"


def _rest(decoded: Decoded, wanted: dict[str, Any]) -> Iterator[str]:
    skipped = [one.name for one in decoded.skipped]
    for glob in wanted.get("skipped", []):
        if not any(fnmatchcase(name, glob) for name in skipped):
            yield f"{glob} is not among the skipped {skipped}"
    online = wanted.get("online")
    if isinstance(online, dict):
        found = dict(decoded.states)
        if decoded.device and decoded.online is not None:
            found[decoded.device] = decoded.online
        if found != online:
            yield f"online is {found} instead of {online}"
    elif decoded.online is not online:
        yield f"online is {decoded.online} instead of {online}"
