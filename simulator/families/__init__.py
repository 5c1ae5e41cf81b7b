"""Simulated devices of the families, named as the words of ``format:``.

A module offers its class as ``DEVICE``, see :class:`simulator.family_device.FamilyDevice`.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.family_device import FamilyDevice


def words() -> tuple[str, ...]:
    """Return the families that can be simulated."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def device_class(word: str) -> "type[FamilyDevice]":
    """Return the class of the devices of the family ``word``, one of :func:`words`."""
    found: type[FamilyDevice] = import_module(f"{__name__}.{word}").DEVICE
    return found
