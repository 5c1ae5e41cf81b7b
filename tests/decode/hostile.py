"""Expensive messages: those of a family with hostile content in each part."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, takewhile
from typing import Any, NamedTuple

from tests.decode.cases import CASES

MOST = 262_144
_DEEP = 6  # levels of a message whose parts are replaced
_TOPICS = 6  # of a family, for text


def fill(part: Callable[[int], str], head: str = "", tail: str = "", sign: str = ",") -> str:
    """Return as many parts as a message may hold."""
    size = len(head.encode()) + len(tail.encode())

    def fits(text: str) -> bool:
        nonlocal size
        size += len(text.encode()) + len(sign)
        return size <= MOST

    return head + sign.join(takewhile(fits, map(part, count()))) + tail


def _times(part: str) -> Callable[[int], str]:
    return lambda n: part.replace("#", str(n))


#: Parts of an object and of an array; ``#`` is a running number.
FIELDS = {
    "keys": '"k#":#.5',
    "texts": '"k#":"a"',
    "quantities": '"k#":"5.5 kWh"',
    "nulls": '"k#":null',
    "times": '"ts#":1795000000',
    "objects": '"k#":{}',
    "inner": '"k#":{"a":{"b":{"c":1}}}',
    "lists": '"k#":[]',
    "numbers in lists": '"k#":[1,2,3,4]',
    "lists of objects": '"k#":[{"id":#,"a":1},{"id":-#,"a":2}]',
    "units": '"k#":1,"k#_unit":"V"',
    "addresses": '"AABB%06d":{"temperature":#,"rssi":-5}',
    "one key": '"a":1',
    "one key of objects": '"a":{"b":1}',
    "names of values": '"value#":1,"name#":"x"',
    "odd keys": '"\\u0000#":1',
    "signs": '"ä#":"ö\\u00e4"',
    "fahrenheit": '"t#F":1,"t#C":2',
    "long keys": '"' + "k" * 120 + '#":1',
    "wide": '"w#":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}',
    "entries": '"D#":[{"ts":1795000000#,"values":{"a":1}}]',
    "components": '"switch:#":{"id":0,"apower":1.5,"temperature":{"tC":1,"tF":2}}',
    "fields of OPC UA": '"F#":{"Value":{"Body":[#]},"SourceTimestamp":"2026-11-27T12:00:00.#Z"}',
}
ITEMS = {
    "elements": '{"id":#,"v":1}',
    "shapes": '{"n":"a#","b#":1,"v":1}',
    "sensors": '{"mac":"%012X","temperature":#,"hum":2,"rssi":-50,"batt":3}',
    "one sensor": '{"mac":"AABBCCDDEEFF","temperature":#}',
    "plain numbers": "#",
    "empty": "{}",
    "empty lists": "[]",
    "short lists": "[#,1,2,3,4,5,6,7]",
    "lists of objects": '[{"a":#}]',
    "times": '{"ts":17950#,"a":1,"b":2}',
    "named": '{"name":"n#","value":#,"unit":"V"}',
    "records": '{"n":"a#","v":1.5}',
    "records of one name": '{"n":"a","v":1,"t":#}',
    "base names": '{"bn":"d#","n":"t","v":1,"u":"Cel"}',
    "messages": '{"DataSetWriterId":#,"Payload":{"a":1,"b":{"Value":2}}}',
    "devices": '{"device_id":"d#","t":1}',
    "texts": '"5.5 V"',
    "times in texts": '{"time":"2026-11-27T13:38:#","a":1}',
    "nested": '{"a":{"b":{"c":{"d":[1]}}}}',
    "advertisements": '{"mac":"%012X","data":"0201061BFF9904050BB8C8272EE0FFFC040CFFFFAC764200CD"}',
    "gateways": '{"rssi":-#,"snr":1}',
    "inverters": '{"serial":"#","name":"i#","AC":{"0":{"Power":{"v":1,"u":"W","d":1}}}}',
}


def _part(text: str) -> Callable[[int], str]:
    if "%" in text:
        return lambda n: (text % n).replace("#", str(n))
    return _times(text)


TEXTS = {
    "deep": "[" * MOST,
    "deep objects": '{"a":' * (MOST // 5),
    "long text": '"' + "a" * (MOST - 2) + '"',
    "long escapes": '"' + "\\n" * (MOST // 2 - 1) + '"',
    "surrogates": '"' + "\\ud800" * (MOST // 6 - 1) + '"',
    "long number": "1" * MOST,
    "long fraction": "[0." + "1" * (MOST - 5) + "]",
    "lines of JSON": fill(_times('{"a":#}'), sign="\n"),
    "lines of InfluxDB": fill(_times("m#,t=# f=#"), sign="\n"),
    "tags": fill(lambda n: "m," + ",".join(f"t{k}={n}" for k in range(8)) + f" f={n}", sign="\n"),
    "fields": fill(_times("f#=#"), "m "),
    "pairs": fill(_times("k#=#"), sign=";"),
    "colons": fill(_times("k#: #"), sign=";"),
    "cells": fill(_times("#.5"), sign=";"),
    "lines of cells": fill(_times("#;1;a;2026-11-27T12:00:00Z;5 V"), "a;b;c;time;d\n", sign="\n"),
    "lines of titles": fill(_times("a#"), sign="\n"),
    "blank lines": "\n" * MOST,
    "words": "on " * (MOST // 3),
    "equals": "=" * MOST,
    "half JSON": "{a:nan," * (64 * 1024 // 7),
    "single quotes": "['" * (64 * 1024 // 2),
    "commas": "[" + "1," * (MOST // 2 - 1) + "]",
}


class Heavy(NamedTuple):
    """One message, made when it is wanted: there are thousands."""

    family: str
    topic: str
    name: str
    make: Callable[[], str]

    @property
    def payload(self) -> bytes:
        """At most 256 KiB."""
        return self.make().encode()[:MOST]


def _containers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list) and len(path) < _DEEP:
        yield path
        for key, item in value.items() if isinstance(value, dict) else list(enumerate(value))[:1]:
            yield from _containers(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(value: Any, path: tuple[Any, ...], mark: str) -> str:
    """Return the message as text around the part at ``path``, which is replaced by ``mark``."""
    copy = json.loads(json.dumps(value))
    if not path:
        return f'"{mark}"'
    _at(copy, path[:-1])[path[-1]] = mark
    return json.dumps(copy, separators=(",", ":"))


def of_family(word: str) -> Iterator[Heavy]:
    """Yield the messages of one family."""
    topics: dict[str, None] = {}
    seen: set[Any] = set()
    for case in CASES:
        if case.family != word:
            continue
        try:
            value = json.loads(case.payload)
        except ValueError:
            value = None
        topics[case.topic] = None
        if not isinstance(value, dict | list):
            continue
        for path in _containers(value):
            place = (tuple(key if isinstance(key, str) else 0 for key in path), case.topic.count("/"))
            if place in seen:
                continue
            seen.add(place)
            yield from _around(word, case.topic, value, path)
    for topic in list(topics)[:_TOPICS]:
        for name, text in TEXTS.items():
            yield Heavy(word, topic, name, partial(str, text))


def _around(word: str, topic: str, value: Any, path: tuple[Any, ...]) -> Iterator[Heavy]:
    head, tail = _with(value, path, "MARK").split('"MARK"')
    label = ".".join(map(str, path))
    own = _at(value, path)
    inner = json.dumps(own, separators=(",", ":"))[1:-1]

    def heavy(name: str, part: Callable[[int], str], start: str, end: str) -> Heavy:
        return Heavy(word, topic, f"{label} {name}", partial(fill, part, head + start, end + tail))

    for name, text in FIELDS.items():
        yield heavy(name, _part(text), "{", "}")
        if isinstance(own, dict) and inner:
            yield heavy(f"own and {name}", _part(text), "{" + inner + ",", "}")
    for name, text in ITEMS.items():
        yield heavy(name, _part(text), "[", "]")
    if isinstance(own, list) and own:
        item = json.dumps(own[0], separators=(",", ":"))
        yield heavy("own items", partial(_same, item), "[", "]")
        yield heavy("own items, numbered", partial(_numbered, item), "[", "]")
    if isinstance(own, dict) and own:
        key, one = next(iter(own.items()))
        field = json.dumps(one, separators=(",", ":"))
        yield heavy("own keys", partial(_keyed, key, field), "{", "}")
        yield heavy("as items", partial(_numbered, "{" + inner + "}"), "[", "]")


def _numbered(item: str, n: int) -> str:
    """Return ``item`` with other texts, so that no two are equal."""
    return item.replace('":"', f'":"{n}', 1)


def _same(item: str, _n: int) -> str:
    return item


def _keyed(key: str, field: str, n: int) -> str:
    return f'"{key}{n}":{field}'
