"""The local detector: learns the usual values of each series, scores readings."""

from agent.detect.codec import DetectStateError, dump_rhythm, load_rhythm
from agent.detect.detector import Detector, DetectStats, UnitChange
from agent.detect.expect import LEARNT, Expect, QuietHours
from agent.detect.limits import Limit, LimitUse
from agent.detect.pauses import instants_of, offset_of
from agent.detect.rhythm import Rhythm, Watch
from agent.detect.settings import SENSITIVITY, DetectSettings
from agent.detect.tuning import Tuning, TuningUse

__all__ = [
    "LEARNT",
    "SENSITIVITY",
    "DetectSettings",
    "DetectStateError",
    "DetectStats",
    "Detector",
    "Expect",
    "Limit",
    "LimitUse",
    "QuietHours",
    "Rhythm",
    "Tuning",
    "TuningUse",
    "UnitChange",
    "Watch",
    "dump_rhythm",
    "instants_of",
    "load_rhythm",
    "offset_of",
]
