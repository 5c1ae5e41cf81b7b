"""Validation of a configuration's tree: types, bounds and checks of all keys."""

import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from agent.config import checks
from agent.config.sections import Config
from agent.domain.keys import Key, KeyField, keys_of

Loc = tuple[str | int, ...]
_keys = cache(keys_of)
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a tree: its place, the value there, and a sentence."""

    loc: Loc
    kind: Literal["unknown", "missing", "mapping", "list", "path", "text", "word", "check", "value"]
    value: Any
    message: str = ""
    words: tuple[str, ...] = ()  # that would be allowed


class InvalidError(Exception):
    """A tree with faults."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        super().__init__(str(faults))


class _RefusedError(Exception):
    """A value is not one of its type, or out of bounds; the fault is noted."""


def validate(tree: Any, folders: Sequence[Path] = ()) -> Config:
    """Return the configuration that a tree of mappings, lists and plain values holds.

    Relative files are looked up in ``folders``, in this order.

    Raises:
        InvalidError: with all faults.
    """
    validator = _Validator(folders)
    try:
        config: Config = validator.section(Config, tree, ())
    except _RefusedError:
        raise InvalidError(validator.faults) from None
    return config


class _Validator:
    """Makes settings of a tree, and notes each fault on the way."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.faults: list[Fault] = []
        self._folders = folders

    def section(self, settings: type, value: Any, loc: Loc) -> Any:
        """Return an object of ``settings``."""
        if not isinstance(value, dict):
            raise self._refuse(Fault(loc, "mapping", value))
        keys, known = _keys(settings), len(self.faults)
        values = {}
        for name, one in keys.items():
            if name in value:
                values[one.attribute] = self._try(self._key, settings, one, value[name], (*loc, name))
            elif one.default is MISSING:
                self.faults.append(Fault((*loc, name), "missing", value))
        self.faults += [
            Fault((*loc, name), "unknown", found) for name, found in value.items() if name not in keys
        ]
        if len(self.faults) > known:
            raise _RefusedError

        def build(_given: Any) -> Any:
            built = settings(**values)
            if settings in checks.SECTIONS:
                checks.SECTIONS[settings](built)
            return built

        return self._check(build, value, value, loc)

    def _key(self, settings: type, one: KeyField, value: Any, loc: Loc) -> Any:
        """Return the value of a key; null, where it is allowed, is not checked."""
        if value is None and one.optional:
            return None
        place, found = (settings, one.name), value
        if place in checks.RAW_VALUES:
            found = self._check(checks.RAW_VALUES[place], value, value, loc)
        found = self._typed(one.type, one.key, found, loc)
        if place in checks.VALUES:
            changed = self._check(checks.VALUES[place], found, value, loc)
            found = found if changed is None else changed
        return found

    def _typed(self, kind: Any, key: Key, value: Any, loc: Loc) -> Any:
        """Return a value of one type within the bounds of its key."""
        if kind in (int, float):
            return self._number(kind, key, value, loc)
        if kind is bool:
            return self._flag(value, loc)
        if get_origin(kind) is Literal or (kind is str and key.one_of):
            return self._word(key.one_of or get_args(kind), value, loc)
        if kind is str:
            return self._text(key, value, loc)
        if kind is Path:
            return self._path(key, value, loc)
        if get_origin(kind) is tuple:
            return self._list(get_args(kind)[0], key, value, loc)
        if isinstance(kind, type) and is_dataclass(kind):
            return self.section(kind, value, loc)
        return self._mapping(get_args(kind)[1], key, value, loc)

    def _number(self, kind: type, key: Key, value: Any, loc: Loc) -> int | float:
        if isinstance(value, bool):
            raise self._refuse(Fault(loc, "check", value, "is true or false, not a number; give a number"))
        number = _parsed(kind, value)
        if isinstance(number, str):
            raise self._refuse(Fault(loc, "value", value, number))
        for wrong, words, bound in (
            (key.le is not None and number > key.le, "less than or equal to", key.le),
            (key.ge is not None and number < key.ge, "greater than or equal to", key.ge),
            (key.gt is not None and number <= key.gt, "greater than", key.gt),
        ):
            if wrong and bound is not None:
                shown = int(bound) if bound == int(bound) else bound
                raise self._refuse(Fault(loc, "value", value, f"input should be {words} {shown}"))
        return number

    def _flag(self, value: Any, loc: Loc) -> bool:
        word = str(value).lower() if isinstance(value, str | bool | int) else ""
        if word not in _TRUE | _FALSE:
            raise self._refuse(Fault(loc, "value", value, "input should be true or false"))
        return word in _TRUE

    def _word(self, words: tuple[Any, ...], value: Any, loc: Loc) -> Any:
        if any(type(value) is type(word) and value == word for word in words):
            return value
        *most, last = map(repr, words)
        message = f"input should be {', '.join(most)}{' or ' if most else ''}{last}"
        raise self._refuse(Fault(loc, "word", value, message, tuple(map(str, words))))

    def _text(self, key: Key, value: Any, loc: Loc) -> str:
        if not isinstance(value, str):
            raise self._refuse(Fault(loc, "text", value, "input should be a valid string"))
        for wrong, words, bound in (
            (len(value) < key.min_length, "at least", key.min_length),
            (key.max_length is not None and len(value) > key.max_length, "at most", key.max_length),
        ):
            if wrong:
                some = "character" if bound == 1 else "characters"
                raise self._refuse(Fault(loc, "value", value, f"string should have {words} {bound} {some}"))
        return value

    def _path(self, key: Key, value: Any, loc: Loc) -> Path:
        if not isinstance(value, str):
            raise self._refuse(Fault(loc, "path", value))
        path = Path(value)
        if key.file:
            path = self._check(self._existing_file, path, value, loc)
        if key.file == "secret":
            self._check(_private_file, path, value, loc)
        return path

    def _list(self, kind: Any, key: Key, value: Any, loc: Loc) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise self._refuse(Fault(loc, "list", value))
        if key.max_items is not None and len(value) > key.max_items:
            message = f"input should have at most {key.max_items} items, not {len(value)}"
            raise self._refuse(Fault(loc, "value", value, message))
        known = len(self.faults)
        items = [self._try(self._typed, kind, key, one, (*loc, place)) for place, one in enumerate(value)]
        if len(self.faults) > known:
            raise _RefusedError
        return tuple(items)

    def _mapping(self, kind: Any, key: Key, value: Any, loc: Loc) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._refuse(Fault(loc, "mapping", value))
        known = len(self.faults)
        items = {name: self._try(self._typed, kind, key, one, (*loc, name)) for name, one in value.items()}
        if len(self.faults) > known:
            raise _RefusedError
        return items

    def _existing_file(self, path: Path) -> Path:
        """Find a relative file in the credentials folder or the configuration's folder."""
        path = checks.expand(path)
        tried = [path] if path.is_absolute() else [folder / path for folder in self._folders]
        for one in tried:
            if _is_file(one):
                return one
        places = ", ".join(str(one) for one in tried)
        raise ValueError(f"no such file ({places}); create it, or correct the path")

    def _check(self, check: Callable[[Any], Any], value: Any, given: Any, loc: Loc) -> Any:
        """Return the result of a check, whose complaint is a fault of the value that was given."""
        try:
            return check(value)
        except ValueError as error:
            raise self._refuse(Fault(loc, "check", given, str(error))) from None

    def _try(self, read: Callable[..., Any], *given: Any) -> Any:
        """Return what ``read`` does, None after a fault, so that those behind it are found too."""
        try:
            return read(*given)
        except _RefusedError:
            return None

    def _refuse(self, fault: Fault) -> _RefusedError:
        self.faults.append(fault)
        return _RefusedError()


def _parsed(kind: type, value: Any) -> int | float | str:
    """Return a finite number of a type, or the words of its fault; numbers in quotes are numbers too."""
    what = "an integer" if kind is int else "a number"
    wanted = f"input should be a valid {what.split()[1]}"
    if not isinstance(value, int | float | str):
        return wanted
    try:
        number = value if isinstance(value, int) else float(value)
    except ValueError:
        return f"{wanted}, unable to parse string as {what}"
    if not math.isfinite(number):
        return "input should be a finite number"
    if kind is int and number != int(number):
        return f"{wanted}, got a number with a fractional part"
    return kind(number)  # type: ignore[no-any-return]  # int or float


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        why = error.strerror
        raise ValueError(f"{path} cannot be looked at: {why}; correct owner, mode or path") from None


def _private_file(path: Path) -> None:
    if path.stat().st_mode & 0o004:  # it is a file that could be looked at
        raise ValueError(f"every user of this machine can read it; run: chmod o-rwx {path}")
