"""The fuzzed readers, with the material of their inputs and their allowed errors."""

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from agent.ai.answer_cache import AnswerCache
from agent.ai.validate import check
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.decode.availability import AvailabilitySpec
from agent.decode.families import formats
from agent.decode.injection import InjectionScanner
from agent.decode.metric_rules import MetricSettings
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.source_spec import TimeSettings
from agent.domain.records import DecodeError, DecodeReason, Grounding
from agent.mqtt.paho_client import PahoClient
from agent.mqtt.settings import LinkSettings
from agent.mqtt.wire import Wire, WireError
from agent.prompt.parse import Problem, parse
from agent.verdict.feedback import read_feedback
from tests.ai.kit import two_windows
from tests.decode.cases import CASES
from tests.fuzz.material import json_text, mixed, mutated, noise, packets, rarely_large, runs
from tests.support.model_endpoint import answer_of

NOW = 1_782_475_200.0


@dataclass(frozen=True)
class Target:
    """A reader of foreign bytes: ``make`` an input, ``read`` it; anything it raises is a finding."""

    make: Callable[[random.Random], bytes]
    read: Callable[[bytes], object]


def _bounded(message: str) -> None:
    """Check that a message has text, can be written, and does not grow with the input."""
    assert 0 < len(message.encode()) < 65_536


# ----------------------------------------------------------------------------------------- decode

_KEYS = (
    "ts", "time", "timestamp", "value", "v", "name", "n", "unit", "u", "action", "id", "device_id", "state",
    "traceparent", "temperature", "a", "a.b", "b", "measurements", "data", "sensor", "verdict_id", "outcome",
)  # fmt: skip
_PAYLOADS = ('{"a":', '{"value":"', "[1,", '{"ts":"', '{"a":1},', "[[1,1],", '{"TS":1,"ts":1},', '"', "1e")
_TOPICS = (
    "s/th1/t", "f/th1", "z/a/b", "z/x/y", "w", "w/x", "st/th1", "other", "s/\x00/t", "s//t", "f/" + "a" * 300,
    "d/a/b", "r/a", "rs",
)  # fmt: skip
RULES = MetricSettings(
    include=("*",), exclude=("a.*",), rename={"a": "b"}, units={"*": "V"}, ignore_values={"*": (7.0,)}
)


def _decode(
    registry: Registry, topic: str, data: bytes, properties: tuple[tuple[str, str], ...] = ()
) -> None:
    try:
        decoded = registry.decode(topic, data, NOW, properties)
    except DecodeError as error:
        if error.reason is DecodeReason.DECODER_FAULT:
            raise
        _bounded(error.detail)
    else:
        assert isinstance(decoded, Decoded)
        assert len(decoded.readings) <= 4096


@contextmanager
def decode() -> Iterator[Target]:
    """The registry with every kind of source and every family, the feedback reader, the injection scanner."""
    registry = Registry(
        sources=[
            SourceSpec("s/{device}/{metric}", dedupe="$.id"),
            SourceSpec("f/{device}", availability=AvailabilitySpec("st/{device}")),
            SourceSpec("z/{device+}", exclude=("z/x/#",)),
            SourceSpec("d/{x}/{metric}", device="{x}-{$.id}/{$.name}", time=TimeSettings(field="$.ts")),
            SourceSpec(
                "r/{x}",
                device="{$.id}",
                metrics=RULES,
                availability=AvailabilitySpec("rs", field="$.state"),
            ),
            SourceSpec("w/#"),
        ],
        base_topic="edge-agent/gw1",
    )

    families = [Registry(sources=[SourceSpec("#", word)], base_topic="edge-agent/gw1") for word in formats()]

    def good(rng: random.Random, size: int) -> bytes:
        if rng.random() < 0.3:
            return rng.choice(CASES).payload
        values = {key: rng.choice((21.5, 7, True, "ON", "21.5 °C", NOW)) for key in rng.sample(_KEYS, 4)}
        many = [values] * max(1, size // 100) if rng.random() < 0.3 else values
        return json.dumps(many).encode()

    def read(data: bytes) -> None:
        topic = _TOPICS[len(data) % len(_TOPICS)]
        properties = (("traceparent", data[:200].decode("latin-1")), ("ts", data[:40].decode("latin-1")))
        _decode(registry, topic, data, properties)
        _decode(families[len(data) % len(families)], CASES[len(data) % len(CASES)].topic, data)
        InjectionScanner(lambda _rule, _topic: None).scan(data, topic, garbled=True)
        with suppress(DecodeError):
            read_feedback(data)

    make = partial(mixed, most=262_144, good=good, beginnings=_PAYLOADS, keys=_KEYS)
    yield Target(make, read)


# ------------------------------------------------------------------------------------------ reply

_REPLY_KEYS = ("windows", "w", "status", "kind", "severity", "confidence", "evidence", "summary", "x")
_REPLIES = (
    "```", "```json\n", "<think>", "</think>", '{"windows":[', '{"windows":[{"w":1,"summary":"', '{"w":1,',
    '{"a":', "r1", "1.", '{"windows":[{"w":1},', "NaN,", '{"w":1,"x":[',
)  # fmt: skip


@contextmanager
def reply() -> Iterator[Target]:
    """The reply parser, complete or cut off, then grounding and the cache with its answers."""
    batch = two_windows()
    asked = [{"w": place, **json.loads(one.section)} for place, one in enumerate(batch.windows, 1)]

    def good(rng: random.Random, size: int) -> bytes:
        answers = [answer_of(window) for window in asked]
        answers[0]["summary"] = json_text(rng, min(size, 400), _REPLY_KEYS)
        answers[0]["evidence"] = [rng.choice(("r17", "r1", "r2", "", "r" + "9" * 20, "\n"))]
        text = json.dumps({"windows": answers * max(1, size // 2000)})
        return (
            rng.choice(("{}", "```json\n{}\n```", "<think>{{</think>{}", "{},")).replace("{}", text).encode()
        )

    cache = AnswerCache(ttl_s=1.0, max_bytes=100_000, context=(), clock=lambda: 0.0)

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        parsed = parse(text, batch, truncated=len(data) % 3 == 0)
        assert set(parsed.answers) == {window.id for window in batch.windows}
        for window in batch.windows:
            answer = parsed.answers[window.id]
            if not isinstance(answer, Problem):
                assert len(answer.summary) <= 300
                answer.summary.encode()
                if check(answer, window).grounding is Grounding.GROUNDED:
                    cache.put(window, answer, "m")
                    cache.get(window)

    yield Target(partial(mixed, most=262_144, good=good, beginnings=_REPLIES, keys=_REPLY_KEYS), read)


# ------------------------------------------------------------------------------------------- wire


class SilentSocket:
    """A socket whose other end is the input."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def recv(self, size: int) -> bytes:
        if not self.data:
            raise BlockingIOError
        chunk, self.data = self.data[:size], self.data[size:]
        return chunk

    def send(self, data: bytes) -> int:
        return len(data)

    def setblocking(self, _flag: bool) -> None: ...

    def fileno(self) -> int:
        return -1

    def close(self) -> None: ...


@contextmanager
def wire() -> Iterator[Target]:
    """The wire with paho behind it, from the CONNACK on, both protocols, in pieces of any size."""
    settings = LinkSettings(host="127.0.0.1", client_id="fuzz", base_topic="edge-agent/gw1")
    connack = {True: b"\x20\x03\x00\x00\x00", False: b"\x20\x02\x00\x00"}

    def make(rng: random.Random) -> bytes:
        size = rarely_large(rng, 65_536 if rng.random() < 0.1 else 2048)
        kind = rng.random()
        if kind < 0.1:
            return noise(rng, size)
        if kind < 0.2:
            return runs(rng, size, ("\x30", "\x20", "\x90", "\x32\x7f", "\x00"))
        data = packets(rng, min(size, 4096))
        return mutated(rng, data)[:65_536] if kind < 0.7 else data

    def read(data: bytes) -> None:
        v5, early = bool(data[:1] and data[0] & 1), len(data) % 7 == 0
        sock: Any = SilentSocket((b"" if early else connack[v5]) + data)
        taken: list[object] = []
        try:
            link = Wire(
                sock,
                v5=v5,
                max_packet_size=settings.max_packet_size,
                take=lambda *publish: taken.append(publish),
                control=lambda packet: client.feed(packet),  # noqa: PLW0108 - made below
            )
            client = PahoClient(settings=settings, wire=link, protocol="5" if v5 else "3.1.1", password=None)
            client.open()
            while link.fill():
                client.events.clear()
        except WireError:
            pass

    yield Target(make, read)


# ------------------------------------------------------------------------------------------ config

_SETTINGS = (
    "agent", "journal", "mqtt", "sources", "limits", "review", "ai", "web", "traces", "logs", "url",
    "topic", "id", "low", "high", "unit", "budget", "prices", "listen", "window", "max_age_s", "mode", "<<",
)  # fmt: skip
_YAML = (
    "a: ", "- ", "? ", "!!int ", "!!timestamp ", "!!bool ", "!!binary ", "!!set {", "!!python/none ", "&a ",
    "*a ", "|\n ", ">\n ", "{a: ", "[", "'", '"\\x', "%YAML 1.1\n", "--- ", "# ", "agent: {id: ", "limits: {",
    "sources: [", "a: 1:", "mqtt:\n  url: mqtt://",
)  # fmt: skip


@contextmanager
def config() -> Iterator[Target]:
    """The configuration loader, from a file on disk; half of the inputs are mutations of the shipped ones."""
    shipped = [path.read_bytes() for path in sorted(Path("configs").glob("*.yaml"))]
    sections = [
        yaml.safe_dump({key: value}).encode() for one in shipped for key, value in yaml.safe_load(one).items()
    ]

    def good(rng: random.Random, _size: int) -> bytes:
        return rng.choice(sections)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"

        def read(data: bytes) -> None:
            path.write_bytes(data)
            try:
                load(path, {})
            except ConfigError as error:
                _bounded(str(error))

        yield Target(partial(mixed, most=1024, good=good, beginnings=_YAML, keys=_SETTINGS), read)


TARGETS = {"decode": decode, "reply": reply, "wire": wire, "config": config}
