"""Pydantic models of the sections, imported only to read a configuration."""

from dataclasses import MISSING
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    create_model,
)

from agent.config import checks
from agent.config.sections import Config
from agent.domain.keys import Key, KeyField, keys_of

_RULES = ConfigDict(extra="forbid")


@cache
def adapter() -> TypeAdapter[Config]:
    """Return the validator of a whole configuration; it makes a :class:`Config` of a mapping."""
    return TypeAdapter(_section(Config))


@cache
def _section(settings: type) -> Any:
    """Return the type of one section: a model that becomes an object of ``settings``."""
    keys = keys_of(settings)
    definitions: dict[str, Any] = {
        name: (_type(settings, one), ... if one.default is MISSING else one.default)
        for name, one in keys.items()
    }
    model = create_model(settings.__name__, __config__=_RULES, **definitions)

    def build(values: BaseModel) -> Any:
        built = settings(**{one.attribute: getattr(values, name) for name, one in keys.items()})
        if settings in checks.SECTIONS:
            checks.SECTIONS[settings](built)
        return built

    return Annotated[model, AfterValidator(build)]


def _type(settings: type, one: KeyField) -> Any:
    """Return the type of a key with its bounds and checks; null, where it is allowed, is not checked."""
    found = _bounded(one.type, one.key)
    place = (settings, one.name)
    if place in checks.RAW_VALUES:
        found = Annotated[found, BeforeValidator(checks.RAW_VALUES[place])]
    if place in checks.VALUES:
        found = Annotated[found, AfterValidator(_checked(checks.VALUES[place]))]
    return found | None if one.optional else found


def _checked(check: Any) -> Any:
    def run(value: Any) -> Any:
        changed = check(value)
        return value if changed is None else changed

    return run


def _bounded(kind: Any, key: Key) -> Any:
    """Return one type with the bounds of its key."""
    if kind in (int, float):
        finite: Any = Annotated[kind, Field(allow_inf_nan=False)] if kind is float else kind
        bounds = Field(gt=key.gt, ge=key.ge, le=key.le)
        return Annotated[finite, BeforeValidator(_number_not_bool), bounds]
    if kind is str and key.one_of:
        return Literal[key.one_of]
    if kind is str:
        return Annotated[str, Field(min_length=key.min_length or None, max_length=key.max_length)]
    if kind is Path and key.file:
        found = Annotated[Path, AfterValidator(_existing_file)]
        return Annotated[found, AfterValidator(_private_file)] if key.file == "secret" else found
    if get_origin(kind) is tuple:
        items: Any = tuple[_bounded(get_args(kind)[0], key), ...]  # type: ignore[misc]  # as below
        return Annotated[items, Field(max_length=key.max_items)]
    if kind in (bool, Path) or get_origin(kind) is Literal:
        return kind
    if get_args(kind):  # a mapping
        return dict[str, _bounded(get_args(kind)[1], key)]  # type: ignore[misc]  # mypy cannot know the type
    return _section(kind)


def _number_not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is true or false, not a number; give a number")  # noqa: TRY004 - pydantic takes ValueError
    return value


def _existing_file(value: Path, info: ValidationInfo) -> Path:
    """Find a relative file in the credentials folder or the configuration's folder."""
    folders: list[Path] = (info.context or {}).get("folders", [])
    value = checks.expand(value)
    tried = [value] if value.is_absolute() else [folder / value for folder in folders]
    for path in tried:
        if _is_file(path):
            return path
    places = ", ".join(str(path) for path in tried)
    raise ValueError(f"no such file ({places}); create it, or correct the path")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        why = error.strerror
        raise ValueError(f"{path} cannot be looked at: {why}; correct owner, mode or path") from None


def _private_file(value: Path) -> Path:
    if value.stat().st_mode & 0o004:  # it is a file that could be looked at
        raise ValueError(f"every user of this machine can read it; run: chmod o-rwx {value}")
    return value
