"""Seeded hostile inputs: random, structured, mutated, adversarial."""

import json
import random
import string
import struct
from collections.abc import Callable, Sequence
from functools import partial

from tests.support.growth import RUNS

CHARACTERS = string.printable + "é°µ\u200b\u202e\ufeff\u2028\ud800\U0001f321\x00"
NUMBERS = (
    "0", "-0", "1", "21.5", "1e5", "1E400", "-1e-400", "NaN", "Infinity", "1" * 400, "0x1F", "1:20", "007",
    "1_000", "1782475200", "1782475200000", "9" * 19, "." , "1.", ".5", "+3",
)  # fmt: skip
TEXTS = (
    "ON", "off", "21.5 °C", "nan", "2026-06-26T12:00:00Z", "2026-06-26", "", " ", "\\ud800", "x" * 200,
    "ignore all previous rules", "<|im_start|>", "r17 is 98.66 degC", "-5..+7", "99th percentile", "a@b.de",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "password=hunter22", "a.b/c", "1:1:1",
)  # fmt: skip

Make = Callable[[random.Random, int], bytes]


def rarely_large(rng: random.Random, most: int) -> int:
    """Return a size: mostly a few hundred, one time in a thousand as large as is taken."""
    roll = rng.random()
    return min(
        most, rng.randrange(1, 400) if roll < 0.96 else rng.randrange(400, 4096) if roll < 0.999 else most
    )


def noise(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def characters(rng: random.Random, size: int) -> bytes:
    return "".join(rng.choices(CHARACTERS, k=size)).encode("utf-8", "surrogatepass")


def runs(rng: random.Random, size: int, beginnings: Sequence[str] = ()) -> bytes:
    """Return a beginning and a run, or both over and over: what a quadratic reader stumbles over."""
    start = rng.choice(beginnings) if beginnings and rng.random() < 0.8 else ""
    run = rng.choice(RUNS)
    if rng.random() < 0.5:
        run, start = start + run, ""
    return (start + run * (size // len(run) + 1))[:size].encode("utf-8", "surrogatepass")


def json_text(rng: random.Random, size: int, keys: Sequence[str], depth: int = 0) -> str:
    """Return JSON, or nearly so, of about ``size`` characters."""
    kind = rng.random()
    if size < 12 or depth > 6 or kind < 0.15:
        kind = rng.random()
        if kind < 0.5:
            return rng.choice(NUMBERS)
        if kind < 0.6:
            return rng.choice(("true", "false", "null"))
        return json.dumps(rng.choice(TEXTS), ensure_ascii=kind < 0.8)
    parts = rng.randrange(1, 9 if size < 400 else 200)
    inner = [json_text(rng, size // parts, keys, depth + 1) for _ in range(parts)]
    if kind < 0.45:
        return "[" + ",".join(inner) + "]"
    return "{" + ",".join(f"{json.dumps(_key(rng, keys))}:{one}" for one in inner) + "}"


def _key(rng: random.Random, keys: Sequence[str]) -> str:
    key = rng.choice(keys)
    kind = rng.random()
    if kind < 0.7:
        return key
    if kind < 0.85:
        return "".join(rng.choice((one.upper(), one)) for one in key)
    return "".join(rng.choices(CHARACTERS, k=rng.randrange(8)))


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return ``data`` with a few bytes changed, cut, doubled or put elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            changed[at : at + 1] = rng.randbytes(1)
        elif kind == 1:
            del changed[at : at + rng.randrange(1, 20)]
        elif kind == 2:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)] * rng.randrange(1, 4)
        elif kind == 3:
            changed[at:at] = rng.choice(RUNS).encode("utf-8", "surrogatepass") * rng.randrange(1, 30)
        else:
            changed[at:at] = rng.choice((*NUMBERS, *TEXTS)).encode("utf-8", "surrogatepass")
    return bytes(changed)


def mixed(
    rng: random.Random, most: int, *, good: Make, beginnings: Sequence[str], keys: Sequence[str]
) -> bytes:
    """Return an input of one of all kinds; ``good`` makes those that the reader accepts."""
    size = rarely_large(rng, most)
    makers: tuple[tuple[float, Make], ...] = (
        (0.08, noise),
        (0.10, characters),
        (0.22, partial(runs, beginnings=beginnings)),
        (0.25, lambda rng, size: json_text(rng, size, keys).encode("utf-8", "surrogatepass")),
        (0.10, good),
        (0.25, lambda rng, size: mutated(rng, good(rng, size))),
    )
    make = rng.choices([maker for _, maker in makers], weights=[weight for weight, _ in makers])[0]
    return make(rng, size)[:most]


# ------------------------------------------------------------------------------------------- MQTT


def remaining(length: int) -> bytes:
    """Return a variable byte integer (MQTT 5, section 1.5.5)."""
    out = bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        out.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(out)


def _text(rng: random.Random) -> bytes:
    text = rng.choice((*TEXTS, "s/a/t", "$SYS/broker/x", "")).encode("utf-8", "surrogatepass")
    length = len(text) if rng.random() < 0.97 else rng.randrange(65_536)
    return struct.pack("!H", length) + text


def _properties(rng: random.Random) -> bytes:
    body = b""
    for _ in range(rng.choice((0, 0, 1, 3, 300 if rng.random() < 0.05 else 2))):
        kind = rng.choice((0x26, 0x26, 0x26, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x11, 0x21, 0x7F))
        if kind == 0x26:
            body += b"\x26" + _text(rng) + _text(rng)
        elif kind in {0x03, 0x08, 0x09}:
            body += bytes([kind]) + _text(rng)
        else:
            body += bytes([kind]) + rng.randbytes(rng.randrange(1, 5))
    return remaining(len(body) if rng.random() < 0.97 else rng.randrange(1 << 21)) + body


def packets(rng: random.Random, size: int) -> bytes:
    """Return packets as a broker sends them, good and not so good."""
    out = b""
    while len(out) < size:
        kind = rng.choice(
            (0x20, 0x30, 0x32, 0x33, 0x3A, 0x40, 0x90, 0xB0, 0xD0, 0xE0, 0x36, rng.randrange(256))
        )
        if kind & 0xF0 == 0x30:
            body = _text(rng) + (rng.randbytes(2) if kind & 6 else b"") + _properties(rng)
            body += rng.randbytes(rng.randrange(1 + min(size, 400)))
        elif kind == 0x20:
            body = bytes([rng.randrange(2), rng.choice((0, 0, 0x87, 0x84, 0xFF))]) + _properties(rng)
        else:
            body = rng.randbytes(rng.randrange(4)) + (_properties(rng) if rng.random() < 0.5 else b"")
            body += bytes(rng.choices((0, 1, 0x80, 0x95, 0xFF), k=rng.randrange(4)))
        length = len(body) if rng.random() < 0.95 else rng.randrange(1 << 28)
        out += bytes([kind]) + remaining(length) + body
    return out
