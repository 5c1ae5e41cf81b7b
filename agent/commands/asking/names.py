"""The devices that a question names, and the question without any device's name."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from agent.domain.kinds import Kind
from agent.domain.metric_names import find_dimensions

MAX_DEVICES = 8  # that one answer is about
MAX_NEAR = 5
MAX_WORDS = 12  # of a name
MAX_SEGMENTS = 6  # of a name, between slashes
MIN_WORD = 3  # letters of a word that is part of a name
HIDDEN = "(name)"

_WORD = re.compile(r"[^\W\d_]+|\d+")
_QUOTED = re.compile(r"[\"'\u201c\u2018`]([^\"'\u201c\u201d\u2018\u2019`]+)[\"'\u201d\u2019`]")
_NAME = re.compile(r"[\w/.-]+")
_WORDS = """
a about above after again alarm alarmed alarms alert alerts all an and any are as at be been before
below between broken but by can cause caused change changed closed compare could day days device
devices did do does doing down during each error evening ever every fault fell find finding findings
for from get give go going happen happened happening has have high higher hour hours how i if in
incident incidents is it its jump jumped last late list long low lower many me minute minutes mode
month more morning most much my new next night no normal not now of off often on one open or other
our out over past place problem problems reading readings report reported rise rose sensor sensors
should show silent since so some start started status still stop stopped such summary than that the
their them there these they this those time times to today too two until up us usual value values
warning was we week weeks went were what when where which while who why will with wrong year
yesterday you
"""
_COMMON = frozenset(_WORDS.split())  # of questions
_KINDS = frozenset(map(str, Kind))

Phrase = tuple[int, int, tuple[str, ...]]  # begin, end and devices of a part of the question


@dataclass(frozen=True, slots=True)
class Named:
    """The devices of a question.

    Attributes:
        devices: at most :data:`MAX_DEVICES`, in the order of the question.
        more: how many more it names.
        phrases: the parts of the question that name some.
        unknown: names in it that no device has, each with names that are close.
    """

    devices: tuple[str, ...]
    more: int
    phrases: tuple[Phrase, ...]
    unknown: Mapping[str, tuple[str, ...]]


class Names:
    """The names of all devices, for look-ups by words, whole or in part."""

    def __init__(self, devices: Iterable[str]) -> None:
        self._devices = tuple(devices)
        self._whole: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._segments: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._words: dict[str, list[str]] = defaultdict(list)
        for device in self._devices:
            self._add(device)

    def _add(self, device: str) -> None:
        self._whole[_words(device)].append(device)
        parts = device.split("/")[:MAX_SEGMENTS]
        for begin in range(len(parts)):
            for end in range(begin + 1, len(parts) + 1):
                self._segments[_words("/".join(parts[begin:end]))].append(device)
        for word in {_singular(word.casefold()) for word in _WORD.findall(device)}:
            self._words[word].append(device)

    def exact(self, question: str) -> tuple[list[Phrase], str]:
        """Return where the question has a name or a segment of one, and the question without them."""
        found: list[Phrase] = [
            (quote.start(), quote.end(), (quote[1],))
            for quote in _QUOTED.finditer(question)
            if quote[1] in self._devices
        ]
        tokens = list(_WORD.finditer(_blank(question, found)))
        weak: list[Phrase] = []  # a word such as temperature, which may be meant so
        place = 0
        while place < len(tokens):
            for size in range(min(MAX_WORDS, len(tokens) - place), 0, -1):
                key = tuple(token.group().casefold() for token in tokens[place : place + size])
                devices = self._whole.get(key) or self._segments.get(key)
                if devices and not all(map(_is_common, key)):
                    measured = all(_is_common(word) or _is_measured(word) for word in key)
                    phrase = (tokens[place].start(), tokens[place + size - 1].end(), tuple(devices))
                    (weak if measured else found).append(phrase)
                    place += size - 1
                    break
            place += 1
        found = _narrowed(found or weak)
        return found, _blank(question, found)

    def find(self, exact: Sequence[Phrase], rest: str) -> Named:
        """Return the devices of a question: those of ``exact``, else those that ``rest`` names in part."""
        named = (found.group().strip("./-") for found in _NAME.finditer(rest))
        foreign = [name for name in named if _looks_like_a_device(name)][:MAX_NEAR]
        unknown = {
            name: tuple(get_close_matches(name, self._devices, n=MAX_NEAR, cutoff=0.4)) for name in foreign
        }
        phrases = list(exact)
        if not phrases and not unknown:
            phrases = self._partial(rest)
        every = list(dict.fromkeys(device for _, _, devices in sorted(phrases) for device in devices))
        kept = tuple(every[:MAX_DEVICES])
        return Named(kept, len(every) - len(kept), tuple(sorted(phrases)), unknown)

    def _partial(self, text: str) -> list[Phrase]:
        """Return the words that are part of names; devices that have all of them, if there are any."""
        found: list[Phrase] = []
        for token in _WORD.finditer(text):
            word = token.group().casefold()
            devices = self._words.get(_singular(word), [])
            if devices and len(word) >= MIN_WORD and not (_is_common(word) or _is_measured(word)):
                found.append((token.start(), token.end(), tuple(devices)))
        shared = [one for one in found[0][2] if all(one in of for _, _, of in found)] if found else []
        return [(begin, end, tuple(shared) or devices) for begin, end, devices in found]

    def others(self, text: str, devices: Collection[str]) -> list[str]:
        """Return the names in ``text`` that are those of other devices alone."""
        found, _ = self.exact(text)
        return [text[begin:end] for begin, end, of in found if not set(of) & set(devices)]

    def hide(self, question: str, named: Named, aliases: Mapping[str, str]) -> str:
        """Return ``question`` with aliases in place of names, and without any other part of a name."""
        pieces, last = [], 0
        for begin, end, devices in named.phrases:
            known = [aliases[one] for one in devices if one in aliases]
            pieces += [self._masked(question[last:begin]), ", ".join(known) or HIDDEN]
            last = end
        return "".join([*pieces, self._masked(question[last:])])

    def _masked(self, text: str) -> str:
        def mask(token: re.Match[str]) -> str:
            word = token.group().casefold()
            plain = _is_common(word) or _is_measured(word)
            return HIDDEN if not plain and _singular(word) in self._words else token.group()

        text = _WORD.sub(mask, text)
        for name in self._unspaced():  # scripts without spaces between words
            text = text.replace(name, HIDDEN)
        return text

    def _unspaced(self) -> Iterator[str]:
        for device in self._devices:
            if not device.isascii():
                yield device
                yield from (part for part in device.split("/") if part and not part.isascii())


def _looks_like_a_device(name: str) -> bool:
    """Return whether a word of letters and digits is not that of a quantity."""
    return name[:1].isalpha() and any(map(str.isdigit, name)) and not _is_measured(name)


def _narrowed(found: list[Phrase]) -> list[Phrase]:
    """Cut a phrase that names several devices to those that another one names more closely."""
    narrow = []
    for begin, end, devices in found:
        others = [of for _, _, of in found if len(of) < len(devices)]
        shared = tuple(one for one in devices if any(one in of for of in others))
        narrow.append((begin, end, shared or devices))
    return narrow


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.casefold() for word in _WORD.findall(name)[: MAX_WORDS + 1])


def _singular(word: str) -> str:
    return word[:-1] if len(word) > MIN_WORD and word.endswith("s") else word


def _is_common(word: str) -> bool:
    """Return whether a word is one of many questions, or a number: it names a device in quotes only."""
    return word.isdecimal() or word in _COMMON or word in _KINDS


def _is_measured(name: str) -> bool:
    """Return whether a word is that of a quantity, such as co2 or flow_2, from the closed list."""
    return bool(find_dimensions(name))


def _blank(text: str, found: Iterable[Phrase]) -> str:
    for begin, end, _ in found:
        text = text[:begin] + " " * (end - begin) + text[end:]
    return text
