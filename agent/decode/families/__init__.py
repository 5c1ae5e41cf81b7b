"""The device families: one module each, named as the word of ``format:``.

A module offers its class as ``FAMILY``, see :class:`agent.decode.family.Family`.
"""

from importlib import import_module
from pathlib import Path

from agent.decode.family import Family

AUTO = "auto"
_FALLBACK = "generic"


def _find() -> dict[str, type[Family]]:
    names = {file.stem for file in Path(__file__).parent.glob("*.py")} - {"__init__", _FALLBACK}
    order = [*sorted(names), _FALLBACK]
    return {name: import_module(f"{__name__}.{name}").FAMILY for name in order}


#: In the order in which a source of format ``auto`` asks them: the generic one last.
FAMILIES = _find()


def formats() -> tuple[str, ...]:
    """Return the words that ``format:`` of a source may be."""
    return (AUTO, *FAMILIES)
