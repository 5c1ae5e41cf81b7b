"""YAML and environment made into frozen models: every default and every check."""

from agent.config.load import load
from agent.config.models import Config
from agent.config.problems import ConfigError

__all__ = ["Config", "ConfigError", "load"]
