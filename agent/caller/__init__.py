"""One AI call with everything around it, one step per file; ``caller.py`` shows their order.

``OpenAIChat`` imports the SDK at the first call only, so importing this package does not.
"""

from agent.caller.caller import Caller
from agent.caller.openai_chat import OpenAIChat
from agent.caller.pricing import Price, Pricing
from agent.caller.settings import CallerSettings
from agent.caller.state import CallerStats

__all__ = ["Caller", "CallerSettings", "CallerStats", "OpenAIChat", "Price", "Pricing"]
