"""Configuration keys: how a settings class documents and bounds its fields.

A field of a frozen dataclass is a key of the configuration if its type is ``Annotated`` with a
:class:`Key`. The dataclass holds the default. The loader, its messages, ``configs/agent.yaml`` and the
reference page are made from both, so that a key is written in one place.
"""

from dataclasses import KW_ONLY, MISSING, dataclass, fields
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Key:
    """Documentation and bounds of one key; the type of the field gives the rest."""

    doc: str
    _: KW_ONLY
    gt: float | None = None
    ge: float | None = None
    le: float | None = None
    min_length: int = 0  # characters of the text, or of each text in a list
    max_length: int | None = None
    max_items: int | None = None
    one_of: tuple[str, ...] = ()
    file: Literal["", "readable", "secret"] = ""  # an existing file; secret: not readable by every user
    default: str = ""  # in words, if it depends on the machine or on other keys
    example: str = ""  # YAML, shown in configs/agent.yaml as a comment below the key


@dataclass(frozen=True, slots=True)
class KeyField:
    """One key of a settings class."""

    name: str
    type: Any
    optional: bool  # null is allowed too
    key: Key
    default: Any  # MISSING: the key must be given
    attribute: str = ""  # the field; its name has a `_` behind where Python has a word of its own


def keys_of(settings: type) -> dict[str, KeyField]:
    """Return the keys of a settings class by name, in their order; other fields are not keys.

    The field ``from_`` is the key ``from``.
    """
    hints = get_type_hints(settings, include_extras=True)
    found = {}
    for field in fields(settings):
        hint = hints[field.name]
        if get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], Key):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            kinds = [kind for kind in get_args(hint.__origin__) if kind is not NoneType]
            optional = NoneType in get_args(hint.__origin__)
            kind = kinds[0] if optional else hint.__origin__
            name = field.name.removesuffix("_")
            found[name] = KeyField(name, kind, optional, hint.__metadata__[0], default, field.name)
    return found
