"""An OpenAI-compatible endpoint that answers from the data in the prompt and misbehaves when told to."""

from simulator.model.behaviours import Behaviour, ControlError, Director
from simulator.model.judge import answer
from simulator.model.server import ModelEndpoint

__all__ = ["Behaviour", "ControlError", "Director", "ModelEndpoint", "answer"]
