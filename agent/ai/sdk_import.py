"""Import of the OpenAI SDK without the types that chat completions do not use.

The SDK imports the types of all its interfaces. Those of Responses alone are 250 modules, 9 MiB and more than
half of the time, for names of annotations. While a version that was tried is imported, placeholders take
their places; any other is imported whole, as it may use them in a call.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

SDK = "openai"
TRIED = '__version__ = "3.54.'  # in its _version.py: all tests with the SDK pass
UNUSED = ("openai.types.responses", "openai.types.graders")


class _Empty:
    """A class that may be the base of a typed dictionary."""

    def __init_subclass__(cls, **_options: bool) -> None: ...


class _Placeholder(ModuleType):
    """A module in which each name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Empty,), {})
        setattr(self, name, made)
        return made


class _Placeholders(MetaPathFinder, Loader):
    """Finds a placeholder for each module in ``UNUSED``."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(name == one or name.startswith(f"{one}.") for one in UNUSED):
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""


def import_sdk(*names: str) -> ModuleType:
    """Import modules of the SDK and return the SDK; whole where its version may need what is left out."""
    if not _is_tried():
        return _import(names)
    finder = _Placeholders()
    sys.meta_path.insert(0, finder)
    try:
        return _import(names)
    except Exception:  # noqa: BLE001 - whatever it was: without placeholders it is raised again
        for name in [one for one in sys.modules if one.partition(".")[0] == SDK]:
            del sys.modules[name]
    finally:
        sys.meta_path.remove(finder)
    return _import(names)


def _is_tried() -> bool:
    spec = find_spec(SDK)
    folders = [] if spec is None else spec.submodule_search_locations or []
    try:
        return any(TRIED in Path(one, "_version.py").read_text(encoding="utf-8") for one in folders)
    except OSError:
        return False


def _import(names: Sequence[str]) -> ModuleType:
    sdk = importlib.import_module(SDK)
    for name in names:
        importlib.import_module(name)
    return sdk
