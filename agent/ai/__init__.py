"""One AI call with everything around it, one step per file.

``caller.py`` shows the order of the steps. ``OpenAIChat`` imports the SDK at the first call only, so
importing this package does not.
"""

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.ai.profiles import PROFILES, profile_names
from agent.ai.settings import CallerSettings
from agent.ai.stats import CallerStats

__all__ = ["PROFILES", "Caller", "CallerSettings", "CallerStats", "OpenAIChat", "profile_names"]
