"""The closed lists of metric words and units that may leave the site."""

import re
from collections.abc import Iterable, Iterator
from itertools import count

from agent.domain.metric_names import look_up
from agent.domain.records import Window
from agent.domain.units import canonical

NUMBERED = re.compile(r"\b[a-z][a-z0-9_]*_\d{1,3}\b")


def metric_word(name: str) -> str | None:
    """Return the metric's name made of known words only (``supply_temperature_2``), or None."""
    return look_up(name).word


def unit_word(unit: str | None) -> str | None:
    """Return the unit as ASCII from the closed list, or None."""
    return canonical(unit) if unit else None


def name_metrics(names: Iterable[str]) -> dict[str, str]:
    """Give each metric, in order, a known word, or ``metric_1``, ``metric_2``... where there is none.

    The second metric of one word has a number behind it: ``temperature_2``.
    """
    every = list(dict.fromkeys(names))
    plain = {word for name in every if (word := metric_word(name)) is not None}
    named: dict[str, str] = {}
    taken: set[str] = set()
    numbers: dict[str, Iterator[int]] = {}
    for place, name in enumerate(every, 1):
        word = metric_word(name) or f"metric_{place}"
        if word in taken:
            numbered = (f"{word}_{number}" for number in numbers.setdefault(word, count(2)))
            word = next(one for one in numbered if one not in taken and one not in plain)
        taken.add(word)
        named[name] = word
    return named


def reveal(summary: str, window: Window) -> str:
    """Put the real metric names of ``window``'s candidates back where the prompt had placeholders."""
    words = name_metrics(reading.metric for reading in window.candidates)
    real = {word: name for name, word in words.items() if word != metric_word(name)}
    return NUMBERED.sub(lambda match: real.get(match.group(), match.group()), summary)
