"""YAML and environment made into frozen models: every default and every check.

``agent.config.load`` holds the models' side and needs pydantic. A long-running agent reads its configuration
through :func:`load_apart`, so that it need not.
"""

from typing import TYPE_CHECKING

from agent.config.apart import load_anew, load_apart
from agent.config.change import differences, merge
from agent.config.errors import ConfigError, ConfigFaultError, one_line
from agent.config.weaknesses import Weakness, weaknesses

if TYPE_CHECKING:
    from agent.config.models import Config
else:
    from agent.config.apart import Plain as Config

__all__ = [
    "Config",
    "ConfigError",
    "ConfigFaultError",
    "Weakness",
    "differences",
    "load_anew",
    "load_apart",
    "merge",
    "one_line",
    "weaknesses",
]
