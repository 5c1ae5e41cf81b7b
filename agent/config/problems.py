"""Configuration errors in words: the key, its value, and what to write instead."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args

from agent.config.sections import Config
from agent.config.validate import Fault
from agent.domain.keys import KeyField, keys_of

_MAX_SHOWN = 80
_MAX_NAME = 64
_MAX_PROBLEMS = 20
_LONG_RUN = re.compile(r"[A-Za-z0-9_%-]{10,}")
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


def describe(faults: Sequence[Fault], variables: Mapping[str, str]) -> list[str]:
    """Return one line per fault: key, value, what is wrong, remedy.

    ``variables`` are dotted keys with the names of the variables that set them, which are then named.
    """
    lines = [_line(fault) + _origin(fault.loc, variables) for fault in faults[:_MAX_PROBLEMS]]
    more = len(faults) - len(lines)
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


def _line(fault: Fault) -> str:
    path, value = _path(fault.loc), fault.value
    match fault.kind:
        case "unknown":
            return f"{path}: unknown key; {_known_keys(fault.loc)}"
        case "missing":
            return f"{path}: this key is missing; add it"
        case "mapping":
            return f"{path}: {shown(value)} is not a mapping; write keys below it, or {{}}"
        case "list":
            return f"{path}: {shown(value)} is not a list; write [...], or lines that begin with -"
        case "path":
            return f'{path}: {shown(value)} is not a path; write it in quotes, as "/some/folder"'
        case "text" if isinstance(value, int | float) and value not in (0, 1):
            return f"{path}: {shown(value)} is read as a number; put the text in quotes"
        case "check":
            # A fault of a whole section names its keys itself.
            found = "" if isinstance(value, dict) else f"{_found(fault)}: "
            return f"{path}: {found}{fault.message}"
    hint = _nearest(fault)
    if isinstance(value, bool) and fault.kind in {"word", "text"}:
        hint = " (YAML reads a bare on, off, yes or no as true or false; put the word in quotes)"
    return f"{path}: {_found(fault)}: {fault.message}{hint}; {_remedy(fault)}"


def _found(fault: Fault) -> str:
    """Return the value at the place of a fault."""
    value = fault.value
    address = isinstance(value, str) and fault.loc and fault.loc[-1] in _ADDRESSES
    return shown_address(value) if address else shown(value)


def _path(loc: Sequence[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{_name(part)}" for part in loc]
    return "".join(parts).removeprefix(".") or "configuration"


def _name(part: str | int) -> str:
    text = str(part)
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 3]}..."


def _remedy(fault: Fault) -> str:
    name = str(fault.loc[-1]) if fault.loc else ""
    for ending, words in _UNITS.items():
        if name.endswith(ending):
            return f"give {words}"
    if "prices" in fault.loc:
        return "give US dollars per million tokens, 0 to 1000"
    one = _keys_at(fault.loc[:-1]).get(name)
    if one is not None and one.default is not MISSING:
        return f"the default is {'null' if one.default is None else shown(one.default)}"
    return "see configs/agent.yaml for an example"


def _nearest(fault: Fault) -> str:
    """Return a hint at the word of a closed list that was meant, empty without one."""
    given = _name(str(fault.value)).casefold().replace("-", "_")
    close = get_close_matches(given, fault.words, n=1)
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
