"""Reads the configuration in another process, which takes pydantic and its 15 MiB along when it ends.

What comes back has the attributes and properties of the models, frozen, in plain objects. Measured: 45 MiB
against 30 MiB for an idle agent without a model (docs/figures.md).
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from agent.config.errors import ConfigError, ConfigFaultError

if TYPE_CHECKING:
    from agent.config.models import Config


LOAD_S = 60.0  # on a slow card, with a busy core


class Plain(SimpleNamespace):
    """A section of the configuration without its model."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"the configuration is frozen: {name}")


def load_apart(path: Path) -> "Config":
    """Return the checked configuration of ``path``, read by a child process; see ``agent.config.load.load``.

    Call it before any thread is started.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    ear, mouth = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(ear)
        answer(path, mouth)
    os.close(mouth)
    with os.fdopen(ear, "rb") as file:
        raw = file.read()
    os.waitpid(child, 0)
    return _understand(path, raw)


def load_anew(path: Path) -> "Config":
    """Return what :func:`load_apart` does, read by a new interpreter: for a process that has threads.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    code = str(Path(__file__).parents[2])  # where this very package lies
    try:
        raw = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-m", "agent.config", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": code},
            timeout=LOAD_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError([f"{path}: no process could read it: {error}; try again"]) from None
    return _understand(path, raw)


def _understand(path: Path, raw: bytes) -> "Config":
    if not raw:
        raise ConfigFaultError(f"{path}: the process that reads it died; run edge-agent check")
    problems, tree = pickle.loads(raw)  # noqa: S301 - our own child wrote it
    if problems:
        raise ConfigError(problems)
    if isinstance(tree, _Fault):
        raise ConfigFaultError(f"a fault of ours: {tree} while reading {path}; please report this line")
    return cast("Config", _plain(tree))


def answer(path: Path, mouth: int) -> NoReturn:
    """Write what loading gives, as the child, and end."""
    try:
        from agent.config.load import load  # noqa: PLC0415 - only the child needs pydantic

        found: tuple[tuple[str, ...], Any] = ((), _tree(load(path)))
    except ConfigError as error:
        found = (error.problems, None)
    except KeyboardInterrupt:  # the parent has it as well
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - a fault of ours, which the parent reports
        from agent.observe.logs import frames  # noqa: PLC0415 - only here

        found = ((), _Fault(frames(error)))
    with os.fdopen(mouth, "wb") as file:
        pickle.dump(found, file)
    os._exit(0)


class _Fault(str):
    """Kind and place of a fault of ours, instead of a configuration."""

    __slots__ = ()


class _Section(dict[str, Any]):
    """A model on its way, told apart from a mapping of the configuration."""


def _tree(value: Any) -> Any:
    from pydantic import BaseModel  # noqa: PLC0415 - in the child

    if isinstance(value, BaseModel):
        kind = type(value)
        names = [
            *kind.model_fields,
            *(name for name, item in vars(kind).items() if isinstance(item, property)),
        ]
        return _Section((name, _tree(getattr(value, name))) for name in names)
    if isinstance(value, dict):
        return {key: _tree(item) for key, item in value.items()}
    return tuple(_tree(item) for item in value) if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    if isinstance(value, _Section):
        return Plain(**{name: _plain(item) for name, item in value.items()})
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(_plain(item) for item in value) if isinstance(value, tuple) else value
