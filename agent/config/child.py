"""Loading in a child process, which frees pydantic's 15 MiB when it ends.

The child hands back the :class:`Config` itself, or the problems of the file. Measured: 45 MiB against
30 MiB for an idle agent without a model (docs/figures.md).
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

from agent.config.errors import ConfigError, ConfigFaultError
from agent.config.sections import Config

LOAD_S = 60.0  # on a slow card, with a busy core


class _Answer(NamedTuple):
    """Result of the child: a configuration, its problems, or a fault of the agent."""

    config: Config | None = None
    problems: tuple[str, ...] = ()
    fault: str = ""


def load_apart(path: Path) -> Config:
    """Return the checked configuration of ``path``, read by a fork; see ``agent.config.load.load``.

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
    return _unpack(path, raw)


def load_again(path: Path) -> Config:
    """Return the same as :func:`load_apart`, read by a new interpreter: for a process that has threads.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    code = str(Path(__file__).parents[2])  # the folder of this very package
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
    return _unpack(path, raw)


def _unpack(path: Path, raw: bytes) -> Config:
    if not raw:
        raise ConfigFaultError(f"{path}: the process that reads it died; run edge-agent check")
    found: _Answer = pickle.loads(raw)  # noqa: S301 - our own child wrote it
    if found.problems:
        raise ConfigError(found.problems)
    if found.config is None:
        raise ConfigFaultError(
            f"a fault of ours: {found.fault} while reading {path}; please report this line"
        )
    return found.config


def answer(path: Path, mouth: int) -> NoReturn:
    """Write the result of loading to ``mouth``, as the child, and end."""
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # a look at every package: 25 ms
    try:
        from agent.config.load import load  # noqa: PLC0415 - only the child needs pydantic

        found = _Answer(config=load(path))
    except ConfigError as error:
        found = _Answer(problems=error.problems)
    except KeyboardInterrupt:  # the parent gets it as well
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - a fault of ours, which the parent reports
        from agent.observe.logs import frames  # noqa: PLC0415 - only here

        found = _Answer(fault=frames(error))
    with os.fdopen(mouth, "wb") as file:
        pickle.dump(found, file)
    os._exit(0)
