"""A trial: real agents at once on one broker, scored against the true labels."""

from simulator.trial.plan import MODES, Contestant, TrialPlan
from simulator.trial.run import Outcome, TrialError, run

__all__ = ["MODES", "Contestant", "Outcome", "TrialError", "TrialPlan", "run"]
