"""The lift of a model: its worth where only the site's facts decide."""

from simulator.lift.figures import Lift, lift_of
from simulator.lift.gateway import Gateway
from simulator.lift.replay import Recording, RecordingError, Replay
from simulator.lift.scripted import SCRIPTS, Scripted
from simulator.lift.site import LiftPlan, Site, join
from simulator.lift.upstream import Price, Upstream

__all__ = [
    "SCRIPTS",
    "Gateway",
    "Lift",
    "LiftPlan",
    "Price",
    "Recording",
    "RecordingError",
    "Replay",
    "Scripted",
    "Site",
    "Upstream",
    "join",
    "lift_of",
]
