"""The local detector: what is usual for each series, and how far from it a reading is."""

from agent.detect.codec import DetectStateError
from agent.detect.detector import Detector, DetectStats
from agent.detect.limit_use import LimitUse
from agent.detect.limits import Limit
from agent.detect.settings import DetectSettings

__all__ = ["DetectSettings", "DetectStateError", "DetectStats", "Detector", "Limit", "LimitUse"]
