"""Configuration errors in words: the key, its value, and what to write instead."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.config.sections import Config
from agent.domain.keys import KeyField, keys_of

_MAX_SHOWN = 80
_MAX_NAME = 64
_MAX_PROBLEMS = 20
_LONG_RUN = re.compile(r"[A-Za-z0-9_%-]{10,}")
_QUOTED = re.compile(r"'([^']+)'")
_ADDRESSES = frozenset({"url", "base_url", "endpoint", "listen"})
_UNITS = {
    "_s": "a number of seconds, without a unit",
    "_ms": "a number of milliseconds, without a unit",
    "_mib": "a number of MiB, without a unit",
    "_kib": "a number of KiB, without a unit",
    "_days": "a number of days, without a unit",
    "_usd": "a number of US dollars, without a unit",
    "_per_day": "a whole number per day",
}


def describe(error: ValidationError, variables: Mapping[str, str]) -> list[str]:
    """Return one line per fault: key, value, what is wrong, remedy.

    ``variables`` are dotted keys with the names of the variables that set them, which are then named.
    """
    details = error.errors(include_url=False)
    lines = [_line(detail) + _origin(detail["loc"], variables) for detail in details[:_MAX_PROBLEMS]]
    more = len(details) - len(lines)
    return [*lines, f"and {more} more"] if more else lines


def _origin(loc: Sequence[str | int], variables: Mapping[str, str]) -> str:
    keys = [".".join(map(str, loc[:end])) for end in range(len(loc), 0, -1)]
    name = next((variables[key] for key in keys if key in variables), None)
    return f" (set by the variable {name})" if name else ""


def shown(value: Any) -> str:
    """Return ``value`` as a short, printable text; what may be a password inside an address is left out."""
    text = repr(value)
    begin, end = text.find("//"), text.rfind("@")
    if 0 <= begin < end:
        text = f"{text[: begin + 2]}***{text[end:]}"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def shown_address(value: str) -> str:
    """Return an address like :func:`shown`, without the parts that may hold a secret."""
    scheme, slashes, rest = value.partition("://")
    if not scheme.isalpha() or not slashes:
        scheme, slashes, rest = "", "", value
    _, at, host = rest.rpartition("@")
    place, slash, path = host.partition("/")  # a path may hold a key, as those of chat services do
    rest = f"{'***@' if at else ''}{place}{slash}{_LONG_RUN.sub('***', path)}"
    for sign in "?#":
        before, found, _ = rest.partition(sign)
        rest = f"{before}{sign}***" if found else rest
    return shown(f"{scheme}{slashes}{rest}")


def _line(detail: ErrorDetails) -> str:
    path = _path(detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"{path}: unknown key; {_known_keys(detail['loc'])}"
    if kind == "missing":
        return f"{path}: this key is missing; add it"
    if kind in {"model_type", "dict_type"}:
        return f"{path}: {shown(detail['input'])} is not a mapping; write keys below it, or {{}}"
    if kind == "tuple_type":
        return f"{path}: {shown(detail['input'])} is not a list; write [...], or lines that begin with -"
    if kind == "path_type":
        return f'{path}: {shown(detail["input"])} is not a path; write it in quotes, as "/some/folder"'
    if kind == "string_type" and isinstance(detail["input"], int | float) and detail["input"] not in (0, 1):
        return f"{path}: {shown(detail['input'])} is read as a number; put the text in quotes"
    if kind in {"value_error", "assertion_error"}:
        # A fault of a whole section names its keys itself.
        found = "" if isinstance(detail["input"], dict) else f"{_found(detail)}: "
        return f"{path}: {found}{detail['msg'].removeprefix('Value error, ')}"
    hint = _nearest(detail)
    if isinstance(detail["input"], bool) and kind in {"literal_error", "string_type"}:
        hint = " (YAML reads a bare on, off, yes or no as true or false; put the word in quotes)"
    return f"{path}: {_found(detail)}: {_sentence(detail['msg'])}{hint}; {_remedy(detail)}"


def _found(detail: ErrorDetails) -> str:
    """Return the value at the place of a fault."""
    value = detail["input"]
    address = isinstance(value, str) and detail["loc"] and detail["loc"][-1] in _ADDRESSES
    return shown_address(value) if address else shown(value)


def _path(loc: Sequence[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in loc if part != "[key]"]
    return "".join(parts).removeprefix(".") or "configuration"


def _name(part: str | int) -> str:
    text = str(part)
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 3]}..."


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _remedy(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    for ending, words in _UNITS.items():
        if name.endswith(ending):
            return f"give {words}"
    if "prices" in detail["loc"]:
        return "give US dollars per million tokens, 0 to 1000"
    one = _keys_at(detail["loc"][:-1]).get(name)
    if one is not None and one.default is not MISSING:
        return f"the default is {'null' if one.default is None else shown(one.default)}"
    return "see configs/agent.yaml for an example"


def _nearest(detail: ErrorDetails) -> str:
    """Return a hint at the word of a closed list that was meant, empty without one."""
    words = _QUOTED.findall(str(detail.get("ctx", {}).get("expected", "")))
    given = _name(str(detail["input"])).casefold().replace("-", "_")
    close = get_close_matches(given, words, n=1) if detail["type"] == "literal_error" else []
    return f"; did you mean {close[0]!r}?" if close else ""


def _known_keys(loc: Sequence[str | int]) -> str:
    names = sorted(_keys_at(loc[:-1]))
    close = get_close_matches(_name(loc[-1]), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"remove it, or use one of: {', '.join(names)}"


def _keys_at(loc: Sequence[str | int]) -> dict[str, KeyField]:
    """Return the keys of the section at ``loc``, through lists and mappings; empty without one."""
    here: Any = Config
    for part in loc:
        if isinstance(here, type) and is_dataclass(here):
            one = keys_of(here).get(str(part))
            here = one.type if one else None
        else:  # an item of a list or a mapping
            here = next(filter(is_dataclass, get_args(here)), None)
    return keys_of(here) if isinstance(here, type) and is_dataclass(here) else {}
