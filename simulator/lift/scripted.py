"""Scripted models with a known worth: they bound what a score of models may show."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from simulator.faults import Label
from simulator.lift.question import Question, questions, truth_of
from simulator.model.replies import Response, prompt_of, usage

#: Kinds whose claim is recomputed from readings: a script that only knows the truth leaves them out.
_CLAIMS = frozenset({"flatline", "out_of_range", "silence", "none"})
#: Hours or a bound in a fact.
_STATED = re.compile(r"(?i)\d:\d\d|\b(?:below|above|between|less than|up to)\b")


def normal(question: Question, *, cite: bool = False) -> dict[str, Any]:
    """Return the answer that a window is normal, on a fact or on its worst candidate."""
    worst = [] if question.worst is None else [str(question.worst["id"])]
    return {
        "w": question.w,
        "status": "normal",
        "kind": "none",
        "severity": "info",
        "confidence": 3,
        "evidence": list(question.facts)[:1] if cite else worst,
        "summary": "This is normal for the site." if cite else "All is normal.",
    }


def anomaly(question: Question, *, cite: bool = False) -> dict[str, Any]:
    """Return the answer that a window is an anomaly, with its worst candidate as evidence."""
    worst = question.worst
    if worst is None:
        return normal(question)
    kind = str(worst.get("kind", "other"))
    return {
        "w": question.w,
        "status": "anomaly",
        "kind": "other" if kind in _CLAIMS else kind,
        "severity": "warning",
        "confidence": 3,
        "evidence": [str(worst["id"]), *(list(question.facts)[:1] if cite else [])],
        "summary": "The site's facts exclude this." if cite else "This is an anomaly.",
    }


def _perfect(question: Question, truth: Label | None) -> dict[str, Any]:
    fault = truth is not None and not truth.normal
    return anomaly(question, cite=True) if fault else normal(question, cite=True)


def _lazy(question: Question, _truth: Label | None) -> dict[str, Any]:
    return normal(question)


def _hasty(question: Question, _truth: Label | None) -> dict[str, Any]:
    """Return that all is normal, on the first fact with hours or a bound, read by nobody."""
    stated = [ref for ref, text in question.facts.items() if _STATED.search(text)]
    return {**normal(question, cite=True), "evidence": (stated or list(question.facts))[:1]}


def _mute(question: Question, _truth: Label | None) -> dict[str, Any]:
    """Return that all is normal, on nothing."""
    return {**normal(question), "evidence": []}


def _alarmist(question: Question, _truth: Label | None) -> dict[str, Any]:
    return anomaly(question)


def _liar(question: Question, truth: Label | None) -> dict[str, Any]:
    """Return the opposite of the truth, with a reading and a number that do not exist."""
    fault = truth is not None and not truth.normal
    told = normal(question) if fault else anomaly(question)
    return {**told, "evidence": ["r98765"], "summary": "It was at 98765.4 all day."}


def _copycat(question: Question, _truth: Label | None) -> dict[str, Any]:
    return anomaly(question) if question.local == "anomaly" else normal(question)


SCRIPTS: dict[str, Callable[[Question, Label | None], dict[str, Any]]] = {
    "perfect": _perfect,
    "copycat": _copycat,
    "liar": _liar,
    "lazy": _lazy,
    "hasty": _hasty,
    "mute": _mute,
    "alarmist": _alarmist,
}


class Scripted:
    """Answers each window by one of :data:`SCRIPTS`.

    Args:
        name: of the script.
        labels: the truth.
        start: event time of the live part, Unix seconds.
    """

    def __init__(self, name: str, *, labels: Sequence[Label], start: float) -> None:
        self._script = SCRIPTS[name]
        self._labels, self._start = labels, start

    def __call__(self, request: dict[str, Any]) -> Response:
        """Return the response to a completion request."""
        prompt = prompt_of(request)
        answers = [self._script(one, truth_of(one, self._labels, self._start)) for one in questions(prompt)]
        content = json.dumps({"windows": answers}, separators=(",", ":"))
        return chat(request, content, usage(prompt, content))


def chat(request: dict[str, Any], content: str, tokens: dict[str, Any]) -> Response:
    """Return a chat completion with this content and usage."""
    message = {"role": "assistant", "content": content, "refusal": None}
    body = {
        "id": "chatcmpl-lift",
        "object": "chat.completion",
        "created": 0,
        "model": str(request.get("model", "")),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": tokens,
    }
    return Response(200, json.dumps(body).encode())
