"""Words of a sentence that claim something: kinds, severities, acts, measurements."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from agent.domain.kinds import Kind
from agent.domain.records import Severity
from agent.domain.units import is_spelling

#: A sentence without any of these may be of a language whose number words are not known here.
_ENGLISH = re.compile(
    r"(?i)\b(?:the|is|was|were|are|it|its|of|and|from|to|for|with|by|be|been|has|had|have|there|this|that|these"
    r"|after|before|between|until|since|because|which|when|while|during|about|than|then|each|both|only|at|not"
    r"|rose|fell|rises?|drops?|dropped|drift(?:s|ed)?|jumped|alarmed|cooled|warmed|stopped|stayed|sent|began"
    r"|started|ended|followed|broke|cleared|silent|spike[ds]?|warning|critical|warm|cold|hot|peak(?:ed)?|went"
    r"|quiet|high(?:er|est)?|low(?:er|est)?|above|below|check|likely|probably|longer|(?:any|no|some|every)thing"
    r"|nobody|some(?:one|body))\b"
)
#: Number words, shares and the commonest words of other languages that are not English too.
_OTHER_LANGUAGE = re.compile(
    r"(?i)\b(?:zwei|drei|vier|funf|sechs|sieben|acht|neun|zehn|zwolf|hundert|tausend|halb(?:e[nrs]?)?|doppelt"
    r"|(?:zwei|drei)mal|viertel|uhr|und|nicht|ist|wurde|wegen|seit|uber|unter|der|das|ein(?:e[mnrs]?)?"
    r"|deux|trois|quatre|cinq|huit|neuf|dix|onze|douze|mille|moitie|demie|fois|heures?|matin|soir"
    r"|une|les|avec|ete|dans|depuis|parce|tres|cuatro|cinco|seis|siete|ocho|nueve|diez"
    r"|doce|ciento|mitad|doble|veces|horas?|grados?|fue|una|los|las|desde|hasta|porque|quattro|cinque"
    r"|sette|otto|nove|dieci|cento|doppio|volte|gradi|della?|nella?|perche|sono|twee|drie|vijf|zes"
    r"|zeven|negen|tien|honderd|duizend|keer|uur|graden|het|een|niet|dois|quatro|sete|oito|dez|metade"
    r"|alle|tre|di|il|el|la|le|un|uno|um|des|del|che|por|para|mit|von|im|auf|nach|pour|sur|op|voor|bij|ao"
    r"|dobro|vezes|graus|nao|uma|dwa|trzy|cztery|piec|szesc|siedem|osiem|dziewiec|polowa|razy|nie)\b"
)

_KINDS = {
    Kind.SPIKE: "spik(?:es?|ed|ing)",
    Kind.LEVEL_SHIFT: "level[ _-]shift(?:s|ed)?",
    Kind.DRIFT: "drift(?:s|ed|ing)?",
    Kind.NOISE: "nois(?:es?|y)",
    Kind.FLATLINE: "flat[ _-]?lin(?:es?|ed|ing)|stuck at",
    Kind.OUT_OF_RANGE: (
        "out[ _-]of[ _-]range"
        r"|(?:broke|breaks|exceed(?:s|ed)|violat(?:es|ed)) (?:(?:its|the|an?) )?(?:\S+ ){0,2}limit"
    ),
    Kind.SILENCE: "silen(?:ces?|t)",
}
_OVER = (
    r"(?:is|are|was|were) (?:now |all )?(?:(?:over|well|good)(?=\s*(?:[.,;:!\[)]|and\b|now\b|again\b|\Z))"
    r"|fine|ok(?:ay)?|gone)|(?:has|have) ended|fine again|back (?:to normal|online|again)|c(?:ame|ome) back"
    r"|resolved|recover(?:s|ed)?|(?:works|working|runs|running|reporting|sending|reports|sends) again|fixed"
    r"|repaired|(?:everything|all|it) is (?:normal|well)(?=\s*(?:[.,;:!\[)]|and\b|now\b|again\b|\Z))"
)
_SEEN = (
    r"(?:some(?:one|body)|(?:an?|the) (?:person|operator|technician|worker)) (?:has |had )?(?:already )?"
    r"(?:looked|checked|seen|saw|marked|inspected|fixed)"
)
#: Claims of a sentence, and the words of a fact that prove them.
_CLAIMS = [
    *((pattern, frozenset({str(kind)})) for kind, pattern in _KINDS.items()),
    *((str(word), frozenset({str(word)})) for word in (Severity.WARNING, Severity.CRITICAL)),
    ("acknowledged", frozenset({"ack", "acknowledged"})),
    ("snoozed", frozenset({"snooze", "snoozed"})),
    ("confirmed", frozenset({"confirmed"})),
    ("false[ -](?:alarms?|positives?)", frozenset({"false_alarm"})),
    (_SEEN, frozenset({"ack", "acknowledged", "confirmed", "false_alarm", "normal_here", "maintenance"})),
    ("dismissed", frozenset({"false_alarm", "normal_here"})),
    ("maintenance", frozenset({"maintenance"})),
    ("forg[eo]t(?:ten)?", frozenset({"forget", "forgotten"})),
    ("cleared|(?:closed|ended) by", frozenset({"cleared"})),
    ("cancell?ed", frozenset({"cancelled"})),
    (_OVER, frozenset({"cleared", "normal_here", "ended"})),
]
_SPOKEN = [(re.compile(rf"(?i)\b(?:{pattern})\b"), means) for pattern, means in _CLAIMS]
_NEGATED = re.compile(
    r"(?i)(?:\b(?:not|never|nobody|no one|no|none|without|nor|neither)|n't)(?:[\s-]+\w+){0,3}[\s-]+\Z"
)
_WORD = re.compile(r"(?<!\w)[^\W\d_]{2,}(?!\w)")
_REACH = 48  # characters before a word that may deny it
#: Measurements whose words are about nothing else.
_MEASURED = re.compile(
    r"(?i)\b(?:temperature|humidity|pressure|vibration|voltage|conductivity|co2|illuminance|acceleration)\b"
)


def is_english(text: str) -> bool:
    """Return whether a folded sentence is of the language whose words are looked up, or has no words."""
    if _OTHER_LANGUAGE.search(text):
        return False
    return bool(_ENGLISH.search(text)) or all(is_spelling(word.group()) for word in _WORD.finditer(text))


def unproven_words(
    text: str, about: Sequence[Mapping[str, Any]], acts: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the claims of a folded sentence in words that its facts do not prove, as printed.

    Args:
        text: the sentence.
        about: the facts that it cites.
        acts: of people on their devices; a claim that something is not so holds if neither proves it.
    """
    true = set(_proofs(about))
    known = true | set(_proofs(acts))
    wrong = []
    for pattern, means in _SPOKEN:
        for found in pattern.finditer(text):
            denied = _NEGATED.search(text, max(0, found.start() - _REACH), found.start())
            if not means.isdisjoint(known) if denied else means.isdisjoint(true):
                wrong.append(found.group())
    metrics = _metrics(about)
    if metrics:
        told = (found.group() for found in _MEASURED.finditer(text))
        wrong += [word for word in told if not any(word.lower() in metric for metric in metrics)]
    return wrong


def _proofs(facts: Collection[Mapping[str, Any]]) -> Iterator[str]:
    for fact in facts:
        yield from (str(fact.get(name)) for name in ("kind", "severity", "state", "did", "cause"))
        if fact.get("maintenance"):
            yield "maintenance"
        if fact.get("over") is True:
            yield "cleared"
        if fact.get("limit_broken"):
            yield str(Kind.OUT_OF_RANGE)
        if fact.get("ended"):
            yield "ended"


def _metrics(facts: Collection[Mapping[str, Any]]) -> set[str]:
    """Return the metric words of facts."""
    every = [one for fact in facts for one in (fact, *fact.get("values", ()))]
    return {str(one["metric"]).lower() for one in every if "metric" in one}
