"""Configuration from YAML and environment: one frozen, checked :class:`Config`.

``agent.config.load`` needs pydantic. A long-running agent reads its configuration through
:func:`load_apart`, in a child process, and does not load it.
"""

from agent.config.child import load_again, load_apart
from agent.config.errors import ConfigError, ConfigFaultError, one_line
from agent.config.sections import Config, differences, merge
from agent.config.weaknesses import Weakness, overlaps, weaknesses

__all__ = [
    "Config",
    "ConfigError",
    "ConfigFaultError",
    "Weakness",
    "differences",
    "load_again",
    "load_apart",
    "merge",
    "one_line",
    "overlaps",
    "weaknesses",
]
