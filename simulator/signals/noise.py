"""Randomness as a function of a seed, a device and an instant.

A value may be asked for any instant, in any order. Noise is therefore a hash of the seed and the instant,
not the next number of a generator. The cache saves time only and changes no value.
"""

import math
from functools import lru_cache
from hashlib import blake2b

_UNIT = 2.0**-32
_TURN = 2.0 * math.pi


class Noise:
    """Randomness of one device: a function of the seed, the device and the instant."""

    def __init__(self, *, seed: int, device: str) -> None:
        self._hash = blake2b(
            key=blake2b(f"{seed}/{device}".encode(), digest_size=32).digest(), digest_size=32
        )
        self._seed = seed
        self._spans: dict[tuple[str, float], tuple[int, float, float]] = {}
        self.phase = self.uniform(0, "phase")  # 0..1, so that devices of one kind do not march in step

    @property
    def shared(self) -> "Noise":
        """The randomness that all devices of a seed have in common, such as the air of a room."""
        return _shared(self._seed)

    def normals(self, at: float, channel: str = "") -> tuple[float, ...]:
        """Return eight independent standard normal numbers for the instant ``at`` (s), to the millisecond."""
        words = self._words(f"{channel}@{round(at * 1000)}")
        out: list[float] = []
        for first, second in zip(words[::2], words[1::2], strict=True):
            radius = math.sqrt(-2.0 * math.log((first + 0.5) * _UNIT))
            angle = _TURN * second * _UNIT
            out += (radius * math.cos(angle), radius * math.sin(angle))
        return tuple(out)

    def uniform(self, step: int, channel: str) -> float:
        """Return a number in 0..1 that belongs to ``step`` of ``channel``."""
        return self._words(f"{channel}#{step}")[0] * _UNIT

    def wander(self, at: float, period_s: float, channel: str = "") -> float:
        """Return smooth noise in -1..1 that takes about ``period_s`` to forget where it was."""
        place, left, right = self._between(at, period_s, f"{channel}~{period_s}")
        weight = place * place * (3.0 - 2.0 * place)
        return 2.0 * (left + (right - left) * weight) - 1.0

    def walk(self, at: float, longest_s: float, channel: str = "") -> float:
        """Return a random walk that stays in -1..1.

        A true random walk needs all its steps before. This one is the sum of a wander of ``longest_s`` and
        of its quarters, each half as wide: a walk from ``longest_s`` down to 1/64 of it that comes back.
        """
        return sum(
            self.wander(at, longest_s / 4.0**octave, f"{channel}/{octave}") * 0.5**octave
            for octave in range(4)
        ) / (2.0 - 0.5**3)

    def tally(self, at: float, step_s: float, channel: str = "") -> tuple[float, float]:
        """Return a counter that never falls and how fast it rises (0..2, 1 in the mean).

        The counter is at ``n + u(n)`` steps after step ``n``, with ``u`` a hash in 0..1: random in each
        step, yet known at any instant without the steps before.
        """
        place, left, right = self._between(at, step_s, f"{channel}+{step_s}")
        rate = 1.0 + right - left
        return step_s * (math.floor(at / step_s) + left + rate * place), rate

    def hex(self, at: float, channel: str, length: int) -> str:
        """Return ``length`` hexadecimal digits (at most 64) that belong to the instant."""
        return self._digest(f"{channel}@{round(at * 1000)}").hex()[:length]

    def _between(self, at: float, period_s: float, channel: str) -> tuple[float, float, float]:
        """Return the place in the period (0..1) and the numbers that belong to its two ends."""
        step = math.floor(at / period_s)
        kept = self._spans.get((channel, period_s))
        if kept is None or kept[0] != step:
            kept = step, self.uniform(step, channel), self.uniform(step + 1, channel)
            self._spans[channel, period_s] = kept
        return at / period_s - step, kept[1], kept[2]

    def _words(self, text: str) -> list[int]:
        digest = self._digest(text)
        return [int.from_bytes(digest[place : place + 4], "big") for place in range(0, 32, 4)]

    def _digest(self, text: str) -> bytes:
        one = self._hash.copy()
        one.update(text.encode())
        return one.digest()


@lru_cache(maxsize=16)
def _shared(seed: int) -> Noise:
    return Noise(seed=seed, device="")
