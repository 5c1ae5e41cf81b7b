"""The types and checks that the configuration's sections share."""

import re
import socket
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

MAX_USD_PER_MTOK = 1000.0


def host_name() -> str:
    """Return this machine's name, made fit for a topic."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "gateway"


def _number_not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is true or false, not a number; give a number")  # noqa: TRY004 - pydantic takes ValueError
    return value


def expand(path: Path) -> Path:
    """Return ``path`` with the home directory in place of a leading ``~``.

    Raises:
        ValueError: in words for a person.
    """
    if not str(path).isprintable():
        raise ValueError("holds a control character; write a plain path")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("names a home directory that is not known; write the whole path") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        why = error.strerror
        raise ValueError(f"{path} cannot be looked at: {why}; correct owner, mode or path") from None


def _existing_file(value: Path | None, info: ValidationInfo) -> Path | None:
    """Seek a relative file in the credentials folder, then beside the configuration."""
    if value is None:
        return None
    folders: list[Path] = (info.context or {}).get("folders", [])
    value = expand(value)
    tried = [value] if value.is_absolute() else [folder / value for folder in folders]
    for path in tried:
        if _is_file(path):
            return path
    places = ", ".join(str(path) for path in tried)
    raise ValueError(f"no such file ({places}); create it, or correct the path")


def _private_file(value: Path | None) -> Path | None:
    if value is not None and value.stat().st_mode & 0o004:  # it is a file that could be looked at
        raise ValueError(f"every user of this machine can read it; run: chmod o-rwx {value}")
    return value


Number = Annotated[float, BeforeValidator(_number_not_bool), Field(allow_inf_nan=False)]
Seconds = Annotated[Number, Field(gt=0, le=86_400)]
Usd = Annotated[Number, Field(ge=0)]
Whole = Annotated[int, BeforeValidator(_number_not_bool)]
ExistingFile = Annotated[Path | None, AfterValidator(_existing_file)]
SecretFile = Annotated[Path | None, AfterValidator(_existing_file), AfterValidator(_private_file)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, hide_input_in_errors=False)
