"""The local detector: learns the usual values of each series, scores readings."""

from agent.detect.codec import DetectStateError
from agent.detect.detector import Detector, DetectStats, UnitChange
from agent.detect.limits import Limit, LimitUse
from agent.detect.rhythm import Watch
from agent.detect.settings import DetectSettings

__all__ = [
    "DetectSettings",
    "DetectStateError",
    "DetectStats",
    "Detector",
    "Limit",
    "LimitUse",
    "UnitChange",
    "Watch",
]
