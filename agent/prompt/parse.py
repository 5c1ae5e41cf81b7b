"""Parsing of a reply: one answer per window; a bad one affects its window alone."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.records import Answer, Batch, Reason
from agent.prompt.render import own_alias
from agent.verdict.local_opinion import MAX_SUMMARY

MAX_STRANGERS = 24
MAX_ANSWERS = 1000  # of a reply that are looked at; a batch has at most 100 windows
MAX_ID = 16
MAX_REPLY = 262_144

_FENCE = "```"
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_NOT_FINITE = re.compile(r"(?<=[:\[,\s])(?:-?Infinity|NaN)(?=[,\s}\]])")
# An unclosed string ends with the text: a search that failed there would begin again at each of its quotes.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_TOKEN = re.compile(rf"{_STRING.pattern}|[{{}}]", re.DOTALL)
MAX_DEPTH = 32  # objects inside each other; an answer has two
MAX_MENDED = 131_072  # characters; the largest batch is answered with half of that
MAX_FOUND = 1000  # objects of a reply that was cut off; a batch has at most 100 windows


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a window has no answer: ``INVALID`` or ``MODEL_OMITTED``, and what was wrong, in words."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """The answers of a reply by window id, or what is wrong with each."""

    answers: Mapping[str, Answer | Problem]
    repaired: bool | None = None  # None: no repair was needed; else whether it worked
    strangers: tuple[int, ...] = ()  # window numbers that were not asked about
    sizes: Mapping[str, int] = field(default_factory=dict)  # window id -> characters of its answer

    @property
    def invalid(self) -> bool:
        """Whether the reply, or an answer in it, breaks the schema."""
        return any(isinstance(one, Problem) and one.reason is Reason.INVALID for one in self.answers.values())


def parse(reply: str, batch: Batch, *, truncated: bool = False) -> Parsed:
    """Return the answer of ``reply`` for each window of ``batch``.

    Args:
        reply: text of the model.
        batch: the windows in the order of the prompt.
        truncated: the reply was cut by the output limit; its complete windows are valid.
    """
    try:
        value, repaired = read(reply[:MAX_REPLY])
    except (ValueError, RecursionError) as error:
        if truncated:
            return _collect(salvage(reply[:MAX_REPLY]), batch, repaired=None)
        detail = f"the reply is not JSON: {_line(error)}"
        return Parsed(
            {window.id: Problem(Reason.INVALID, detail) for window in batch.windows}, repaired=False
        )
    items = _items(value)
    if items is None:
        detail = "the reply holds no list of windows"
        return Parsed(
            {window.id: Problem(Reason.INVALID, detail) for window in batch.windows},
            repaired=False if repaired else None,
        )
    return _collect(items, batch, repaired=repaired)


def _items(value: Any) -> list[Any] | None:
    """Return the answers in the reply: ``{"windows": [...]}``, the bare list, or a lone answer."""
    if isinstance(value, dict):
        if "w" in value:
            return [value]
        value = value.get("windows")
    return value[:MAX_ANSWERS] if isinstance(value, list) else None


def _collect(items: Iterable[Any], batch: Batch, *, repaired: bool | None) -> Parsed:
    by_number: dict[int, Any] = {}
    twice: set[int] = set()
    for item in items:
        number = _number(item)
        if number is None:
            continue
        if number in by_number and by_number[number] != item:
            twice.add(number)
        by_number[number] = item
    answers: dict[str, Answer | Problem] = {}
    sizes: dict[str, int] = {}
    for place, window in enumerate(batch.windows, 1):
        item = by_number.pop(place, None)
        if item is None:
            answers[window.id] = Problem(Reason.MODEL_OMITTED, "the reply leaves this window out")
        elif place in twice:
            answers[window.id] = Problem(Reason.INVALID, "the reply answers this window twice")
        else:
            answers[window.id] = _answer(item, own_alias(batch, window))
            sizes[window.id] = len(str(item))
    return Parsed(answers, repaired, tuple(by_number)[:MAX_STRANGERS], sizes)


def _number(item: Any) -> int | None:
    number = item.get("w") if isinstance(item, dict) else None
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) <= 3:  # noqa: PLR2004 - at most 100 windows
        number = int(number)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _answer(item: Mapping[str, Any], alias: str) -> Answer | Problem:
    from pydantic import ValidationError  # noqa: PLC0415 - see agent.prompt.reply

    from agent.prompt.reply import ReplyWindow  # noqa: PLC0415

    try:
        answer = ReplyWindow.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:40]
        return Problem(Reason.INVALID, f"{place}: {first['type']}")
    if any(len(ref) > MAX_ID or not ref.isprintable() for ref in answer.evidence):
        return Problem(Reason.INVALID, "evidence: not an id")  # half a surrogate pair could not be journaled
    return Answer(
        status=answer.status,
        kind=answer.kind,
        severity=answer.severity,
        confidence=answer.confidence,
        evidence=tuple(dict.fromkeys(answer.evidence)),
        summary=_summary(answer.summary, alias),
    )


def _summary(text: str, alias: str) -> str:
    """Return the sentence on one printable line of at most 300 characters, without our alias in it."""
    text = re.sub(
        rf"(?:the device |device )?\b{alias}\b", "the device", text[: 4 * MAX_SUMMARY], flags=re.IGNORECASE
    )
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(text) <= MAX_SUMMARY:
        return text
    return text[: MAX_SUMMARY - 3].rsplit(" ", 1)[0] + "..."


def _line(error: BaseException) -> str:
    """Return our own word for a JSON error, never the text that it quotes."""
    return {"JSONDecodeError": "syntax", "RecursionError": "nested too deeply"}.get(
        type(error).__name__, str(error)[:60]
    )


# --------------------------------------------------------------------------- JSON and its repair


def read(reply: str) -> tuple[Any, bool | None]:
    """Return the reply's JSON value, and whether it needed repair (None: no, True: mended).

    Raises:
        ValueError: it cannot be read as JSON.
    """
    try:
        return json.loads(reply, parse_constant=_refuse), None
    except (ValueError, RecursionError):
        return _mend(reply), True


def salvage(reply: str) -> list[Any]:
    """Return the complete objects inside the reply's ``windows`` array, for a reply that was cut off."""
    start = reply.find("[", max(0, reply.find('"windows"')))
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: list[Any] = []
    while start >= 0 and len(found) < MAX_FOUND:
        start = reply.find("{", start)
        if start < 0:
            break
        try:
            value, start = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            break
        found.append(value)
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _mend(reply: str) -> Any:
    text = _THINKING.sub("", reply)
    text = _outside_strings(_balanced(_unfenced(text)))
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unfenced(text: str) -> str:
    """Return the text of the first code fence, with the name of its language; all without a fence."""
    start = text.find(_FENCE)
    end = text.find(_FENCE, start + len(_FENCE))
    return text if start < 0 or end < 0 else text[start + len(_FENCE) : end]


def _balanced(text: str) -> str:
    """Return the first balanced ``{...}`` of ``text``.

    Raises:
        ValueError: there is none, or it is nested too deeply.
    """
    start = text.find("{")
    if start < 0:
        raise ValueError("no JSON object")
    text = text[start : start + MAX_MENDED]
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.group() == "{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deeply")
        elif token.group() == "}":
            depth -= 1
            if not depth:
                return text[: token.end()]
    raise ValueError("the JSON object does not end")


def _outside_strings(text: str) -> str:
    """Drop trailing commas and turn NaN and Infinity into null, leaving strings alone."""
    strings = _STRING.findall(text)
    marked = _STRING.sub('"\x00"', text)
    marked = _NOT_FINITE.sub("null", _TRAILING_COMMA.sub(r"\1", marked))
    pieces = iter(strings)
    return re.sub('"\x00"', lambda _: next(pieces), marked)
