"""What we believe: every claim of an answer is looked up in its own window, in code."""

import unicodedata
from typing import Any

from agent.domain.kinds import Claim
from agent.domain.records import Answer, Check, Grounding, Status, Window
from agent.prompt.claims import (
    facts,
    identifiers,
    matches,
    numbers,
    plain,
    references,
    strip_identifiers,
    strip_times,
    strip_words,
)
from agent.prompt.section import load

_POWERS = "\u00b9\u00b2\u00b3"  # of units: m², s³
MIN_STILL = 5  # equal newest values that make a flatline
MAX_DETAIL = 120


def ground(answer: Answer, window: Window) -> tuple[Grounding, tuple[Check, ...]]:
    """Check each claim of ``answer`` against ``window`` alone, never against the rest of its batch.

    A number in the summary holds if a cited candidate, a limit or a statistic of the section as printed has
    that value, rounded to as many decimals as the summary prints and at most 5 % off.
    """
    section = load(window)
    cited = _cited(answer, section)
    checks = [
        _known(answer, section),
        _present(answer),
        *_kind_claims(answer, section, cited),
        *_words(answer, section, cited),
    ]
    held = all(check.held for check in checks)
    return (Grounding.GROUNDED if held else Grounding.UNGROUNDED), tuple(checks)


def _cited(answer: Answer, section: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = set(answer.evidence)
    return [candidate for candidate in section.get("candidates", ()) if candidate["id"] in wanted]


def _check(name: str, wrong: list[str], right: str) -> Check:
    return Check(name, not wrong, (", ".join(wrong) if wrong else right)[:MAX_DETAIL])


def _known(answer: Answer, section: dict[str, Any]) -> Check:
    offered = {candidate["id"] for candidate in section.get("candidates", ())}
    wrong = [_printable(ref) for ref in answer.evidence if ref not in offered]
    return _check("evidence_known", [f"{ref} is no candidate" for ref in wrong], "all ids are candidates")


def _present(answer: Answer) -> Check:
    missing = answer.status is Status.ANOMALY and not answer.evidence
    return _check("evidence_present", ["an anomaly cites no reading"] if missing else [], "cited as needed")


def _kind_claims(answer: Answer, section: dict[str, Any], cited: list[dict[str, Any]]) -> list[Check]:
    """Recompute what a kind claims: a broken limit, a series that stands still, no readings at all."""
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
            wrong = [] if still else ["no cited series stands still"]
            return [_check("flatline_claim", wrong, "the newest values are equal")]
        case Claim.NO_READINGS:
            return [_check("silence_claim", ["the window has readings"], "")]


def _breaks(value: float | None, series: dict[str, Any]) -> bool:
    low, high = series.get("limits", (None, None))
    if value is None:
        return True  # not finite: outside of any limit
    return (low is not None and value < low) or (high is not None and value > high)


def _words(answer: Answer, section: dict[str, Any], cited: list[dict[str, Any]]) -> list[Check]:
    """Check ids, names and numbers of the summary."""
    ids = {candidate["id"] for candidate in cited}
    text = strip_times(plain(answer.summary))
    wrong_ids = [ref for ref in references(text) if ref not in ids]
    text = strip_words(text, known_words(section))
    strangers = [_printable(word) for word in identifiers(text)]
    known = facts(section, ids)
    wrong = [
        _printable(answer.summary[number.start : number.end])
        for number in numbers(strip_identifiers(text))
        if not any(matches(number, fact.value) for fact in known)
    ]
    wrong += [char for char in text if unicodedata.category(char) in {"No", "Nl"} and char not in _POWERS]
    return [
        _check("summary_ids", [f"{ref} is not cited" for ref in wrong_ids], "all ids are cited"),
        _check("summary_names", [f"{word} is not in the data" for word in strangers], "no foreign name"),
        _check("summary_numbers", [f"{number} is not in the data" for number in wrong], "all numbers found"),
    ]


def known_words(section: dict[str, Any]) -> set[str]:
    """Return the metric and unit words of a section that hold digits."""
    words = {str(item.get(name, "")) for item in section.get("series", ()) for name in ("metric", "unit")}
    words |= {str(item.get("metric", "")) for item in section.get("candidates", ())}
    return {word for word in words if any(map(str.isdigit, word))}


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:24])
