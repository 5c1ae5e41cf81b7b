"""The largest message costs a bounded time of thread CPU, whatever is in it."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count, takewhile

import pytest

from agent.decode.family import Skip
from agent.decode.registry import Registry, SourceSpec
from agent.domain.records import DecodeError

NOW = 1_795_000_000.0
_MOST = 262_144
_BAR_S = 0.100  # 50 ms on a core that nothing else uses
_TRIES = 10  # the best one counts: other processes share the cores


def _fill(part: Callable[[int], str], head: str = "", tail: str = "", sign: str = ",") -> bytes:
    """Return as many parts as a message may hold."""
    size = len(head) + len(tail)

    def fits(text: str) -> bool:
        nonlocal size
        size += len(text) + len(sign)
        return size <= _MOST

    return (head + sign.join(takewhile(fits, map(part, count()))) + tail).encode()


HEAVY = {
    "keys": _fill(lambda n: f'"k{n}":{n}', "{", "}"),
    "texts": _fill(lambda n: f'"k{n}":"a"', "{", "}"),
    "inner": _fill(lambda n: f'"k{n}":{{"a":{{"b":{{"c":1}}}}}}', "{", "}"),
    "twice": _fill(lambda _n: '"a":1', "{", "}"),
    "elements": _fill(lambda n: f'{{"id":{n},"v":1}}', "[", "]"),
    "shapes": _fill(lambda n: f'{{"n":"a{n}","b{n}":1,"v":1}}', "[", "]"),
    "addresses": _fill(lambda n: f'{{"mac":"{n:012X}","t":1,"h":2,"b":3}}', "[", "]"),
    "lines": _fill(lambda n: f"m{n},t={n} f={n}", sign="\n"),
    "tags": _fill(lambda n: "m," + ",".join(f"t{k}={n}" for k in range(8)) + f" f={n}", sign="\n"),
    "fields": _fill(lambda n: f"f{n}={n}", "m "),
    "deep": b"[" * _MOST,
}


@pytest.mark.parametrize("name", HEAVY)
def test_the_largest_message_is_cheap(name: str) -> None:
    """Many keys, elements, shapes, lines or levels: stopped early, and never quadratic."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    best = float("inf")
    for _ in range(_TRIES):
        start = time.thread_time()
        with suppress(DecodeError):
            registry.decode("s/dev", HEAVY[name], NOW)
        best = min(best, time.thread_time() - start)
        if best <= _BAR_S:
            return
    pytest.fail(f"{best * 1e3:.0f} ms")


def test_surplus_keys_are_one_skipped_value() -> None:
    """Of 20,000 keys 256 are read, and the first of the rest is named."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    decoded = registry.decode("s/dev", HEAVY["keys"], NOW)
    assert [one.metric for one in decoded.readings] == [f"k{n}" for n in range(256)]
    assert decoded.skipped == (("k256", Skip.TOO_MANY, None),)


def test_lines_are_told_apart_by_what_differs() -> None:
    """Tags that differ come before the field, also where lines share only some of their fields."""
    lines = "cpu,host=a,dc=x use=1\ncpu,host=b,dc=x use=2,idle=3\nmem,host=a free=4"
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    found = {one.metric: one.value for one in registry.decode("s/dev", lines.encode(), NOW).readings}
    assert found == {"a.use": 1, "b.use": 2, "b.idle": 3, "free": 4}


def test_a_name_flood_never_merges() -> None:
    """4,096 elements with different ids give as many series."""
    items = [{"mac": f"{n:012X}", "id": n, "name": "n", "a": 1.0} for n in range(4096)]
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    decoded = registry.decode("s/dev", json.dumps(items, separators=(",", ":")).encode()[:_MOST], NOW)
    assert len({(one.device, one.metric) for one in decoded.readings}) == 4096


@pytest.mark.parametrize("key", ["id", "mac", "sensor_id", "serial"])
@pytest.mark.parametrize("name", ["a\u202eb", "a\u2028b", "a\0b", "x" * 10_000])
def test_an_unreadable_id_names_no_series(key: str, name: str) -> None:
    """Two ids that cannot be names never share the series of the list, nor does one take its place."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    payload = json.dumps([{key: name, "t": 1.0}]).encode()
    decoded = registry.decode("s/dev", payload, NOW)
    assert decoded.readings == ()
    assert decoded.skipped == (("value", Skip.BAD_NAME, None),)
    both = json.dumps([{key: name, "t": 1.0}, {key: "b", "t": 2.0}]).encode()
    assert [one.value for one in registry.decode("s/dev", both, NOW).readings] == [2.0]
