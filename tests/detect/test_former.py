"""A state of a version before: what it had learnt is not lost."""

import json
import math
import random
from array import array
from pathlib import Path

import pytest

from agent.detect import Detector, codec, former
from agent.domain.records import Reading
from tests.detect import signals

DAYS = 5
OLD = Path(__file__).parent / "old"


def saved(size: int, metric: str = "m") -> bytes:
    """The state that the version before kept of five days of noise around 20 with sd 1, one a minute."""
    rng, at = random.Random(1), signals.START + DAYS * 86_400.0
    old = array("d", bytes(8 * size))
    values = {
        0: 1440.0 * DAYS, 1: 20.1, 2: at, 3: at // 3600.0, 4: 1e-5, 5: 16.2, 6: 23.9, 7: -3.8, 8: 3.9,
        9: 0.02, 10: -0.9, 11: 0.9, 12: 0.01, 13: 1.1, 14: 0.8, 15: 1.5, 16: 1.0, 17: math.inf, 19: 3.0,
        21: 1.0, 22: 1.07, 23: 1.1, 25: 20.1, 26: 20.0, 27: 1.0, 29: 24.0 * DAYS, 30: -0.3, 31: 0.3,
        62: 20.0, 63: 21.0, 66: 17.7, 67: 20.0, 68: 22.3, 69: 0.8, 70: at,
    }  # fmt: skip
    for place, value in values.items():
        old[place] = value
    old[72:96] = array("d", [20.0] * 24)
    old[96:126] = array("d", [rng.gauss(20.0, 1.0) for _ in range(30)])
    head: dict[str, object] = {
        "size": size,
        "count": 7200,
        "up_since": None,
        "rhythms": {},
        "series": [["d", metric, None, 7200]],
    }
    text = json.dumps(head).encode()
    return codec.HEAD.pack(codec.MAGIC, len(text)) + text + old.tobytes()


def test_every_version_is_tried() -> None:
    """Made by hand here are the oldest; the others are as they were saved."""
    saved_then = {int(path.stem.removeprefix("state-")) for path in OLD.glob("state-*.bin")}
    assert set(former.SIZES) == saved_then | {126, 128}


def test_state_without_water_marks_goes_on() -> None:
    """Five days of a pump's pressure and of noise, saved before there were marks, are judged at once."""
    detector = Detector()
    detector.load((OLD / "state-149.bin").read_bytes())
    rng, at, alarms = random.Random(2), signals.START + DAYS * 86_400.0, 0
    for minute in range(7 * 1440):
        at += 60.0
        high = minute % 40 < 20
        pressure = round((4.2 if high else 0.8) + rng.gauss(0.0, 0.02), 2)
        alarms += detector.update(Reading("d", "m", at, rng.gauss(20.0, 1.0)), at).alarm
        alarms += detector.update(Reading("d", "pressure", at, pressure), at).alarm
    assert alarms == 0
    views = {view.metric: view for view in detector.views("d")}
    assert (views["m"].n, views["pressure"].n) == (12 * 1440, 12 * 1440)
    leak = [
        detector.update(
            Reading("d", "pressure", at + 60.0 * minute, 3.0 if minute % 40 < 20 else 0.8), at
        ).alarm
        for minute in range(1, 180)
    ]
    assert any(leak)


@pytest.mark.parametrize("size", [126, 128])
def test_what_was_learnt_is_kept(size: int) -> None:
    """It is judged at once by the range of then: noise is calm, a reading of ten sd is an alarm."""
    detector = Detector()
    detector.load(saved(size))
    rng, at = random.Random(2), signals.START + DAYS * 86_400.0
    scores = [
        detector.update(Reading("d", "m", at + 60.0 * place, rng.gauss(20.0, 1.0)), at)
        for place in range(1, 400)
    ]
    assert not any(score.alarm for score in scores)
    view = detector.view("d", "m")
    assert view is not None
    assert (view.warm, view.progress, view.n) == (True, None, 7599)
    assert detector.update(Reading("d", "m", at + 24_000.0, 30.0), at).alarm


def test_it_is_saved_as_of_this_version() -> None:
    """Saved again and loaded, it is the same."""
    first, second = Detector(), Detector()
    first.load(saved(128))
    second.load(first.dump())
    assert first.dump() == second.dump()
