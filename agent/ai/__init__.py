"""One AI call with everything around it, one step per file; ``caller.py`` shows their order.

``OpenAIChat`` imports the SDK at the first call only, so importing this package does not.
"""

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.ai.pricing import Price, Pricing
from agent.ai.settings import CallerSettings
from agent.ai.state import CallerStats

__all__ = ["Caller", "CallerSettings", "CallerStats", "OpenAIChat", "Price", "Pricing"]
