"""When connections break: a pure function of seed and connection."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """Connections are cut about every ``every_s`` and come back after ``down_s`` (event seconds)."""

    every_s: float
    down_s: float
    share: float = 1.0  # of the connections
    seed: int = 1

    def cuts(self, connection: str, start: float) -> Iterator[float]:
        """Yield the event times after ``start`` at which ``connection`` is cut; none if it does not flap.

        The time between two cuts is ``down_s`` and 0.5 to 1.5 times ``every_s``.
        """
        dice = Random(f"flap/{self.seed}/{connection}")
        if dice.random() >= self.share:
            return
        at = start + self.every_s * dice.random()
        while True:
            yield at
            at += self.down_s + self.every_s * (0.5 + dice.random())
