"""Site knowledge: names and facts of devices, in prompts if a person shares them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import pairwise

from agent.decode.injection import suspicions
from agent.prompt.section import dump

ALIASES, NAMES = "aliases", "names"
SHARES = (ALIASES, NAMES)
MAX_WORDS = 400  # of an entry
MAX_CHARACTERS = 4000
MAX_ENTRIES = 200
MAX_NAME = 64  # characters of a device name that is shared

#: After a sentence, an empty line, or before an item of a list.
_END = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])|\n[^\S\n]*\n|\n[^\S\n]*(?=[-*] )")
_ALIAS = re.compile(r"(?i)dev_\d+")


def _line(ref: str, text: str) -> str:
    return dump({ref: text}, ascii_only=False)  # escapes would cost tokens in other alphabets


def _size(ref: str, text: str) -> int:
    return len(_line(ref, text).encode()) + 1


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence of the knowledge on the devices that ``glob`` covers, cited by its id (``k3``)."""

    id: str
    glob: str
    text: str
    suspicions: tuple[str, ...] = ()  # rules of the injection scanner that it breaks: it is not sent

    @property
    def line(self) -> str:
        """Return the fact as a line of a prompt."""
        return _line(self.id, self.text)


@dataclass(frozen=True, slots=True)
class Shared:
    """Name and facts of one device, as a prompt holds them."""

    name: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)  # id -> sentence

    @property
    def size(self) -> int:
        """Return the bytes of its facts in a prompt."""
        return sum(_size(ref, text) for ref, text in self.facts.items())


ALONE = Shared()


@dataclass(frozen=True, slots=True)
class Site:
    """The names and facts that may leave the site; empty unless ``ai.share`` is ``names``."""

    names: bool = False
    facts: tuple[Fact, ...] = ()
    digest: str = ""  # of all that may leave, part of the prompt's version

    @property
    def size(self) -> int:
        """Return the bytes of all facts in a prompt."""
        return sum(_size(fact.id, fact.text) for fact in self.facts)

    @property
    def globs(self) -> tuple[str, ...]:
        """Globs of the facts: devices under one of them are shown side by side."""
        return tuple(dict.fromkeys(fact.glob for fact in self.facts))

    @classmethod
    def of(cls, share: str, knowledge: Mapping[str, str]) -> "Site":
        """Return what ``share`` lets leave; a sentence that looks like an instruction never does."""
        if share != NAMES:
            return cls()
        facts = tuple(fact for fact in facts_of(knowledge) if not fact.suspicions)
        text = dump([NAMES, *([fact.id, fact.glob, fact.text] for fact in facts)])
        return cls(names=True, facts=facts, digest=sha256(text.encode()).hexdigest()[:8])

    def shared(self, devices: Iterable[str], room: float) -> dict[str, Shared]:
        """Return name and facts of each of ``devices``, as a prompt on them holds them.

        Args:
            devices: of the prompt.
            room: bytes for the facts; those of the end are left out.
        """
        facts: dict[str, dict[str, str]] = {device: {} for device in devices}
        for fact in self.facts:
            covered = [device for device in facts if fnmatchcase(device, fact.glob)]
            if not covered:
                continue
            room -= _size(fact.id, fact.text)
            if room < 0:
                break
            for device in covered:
                facts[device][fact.id] = fact.text
        return {device: Shared(self.name(device), known) for device, known in facts.items()}

    def name(self, device: str) -> str | None:
        """Return the name of a device, None where its alias is better: names come from outside."""
        fit = len(device) <= MAX_NAME and device.isprintable() and not _ALIAS.fullmatch(device)
        return device if self.names and fit and not suspicions(device) else None


NOTHING = Site()


def facts_of(knowledge: Mapping[str, str]) -> list[Fact]:
    """Return the sentences of all entries in order, numbered from ``k1``."""
    found: list[Fact] = []
    for glob, text in knowledge.items():
        parts = (_plain(part).removeprefix("- ") for part in _END.split(text))
        sentences = [part for part in parts if part]
        rules = [_suspicions(sentence) for sentence in sentences]
        if not any(rules):  # an instruction may be spread over sentences
            rules = [_suspicions(_plain(text))] * len(sentences)
        found += [
            Fact(f"k{number}", glob, *one)
            for number, one in enumerate(zip(sentences, rules, strict=True), len(found) + 1)
        ]
    return found


def _suspicions(text: str) -> tuple[str, ...]:
    return tuple(rule for rule in suspicions(text) if rule != "oversize")


def _plain(text: str) -> str:
    """Return ``text`` on one line; other control characters are left to the scanner."""
    return " ".join(text.split())


def spans(ids: Iterable[str]) -> list[str]:
    """Return ids in short: ``k1``, ``k2``, ``k3``, ``k7`` are ``k1-k3`` and ``k7``."""
    numbers = sorted(int(one[1:]) for one in ids)
    breaks = [place for place, (one, other) in enumerate(pairwise(numbers), 1) if other != one + 1]
    runs = [numbers[start:end] for start, end in pairwise([0, *breaks, len(numbers)])] if numbers else []
    return [f"k{run[0]}-k{run[-1]}" if len(run) > 1 else f"k{run[0]}" for run in runs]
