"""Scores of agents: their verdicts against the true labels."""

from simulator.score.figures import Figures, KindFigures, figures
from simulator.score.files import ScoreFileError, read_labels, read_runs
from simulator.score.match import Match, Opening, Score, match
from simulator.score.verdicts import Said

__all__ = [
    "Figures",
    "KindFigures",
    "Match",
    "Opening",
    "Said",
    "Score",
    "ScoreFileError",
    "figures",
    "match",
    "read_labels",
    "read_runs",
]
