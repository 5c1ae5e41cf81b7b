"""An OpenAI-compatible endpoint with scripted misbehaviour."""

from simulator.model.behaviours import Behaviour, ControlError, Director
from simulator.model.judge import answer
from simulator.model.server import ModelEndpoint

__all__ = ["Behaviour", "ControlError", "Director", "ModelEndpoint", "answer"]
