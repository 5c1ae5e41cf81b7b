"""Grounding: every claim of an answer is looked up in its own window, in code."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from agent.domain.kinds import Claim
from agent.domain.records import Answer, Check, Grounding, Status, Window
from agent.domain.units import canonical
from agent.prompt.fitting import Alarm, misfit
from agent.prompt.quantity import COUNT, DEVICES, Quantity, fold, foreign_quantities, numerals, quantities
from agent.prompt.render import FORM_SUMMARY
from agent.prompt.section import load
from agent.prompt.sentence import (
    DAYS,
    Moment,
    around,
    foreign_moments,
    identifiers,
    moments,
    plain,
    printable,
    references,
    strip_moments,
    strip_percentiles,
    strip_words,
    weekdays,
)
from agent.prompt.site import ALONE, Shared

MIN_STILL = 5  # equal newest values that make a flatline
MAX_DETAIL = 120

_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?!\d))")


def ground(answer: Answer, window: Window, shared: Shared = ALONE) -> tuple[Grounding, tuple[Check, ...]]:
    """Check each claim of ``answer`` against ``window`` alone, never against the rest of its batch.

    A number in the summary holds if a cited candidate, a limit or a statistic of the section as printed has
    that value, rounded to as many decimals as the summary prints and at most 5 % off, and its unit if it has
    one. So does a number of a fact that the prompt ``shared`` and the answer cites. The facts of a "normal"
    on an alarm are compared with its time and its values.
    """
    section = load(window)
    cited = _cited(answer, section)
    checks = [
        _known(answer, section, shared),
        _present(answer, window, shared),
        *_fit(answer, window, section, shared),
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
    wrong = [printable(ref) for ref in answer.evidence if ref not in offered and ref not in shared.facts]
    facts = "; ".join(f"{ref}: {shared.facts[ref]}" for ref in answer.evidence if ref in shared.facts)
    what = "neither a candidate nor a fact" if shared.facts else "not a candidate"
    return _check("evidence_known", [f"{ref} is {what}" for ref in wrong], facts or "all ids are candidates")


def _present(answer: Answer, window: Window, shared: Shared) -> Check:
    """Check that an answer rests on something: an anomaly on a reading, an overruling "normal" too.

    To overrule an alarm it cites a reading of the alarm, or a fact of the site.
    """
    wrong = []
    if answer.status is Status.ANOMALY and all(ref in shared.facts for ref in answer.evidence):
        wrong = ["an anomaly cites no reading"]
    elif answer.status is Status.NORMAL and window.local.status is Status.ANOMALY:
        alarm = {reading.ref for reading in window.candidates if reading.score.alarm}
        if not any(ref in alarm or ref in shared.facts for ref in answer.evidence):
            wrong = ["normal cites no reading of the alarm" + (" and no fact" if shared.facts else "")]
    return _check("evidence_present", wrong, "cited as needed")


def facts_fit(answer: Answer, window: Window, shared: Shared) -> bool:
    """Return whether the facts of a "normal" can be its reason in ``window``, if it has an alarm."""
    return all(check.held for check in _fit(answer, window, load(window), shared))


def _fit(answer: Answer, window: Window, section: dict[str, Any], shared: Shared) -> list[Check]:
    """Check that one of the cited facts can be the reason to call an alarm normal."""
    told = {ref: shared.facts[ref] for ref in answer.evidence if ref in shared.facts}
    if not told or answer.status is not Status.NORMAL or window.local.status is not Status.ANOMALY:
        return []
    alarms = _alarms(window, section)
    misfits = {ref: misfit(fact, str(section.get("at", "")), alarms) for ref, fact in told.items()}
    wrong = [f"{ref} {why}" for ref, why in misfits.items()] if all(misfits.values()) else []
    return [_check("facts_fit", wrong, "no fact is contradicted")]


def _alarms(window: Window, section: dict[str, Any]) -> list[Alarm]:
    """Return the readings of the alarm that have a usual range."""
    series = {item["metric"]: item for item in section.get("series", ())}
    alarming = {reading.ref for reading in window.candidates if reading.score.alarm}
    found = []
    for one in section.get("candidates", ()):
        mine = series.get(one["metric"], {})
        unit = _unit(one) if "unit" in one else _unit(mine)
        low, high = mine.get("usual", (None, None))
        if one["id"] in alarming and None not in (one["value"], low, high):
            found.append(Alarm(one["value"], unit, one["metric"], (low, high)))
    return found


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
    """Check ids, names, dates, times, numbers and units of the summary."""
    ids = {candidate["id"] for candidate in cited}
    told = {ref: shared.facts[ref] for ref in answer.evidence if ref in shared.facts}
    sentences = list(told.values())
    text = strip_percentiles(fold(plain(answer.summary)))
    late = foreign_moments(text, *_moments(section, sentences))
    text = strip_moments(text)
    wrong_ids = [ref for ref in references(text) if ref not in ids and ref not in told]
    name = shared.name or ""
    # A name that begins as a number would hide that number.
    text = strip_words(text, known_words(section) | ({name} if name[:1].isalpha() else set()))
    others = section.get("others", ()) if shared.facts else ()  # without facts the prompt has no others
    beside = [str(one["device"]) for one in others]
    text = strip_words(text, {one for one in beside if one[:1].isalpha()})
    names = {one.casefold() for words in (name, *beside, *sentences) for one in identifiers(fold(words))}
    strangers = [printable(word) for word in identifiers(text) if word.casefold() not in names]
    known = [*_quantities(section, ids), *(one for sentence in sentences for one in _told(sentence))]
    known += [Quantity(len(others), DEVICES), Quantity(len(others) + 1, DEVICES)]
    for other in others:
        known += _numbers(other, ("now", "usual"), _unit(other))
        known += _numbers(other, ("ago_s",), "s")
    said = " ".join(map(fold, sentences))
    wrong = [*late, *foreign_quantities(text, known, said), *numerals(text)]
    repeated = answer.summary.strip().casefold() == FORM_SUMMARY
    return [
        _check("summary_own", ["the summary repeats the form"] if repeated else [], "in its own words"),
        _check("summary_ids", [f"{ref} is not cited" for ref in wrong_ids], "all ids are cited"),
        _check("summary_names", [f"{word} is not in the data" for word in strangers], "no foreign name"),
        _check("summary_numbers", [f"{number} is not in the data" for number in wrong], "all numbers found"),
    ]


def known_words(section: dict[str, Any]) -> set[str]:
    """Return the metric and unit words of a section that hold digits."""
    items = (*section.get("series", ()), *section.get("candidates", ()))
    words = {str(item.get(name, "")) for item in items for name in ("metric", "unit")}
    return {word for word in words if any(map(str.isdigit, word))}


# --------------------------------------------------------------------- what a summary may have in it


def _moments(section: dict[str, Any], sentences: Iterable[str]) -> tuple[list[Moment], set[int]]:
    """Return the dates and times, and the weekdays, of a section and of cited facts."""
    facts = " ".join(map(plain, sentences))
    known, days = [one for _, one in moments(facts)], {day for _, day in weekdays(facts)}
    day, _, clock = str(section.get("at", "")).partition(" ")
    if clock:
        (now,) = (one for _, one in moments(clock))
        known.append(now)
        days |= around(DAYS.index(day), now.minute)
    return known, days


def _quantities(section: dict[str, Any], cited: Collection[str]) -> list[Quantity]:
    """Return the numbers that a sentence on this section may use.

    These are the values, expected ranges, scores and delays of the ``cited`` candidates; limits and
    statistics of every series, and the values of its past; the window's counts; how many readings are cited.
    """
    found: list[Quantity] = []
    units = {series.get("metric"): _unit(series) for series in section.get("series", ())}
    for candidate in section.get("candidates", ()):
        if candidate.get("id") in cited:
            unit = _unit(candidate) if "unit" in candidate else units.get(candidate.get("metric"))
            found += _numbers(candidate, ("value", "expected", "mean"), unit)
            partner = candidate.get("partner", {})
            found += _numbers(partner, ("value",), units.get(partner.get("metric")))
            found += [*_numbers(candidate, ("score",)), *_numbers(candidate, ("after_s",), "s")]
    for series in section.get("series", ()):
        unit = _unit(series)
        found += _numbers(series, ("limits", "usual", "median", "p01", "p99", "spread", "scale"), unit)
        found += _numbers(series, ("still", "n"), COUNT)
        for case in series.get("past", ()):
            found += _numbers(case, ("from", "to"), unit)
    found += [*_numbers(section, ("readings",), COUNT), *_numbers(section, ("span_s",), "s")]
    found += _numbers(section.get("local", {}), ("score",))
    found.append(Quantity(float(len(cited)), COUNT))
    return found


def _unit(item: dict[str, Any]) -> str | None:
    return canonical(str(item.get("unit", "")))


def _numbers(item: dict[str, Any], names: Iterable[str], unit: str | None = None) -> Iterator[Quantity]:
    for name in names:
        value = item.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int | float):
                yield Quantity(float(one), unit)


def _told(sentence: str) -> Iterator[Quantity]:
    """Yield the numbers of a fact; a comma before one or two digits may be that of a decimal."""
    text = strip_moments(fold(plain(sentence)))
    yield from dict.fromkeys(
        one for told in (text, _DECIMAL_COMMA.sub(".", text)) for one in quantities(told)
    )
