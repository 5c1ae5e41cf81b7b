"""Imports of libraries without modules that nobody here uses, or not yet."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from threading import Lock, get_ident
from types import ModuleType
from typing import Any, cast

#: By module, what the interpreter itself has of it: name here, name there, module there (3.12 has `_sha2`).
_ON_USE = {
    "hashlib": (
        ("blake2b", "blake2b", "_blake2"),
        ("sha256", "sha256", "_sha2"),
        ("sha256", "sha256", "_sha256"),
    ),
    "hmac": (("compare_digest", "_compare_digest", "_operator"),),
    "ssl": (),
    "asyncio.sslproto": (),
    "inspect": (),
}


class _Empty:
    """A class that may be the base of any other."""

    def __init_subclass__(cls, **_options: bool) -> None: ...


class _Placeholder(ModuleType):
    """A module in which each name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Empty,), {})
        setattr(self, name, made)
        return made


class _Placeholders:
    """Finds a placeholder for each of some modules, those below them and those named ``<one>_...``.

    Its base classes would be in ``importlib.abc``, which imports what is to be left out.
    """

    def __init__(self, unused: Sequence[str]) -> None:
        self._unused = unused
        self._made: list[str] = []
        self._thread = get_ident()  # others may import meanwhile, and get the real modules

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._thread != get_ident():
            return None
        if any(name == one or name.startswith((f"{one}.", f"{one}_")) for one in self._unused):
            return ModuleSpec(name, cast("Any", self), is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self._made.append(spec.name)
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""

    def forget(self, library: str) -> None:
        """Let others import what the library did without: all but its own modules."""
        for name in self._made:
            parent, _, last = name.rpartition(".")
            if name.partition(".")[0] != library:
                del sys.modules[name]
                if parent in sys.modules:
                    vars(sys.modules[parent]).pop(last, None)


def import_without(unused: Sequence[str], *names: str) -> None:
    """Import modules of one library, with placeholders for those of ``unused`` that nothing has imported yet.

    A version that needs one of them for its import is imported whole.
    """
    library = names[0].partition(".")[0]
    finder = _Placeholders(unused)
    sys.meta_path.insert(0, finder)
    try:
        _import(names)
    except Exception:  # noqa: BLE001 - whatever it was: without placeholders it is raised again
        for name in [one for one in sys.modules if one.partition(".")[0] == library]:
            del sys.modules[name]
    finally:
        sys.meta_path.remove(finder)
        finder.forget(library)
    _import(names)


def _import(names: Sequence[str]) -> None:
    for name in names:
        importlib.import_module(name)


class _Later(ModuleType):
    """A module that imports the real one at the first name that it lacks, and has its names from then on.

    Its `__getattr__` is called for a missing name alone. The import is the ordinary one, with its locks.
    """

    _replacing = Lock()

    def __init__(self, name: str, known: Mapping[str, Any]) -> None:
        super().__init__(name)
        vars(self).update(known, __spec__=ModuleSpec(name, None))

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # each `from ... import` looks for it; none of these is a package
            raise AttributeError(name)
        with _Later._replacing:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        vars(self).update(vars(real))
        return getattr(real, name)


def postpone() -> None:
    """Let OpenSSL, TLS (6 MiB) and ``inspect`` (1 MiB) be loaded when something uses them.

    Nothing without TLS does: the hashes below are those of the interpreter, the same as OpenSSL's.
    """
    for name, parts in _ON_USE.items():
        known: dict[str, Any] = {}
        for here, there, module in parts:
            with suppress(ImportError):
                known[here] = getattr(importlib.import_module(module), there)
        if name not in sys.modules:
            sys.modules[name] = _Later(name, known)
