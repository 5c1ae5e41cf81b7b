"""Configuration errors in words: which key, what was found there, and what to write instead."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_MAX_SHOWN = 80
_MAX_LINES = 50  # of faults; each unknown key is compared with every known one
_UNITS = {
    "_s": "a number of seconds, without a unit",
    "_ms": "a number of milliseconds, without a unit",
    "_mib": "a number of MiB, without a unit",
    "_kib": "a number of KiB, without a unit",
    "_days": "a number of days, without a unit",
    "_usd": "a number of US dollars, without a unit",
    "_per_day": "a whole number per day",
}


def describe(error: ValidationError, root: type[BaseModel], variables: Mapping[str, str]) -> list[str]:
    """Return one line per fault: key, value, what is wrong, remedy.

    ``variables`` are dotted keys with the names of the variables that set them, which are then named.
    """
    details = error.errors(include_url=False)
    lines = [_line(detail, root) + _origin(detail["loc"], variables) for detail in details[:_MAX_LINES]]
    more = len(details) - len(lines)
    return [*lines, f"and {more} more; correct these first"] if more else lines


def _origin(loc: Sequence[str | int], variables: Mapping[str, str]) -> str:
    keys = [".".join(map(str, loc[:end])) for end in range(len(loc), 0, -1)]
    name = next((variables[key] for key in keys if key in variables), None)
    return f" (set by the variable {name})" if name else ""


def shown(value: Any) -> str:
    """Return ``value`` as a short, printable text; what may be a password inside an address is left out."""
    text = re.sub(r"//[^/@\s]*@", "//***@", repr(value))
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _line(detail: ErrorDetails, root: type[BaseModel]) -> str:
    path = _path(detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"{path}: unknown key; {_known_keys(detail['loc'], root)}"
    if kind == "missing":
        return f"{path}: this key is missing; add it"
    if kind in {"model_type", "dict_type"}:
        return f"{path}: {shown(detail['input'])} is not a mapping; write keys below it, or {{}}"
    if kind == "tuple_type":
        return f"{path}: {shown(detail['input'])} is not a list; write [...], or lines that begin with -"
    if kind == "path_type":
        return f'{path}: {shown(detail["input"])} is not a path; write it in quotes, as "/some/folder"'
    if kind in {"value_error", "assertion_error"}:
        # A fault of a whole section names its keys itself.
        found = "" if isinstance(detail["input"], dict) else f"{shown(detail['input'])}: "
        return f"{path}: {found}{detail['msg'].removeprefix('Value error, ')}"
    return f"{path}: {shown(detail['input'])}: {_sentence(detail['msg'])}; {_remedy(detail, root)}"


def _path(loc: Sequence[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]"]
    return "".join(parts).removeprefix(".") or "configuration"


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _remedy(detail: ErrorDetails, root: type[BaseModel]) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    for ending, words in _UNITS.items():
        if name.endswith(ending):
            return f"give {words}"
    if "prices" in detail["loc"]:
        return "give US dollars per million tokens, 0 to 1000"
    model = _model_at(detail["loc"][:-1], root)
    field = model.model_fields.get(name) if model else None
    if field is not None and not field.is_required():
        default = field.get_default(call_default_factory=True)
        return f"the default is {'null' if default is None else shown(default)}"
    return "see configs/agent.yaml for an example"


def _known_keys(loc: Sequence[str | int], root: type[BaseModel]) -> str:
    model = _model_at(loc[:-1], root)
    if model is None:
        return "remove it"
    names = sorted(model.model_fields)
    close = get_close_matches(str(loc[-1]), names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"remove it, or use one of: {', '.join(names)}"


def _model_at(loc: Sequence[str | int], root: type[BaseModel]) -> type[BaseModel] | None:
    """Follow ``loc`` from ``root`` through models, lists and mappings of models."""
    here: Any = root
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            here = next((arg for arg in get_args(here) if _is_model(arg)), None)
    if not _is_model(here):
        here = next((arg for arg in get_args(here) if _is_model(arg)), None)
    return here if _is_model(here) else None


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
