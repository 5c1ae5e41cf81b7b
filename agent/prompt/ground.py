"""Grounding: every claim of an answer is looked up in its own window, in code."""

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from agent.domain.kinds import Claim, Kind
from agent.domain.records import Answer, Check, Do, Grounding, Status, Window
from agent.prompt.render import FORM_SUMMARY
from agent.prompt.section import load
from agent.prompt.site import ALONE, Shared

_POWERS = "\u00b9\u00b2\u00b3"  # of units: m², s³
MIN_STILL = 5  # equal newest values that make a flatline
MAX_DETAIL = 120
RELATIVE_TOLERANCE = 0.05
NORMAL_REASON = "normal_reason"
_LONE = frozenset({Kind.SPIKE, Kind.OTHER})  # alarms about the value itself, not about its course

_ISO_TIME = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\d:])"
)
_REF = re.compile(r"\b([rR]|k)(\d+)\b")
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z][A-Za-z_]*[-_#]?\d[\w-]*(?:\.\d+)?")
_NUMBER = re.compile(
    r"(?<!\w)(?<!\d\.)[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
)
#: The names of the printed statistics p01 and p99 in sentences.
_PERCENTILE = re.compile(r"(?i)\b(?:1(?:st)?|99(?:th)?)[ -]?(?:%|percent(?:iles?)?\b)")
#: Words of letters and digits that name no device: substances, particle sizes, statistics.
_PLAIN = re.compile(r"(?i)co2|h2o|o2|o3|no2|so2|nh3|n2|pm\.?(?:1|10|25|2[._]?5)|p01|p99|p1|ph\d?")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))")
_DASHES = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": " ", "\u2014": " "})

Path = tuple[str | int, ...]


def ground(answer: Answer, window: Window, shared: Shared = ALONE) -> tuple[Grounding, tuple[Check, ...]]:
    """Check each claim of ``answer`` against ``window`` alone, never against the rest of its batch.

    A number in the summary holds if a cited candidate, a limit or a statistic of the section as printed has
    that value, rounded to as many decimals as the summary prints and at most 5 % off. So
    does a number of a fact that the prompt ``shared`` and the answer cites.
    """
    section = load(window)
    cited = _cited(answer, section)
    checks = [
        _known(answer, section, shared),
        _present(answer, shared),
        *_kind_claims(answer, section, cited),
        *_words(answer, section, cited, shared),
    ]
    held = all(check.held for check in checks)
    return (Grounding.GROUNDED if held else Grounding.UNGROUNDED), tuple(checks)


def _cited(answer: Answer, section: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = set(answer.evidence)
    return [candidate for candidate in section.get("candidates", ()) if candidate["id"] in wanted]


def _check(name: str, wrong: list[str], right: str) -> Check:
    return Check(name, not wrong, (", ".join(wrong) if wrong else right)[:MAX_DETAIL])


def _known(answer: Answer, section: dict[str, Any], shared: Shared) -> Check:
    offered = {candidate["id"] for candidate in section.get("candidates", ())}
    wrong = [_printable(ref) for ref in answer.evidence if ref not in offered and ref not in shared.facts]
    facts = "; ".join(f"{ref}: {shared.facts[ref]}" for ref in answer.evidence if ref in shared.facts)
    what = "neither a candidate nor a fact" if shared.facts else "not a candidate"
    return _check("evidence_known", [f"{ref} is {what}" for ref in wrong], facts or "all ids are candidates")


def _present(answer: Answer, shared: Shared) -> Check:
    bare = answer.status is Status.ANOMALY and all(ref in shared.facts for ref in answer.evidence)
    return _check("evidence_present", ["an anomaly cites no reading"] if bare else [], "cited as needed")


def find_reason(answer: Answer, window: Window, shared: Shared = ALONE) -> Check | None:
    """Return whether there is a reason for a "normal" against a local alarm; None for any other answer.

    The model's word is none, nor is a citation of the alarm itself. A reason is a cited fact of the site, or
    that the section explains each reading of the alarm: a person has called such values of the series a false
    alarm, or they are usual at this hour.
    """
    if answer.status is not Status.NORMAL or window.local.status is not Status.ANOMALY:
        return None
    cited = [ref for ref in answer.evidence if ref in shared.facts]
    section = load(window)
    series = {item["metric"]: item for item in section.get("series", ())}
    alarm = {reading.ref for reading in window.candidates if reading.score.alarm}
    candidates = [one for one in section.get("candidates", ()) if one["id"] in alarm]
    strange = [one["id"] for one in candidates if not _is_explained(one, series.get(one["metric"], {}))]
    held = bool(cited or (candidates and not strange))
    right = f"on {', '.join(cited)}" if cited else "the data explain the alarm"
    wrong = f"no cited fact, false alarm or usual range explains {', '.join(strange) or 'the alarm'}"
    return Check(NORMAL_REASON, held, (right if held else wrong)[:MAX_DETAIL])


def _is_explained(candidate: dict[str, Any], series: dict[str, Any]) -> bool:
    """Return whether a person, or the usual range of a lone value, explains the value of an alarm."""
    value, kind = candidate["value"], candidate.get("kind")
    if value is None or "unit" in candidate:  # the series is in another unit
        return False
    for case in reversed(series.get("past", ())):  # the last word counts
        if case["kind"] == kind and _within(value, case["from"], case["to"]):
            return bool(case["outcome"] == Do.FALSE_ALARM)
    return kind in _LONE and _within(value, *series.get("usual", (None, None)))


def _within(value: float, low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def _kind_claims(answer: Answer, section: dict[str, Any], cited: list[dict[str, Any]]) -> list[Check]:
    """Recompute the claim of a kind: a broken limit, a series without change, no readings at all."""
    if answer.status is not Status.ANOMALY:
        return []
    series = {item["metric"]: item for item in section.get("series", ())}
    match answer.kind.traits.claim:
        case None:
            return []
        case Claim.BROKEN_LIMIT:
            broken = [item for item in cited if _breaks(item["value"], series.get(item["metric"], {}))]
            wrong = [] if broken else ["no cited value breaks a limit"]
            return [_check("limit_claim", wrong, "a limit is broken")]
        case Claim.STANDS_STILL:
            still = [item for item in cited if series.get(item["metric"], {}).get("still", 0) >= MIN_STILL]
            wrong = [] if still else ["no cited series is constant"]
            return [_check("flatline_claim", wrong, "the newest values are equal")]
        case Claim.NO_READINGS:
            return [_check("silence_claim", ["the window has readings"], "")]


def _breaks(value: float | None, series: dict[str, Any]) -> bool:
    low, high = series.get("limits", (None, None))
    if value is None:
        return True  # not finite: outside of any limit
    return (low is not None and value < low) or (high is not None and value > high)


def _words(
    answer: Answer, section: dict[str, Any], cited: list[dict[str, Any]], shared: Shared
) -> list[Check]:
    """Check ids, names and numbers of the summary."""
    ids = {candidate["id"] for candidate in cited}
    sentences = {ref: shared.facts[ref] for ref in answer.evidence if ref in shared.facts}
    text = _strip_clock(strip_times(plain(answer.summary)), section)
    wrong_ids = [ref for ref in references(text) if ref not in ids and ref not in sentences]
    name = shared.name or ""
    # A name that begins as a number would hide that number.
    text = strip_words(text, known_words(section) | ({name} if name[:1].isalpha() else set()))
    others = section.get("others", ()) if shared.facts else ()  # without facts the prompt has no others
    beside = [str(one["device"]) for one in others]
    text = strip_words(text, {one for one in beside if one[:1].isalpha()})
    names = {one.casefold() for words in (name, *beside, *sentences.values()) for one in identifiers(words)}
    strangers = [_printable(word) for word in identifiers(text) if word.casefold() not in names]
    known = [*facts(section, ids), *(fact for ref, one in sentences.items() for fact in _spoken(ref, one))]
    for place, other in enumerate(others):
        known += _facts(("others", place), other, ("now", "ago_s", "usual"))
    wrong = foreign_numbers(answer.summary, text, [fact.value for fact in known])
    repeated = answer.summary.strip().casefold() == FORM_SUMMARY
    return [
        _check("summary_own", ["the summary repeats the form"] if repeated else [], "in its own words"),
        _check("summary_ids", [f"{ref} is not cited" for ref in wrong_ids], "all ids are cited"),
        _check("summary_names", [f"{word} is not in the data" for word in strangers], "no foreign name"),
        _check("summary_numbers", [f"{number} is not in the data" for number in wrong], "all numbers found"),
    ]


def foreign_numbers(sentence: str, text: str, known: Collection[float]) -> list[str]:
    """Return the numbers of ``sentence`` that are not in ``known``, as printed.

    ``text`` is the sentence with ids, times and known words blanked out, all places kept.
    """
    wrong = [
        _printable(sentence[number.start : number.end])
        for number in numbers(strip_identifiers(text))
        if not any(matches(number, value) for value in known)
    ]
    return wrong + [
        char
        for before, char in zip(" " + text, text, strict=False)
        if unicodedata.category(char) in {"No", "Nl"} and (char not in _POWERS or before.isdigit())
    ]


def known_words(section: dict[str, Any]) -> set[str]:
    """Return the metric and unit words of a section that hold digits."""
    items = (*section.get("series", ()), *section.get("candidates", ()))
    words = {str(item.get(name, "")) for item in items for name in ("metric", "unit")}
    return {word for word in words if any(map(str.isdigit, word))}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:24])


# ------------------------------------------------------------------- claims of a sentence and facts


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a sentence, its place and its printed precision."""

    start: int
    end: int
    value: float
    decimals: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that the section prints, and its path in the section."""

    path: Path
    value: float


def plain(text: str) -> str:
    """Return ``text`` with one kind of minus sign, same length."""
    return text.translate(_DASHES)


def strip_times(text: str) -> str:
    """Blank out ISO dates and times, and the names of percentiles, keeping all places."""
    return _PERCENTILE.sub(_blank, _ISO_TIME.sub(_blank, text))


def _strip_clock(text: str, section: dict[str, Any]) -> str:
    """Blank out the time of day that the section prints."""
    clock = str(section.get("at", "")).rpartition(" ")[2]
    return strip_words(text, {clock, clock.removeprefix("0")}) if clock else text


def strip_words(text: str, words: Collection[str]) -> str:
    """Blank out the known ``words`` (metrics, units), longest first, keeping all places."""
    for word in sorted(words, key=len, reverse=True):
        spoken = re.escape(word).replace("_", "[_ ]")
        text = re.sub(rf"(?i)(?<!\w){spoken}(?!\w)", _blank, text)
    return text


def references(text: str) -> list[str]:
    """Return the ids of readings and facts in ``text``, as ``r17`` and ``k3``."""
    return [f"{match[1].lower()}{int(match[2][:9])}" for match in _REF.finditer(text)]


def identifiers(text: str) -> list[str]:
    """Return the words of letters and digits in ``text`` that look like a name, without reading ids."""
    found = [match.group() for match in _IDENTIFIER.finditer(text)]
    return [word for word in found if not _REF.fullmatch(word) and not _PLAIN.fullmatch(word)]


def strip_identifiers(text: str) -> str:
    """Blank out every word of letters and digits, so that ``pump-1`` does not yield a number."""
    return _IDENTIFIER.sub(_blank, text)


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers in ``text``; identifiers and times must be gone."""
    last = 0  # where the number before ends
    for match in _NUMBER.finditer(text):
        start, printed = match.start(), match.group()
        before = text[last:start].rstrip() or text[max(0, last - 1) : last]
        last = match.end()
        if printed[0] in "+-" and before[-1:].isdigit():
            printed, start = printed[1:], start + 1  # "70-72" is a range
        digits = printed.replace(",", "")
        decimals = 0
        if "e" not in digits.lower():
            decimals = len(digits.partition(".")[2])
        yield Number(start, match.end(), float(digits), decimals)


def matches(number: Number, fact: float) -> bool:
    """Return whether the printed number is ``fact`` rounded to as many decimals, and within 5 % of it."""
    half = 0.5000001 * 10.0**-number.decimals
    if abs(number.value - fact) > half:
        return False
    return abs(number.value - fact) <= RELATIVE_TOLERANCE * max(abs(fact), abs(number.value))


def facts(section: dict[str, Any], cited: Collection[str]) -> list[Fact]:
    """Return the numbers that a sentence on this section may use.

    These are the values, expected ranges, scores and delays of the ``cited`` candidates; limits and
    statistics of every series, and the values of its past; the window's counts; how many readings are cited.
    """
    found: list[Fact] = []
    for place, candidate in enumerate(section.get("candidates", ())):
        if candidate.get("id") in cited:
            found += _facts(("candidates", place), candidate, ("value", "expected", "score", "after_s"))
    for place, series in enumerate(section.get("series", ())):
        names = ("limits", "usual", "median", "p01", "p99", "spread", "scale", "still", "n")
        found += _facts(("series", place), series, names)
        for number, case in enumerate(series.get("past", ())):
            found += _facts(("series", place, "past", number), case, ("from", "to"))
    found += _facts((), section, ("readings", "span_s"))
    found += _facts(("local",), section.get("local", {}), ("score",))
    found.append(Fact(("cited",), float(len(cited))))
    return found


def _spoken(ref: str, sentence: str) -> Iterator[Fact]:
    """Yield the numbers of a fact; a comma before one or two digits may be that of a decimal."""
    text = strip_identifiers(strip_times(plain(sentence)))
    found = {one.value for text in (text, _DECIMAL_COMMA.sub(".", text)) for one in numbers(text)}
    return (Fact(("knowledge", ref), value) for value in sorted(found))


def _facts(path: Path, item: dict[str, Any], names: tuple[str, ...]) -> Iterator[Fact]:
    for name in names:
        value = item.get(name)
        if isinstance(value, list):
            for place, side in enumerate(value):
                if isinstance(side, int | float):
                    yield Fact((*path, name, place), float(side))
        elif isinstance(value, int | float):
            yield Fact((*path, name), float(value))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())
