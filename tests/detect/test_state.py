"""Saving and restoring changes no result."""

import math
import random
import time

import pytest
from hypothesis import given, settings, strategies as st

from agent.detect import Detector, DetectSettings, DetectStateError, Limit
from agent.domain.records import Reading
from tests.detect import signals

LIMITS = (Limit("*/m0", -50.0, 200.0),)
QUICK = DetectSettings(warm_readings=30, young_moves=50.0, silence_gaps=5, max_series=12)

Step = tuple[str, int, int, float, float]
steps = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "read", "tick", "up", "down", "offline", "online"]),
        st.integers(0, 4),  # device
        st.integers(0, 2),  # metric
        st.sampled_from([0.0, 1.0, 1.5, 2.0, 20.0, 21.0, 1e6]) | st.floats(-1e3, 1e3),
        st.sampled_from([0.0, 1.0, 5.0, 60.0, 7200.0]),  # time passed
    ),
    min_size=30,
    max_size=120,
)


def play(detector: Detector, script: list[Step], clock: float) -> tuple[list[object], float]:
    """Run a script of readings, ticks and link changes; return every result and the clock after it."""
    results: list[object] = []
    for what, device, metric, value, passed in script:
        clock += passed
        name = f"d{device}"
        if what == "read":
            results.append(detector.update(Reading(name, f"m{metric}", 1e9 + clock, value), clock))
        elif what == "tick":
            results.append(detector.tick(clock))
        elif what == "up":
            detector.connected(clock)
        elif what == "down":
            detector.disconnected(clock)
        else:
            results.append(detector.device_state(name, what == "online", clock))
        results.append((detector.next_due(), detector.silent(name)))
    results += [detector.views(f"d{device}") for device in range(5)]
    return results, clock


@settings(max_examples=60, deadline=None)
@given(steps, st.data())
def test_restored_detector_goes_on_as_if_nothing_was(script: list[Step], data: st.DataObject) -> None:
    """Dumped and loaded at any point, a detector gives the very results of one that went on."""
    script = script * 5
    cut = data.draw(st.integers(0, len(script)))
    first = Detector(QUICK, LIMITS)
    _, clock = play(first, script[:cut], 1000.0)
    second = Detector(QUICK, LIMITS)
    second.load(first.dump())
    assert play(first, script[cut:], clock) == play(second, script[cut:], clock)
    assert first.dump() == second.dump()


def test_restored_detector_goes_on_with_real_series() -> None:
    """The same for a week of realistic series, cut every few hours."""
    rng = random.Random(1)
    columns = [signals.take(healthy, 6000, seed=2) for healthy in signals.CALM.values()]
    whole, cut = Detector(limits=LIMITS), Detector(limits=LIMITS)
    for place in range(6000):
        at = signals.START + 60.0 * place
        for number, column in enumerate(columns):
            reading = Reading(f"d{number}", "m0", at, column[place] + (50.0 if rng.random() < 0.002 else 0.0))
            assert whole.update(reading, at) == cut.update(reading, at)
        if not place % 250:
            restored = Detector(limits=LIMITS)
            restored.load(cut.dump())
            cut = restored
    assert whole.dump() == cut.dump()


def test_load_is_quick() -> None:
    """300 series are saved and restored in a few milliseconds each (the best of five)."""
    detector = Detector()
    for number in range(300):
        for place in range(40):
            detector.update(Reading(f"d{number}", "m", 60.0 * place, math.sin(place)), 60.0 * place)
    best = [1.0, 1.0]
    for _ in range(5):
        began = time.process_time()
        blob = detector.dump()
        dumped = time.process_time()
        Detector().load(blob)
        best = [min(best[0], dumped - began), min(best[1], time.process_time() - dumped)]
    assert max(best) < 0.02
    assert len(blob) < 300 * 1540


@pytest.mark.parametrize("blob", [b"", b"EDS", b"EDS9xxxxxxxx", b"{}", b"\x00" * 100])
def test_other_version_is_refused(blob: bytes) -> None:
    """A state of another version is refused with one line."""
    with pytest.raises(DetectStateError, match="another version"):
        Detector().load(blob)


def test_damaged_state_is_refused_and_changes_nothing() -> None:
    """A truncated or altered state is refused; the detector keeps what it had."""
    detector = Detector()
    detector.update(Reading("d", "m", 1.0, 1.0), 1.0)
    blob = detector.dump()
    for damaged in (blob[:-1], blob + b"x", blob[:20], blob[:6] + b"\xff\xff" + blob[8:]):
        with pytest.raises(DetectStateError):
            detector.load(damaged)
    assert detector.dump() == blob
