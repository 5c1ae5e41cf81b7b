"""A trial: real agents at once on one broker, scored against the true labels."""

from simulator.trial.plan import MODES, TrialPlan
from simulator.trial.run import Outcome, TrialError, run

__all__ = ["MODES", "Outcome", "TrialError", "TrialPlan", "run"]
