"""Imports of libraries without the modules that they import and nobody here uses."""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast


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

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
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
