"""Scores of agents: their verdicts against the true labels."""

from simulator.score.figures import Figures, KindFigures, figures
from simulator.score.files import ScoreFileError, read_labels, read_runs
from simulator.score.match import Match, Opening, Score, match
from simulator.score.verdicts import AgentVerdicts

__all__ = [
    "AgentVerdicts",
    "Figures",
    "KindFigures",
    "Match",
    "Opening",
    "Score",
    "ScoreFileError",
    "figures",
    "match",
    "read_labels",
    "read_runs",
]
