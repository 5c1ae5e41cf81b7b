"""Benchmark of the local detector: false alarms, found faults, time and memory.

python -m tests.benchmarks.detection [--seeds 4]
"""

import argparse
import random
import resource
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agent.detect import Detector, DetectSettings
from agent.domain.records import Kind, Reading, Score
from tests.detect import signals

STEP_S = 60.0
LEARN = 10_080  # a week of minutes
COOL_DOWN = 50


def run(values: Sequence[float], settings: DetectSettings, *, step_s: float = STEP_S) -> list[Score]:
    """Return the score of every value."""
    detector = Detector(settings)
    return [
        detector.update(Reading("d", "m", at, value), at)
        for at, value in ((signals.START + step_s * place, value) for place, value in enumerate(values))
    ]


def incidents(scores: Sequence[Score], line: float) -> list[int]:
    """Return where alarms begin that had none in the 50 readings before."""
    starts, last = [], -COOL_DOWN - 1
    for place, score in enumerate(scores):
        if score.value >= line:
            if place - last > COOL_DOWN:
                starts.append(place)
            last = place
    return starts


def false_alarms(
    settings: DetectSettings, seeds: int, step_s: float = STEP_S, count: int = 30_000
) -> dict[str, tuple[float, float, float]]:
    """Return per kind of healthy series: alarms in the first 3,000 and per 10,000 after, suspicions after."""
    result = {}
    for name, healthy in signals.CALM.items():
        first = later = suspect = 0
        for seed in range(seeds):
            scores = run(signals.take(healthy, count, seed=seed, step_s=step_s), settings, step_s=step_s)
            begun = incidents(scores, 1.0)
            first += sum(place < 3000 for place in begun)
            later += sum(place >= 3000 for place in begun)
            suspect += sum(place >= 3000 for place in incidents(scores, 0.25))
        per = 1e4 / (seeds * (count - 3000))
        result[name] = (1e4 * first / (seeds * 3000), later * per, suspect * per)
    return result


FAULTS: dict[str, tuple[signals.Fault, int, frozenset[Kind]]] = {
    "spike 6 sd": (signals.spike(6.0), 60, frozenset({Kind.SPIKE})),
    "spike 10 sd": (signals.spike(10.0), 60, frozenset({Kind.SPIKE})),
    "shift 2 sd": (signals.shift(2.0), 60, frozenset({Kind.LEVEL_SHIFT})),
    "shift 4 sd": (signals.shift(4.0), 60, frozenset({Kind.LEVEL_SHIFT})),
    "shift 10 sd": (signals.shift(10.0), 60, frozenset({Kind.LEVEL_SHIFT})),
    "noise x3": (signals.noise(3.0), 60, frozenset({Kind.NOISE})),
    "drift 4 sd a day": (signals.drift(4.0 / 1440.0), 1440, frozenset({Kind.DRIFT})),
    "drift 10 sd a day": (signals.drift(10.0 / 1440.0), 1440, frozenset({Kind.DRIFT})),
}
#: sd of the noise itself, so that sizes mean the same on a curve
BASES = {"white noise": 1.0, "AR(1) 0.9": 1.0, "day curve": 0.2, "duty cycle": 0.5, "quantised": 0.5}


def found(settings: DetectSettings, trials: int) -> dict[tuple[str, str], tuple[int, Counter[Kind]]]:
    """Return per base and fault how many of ``trials`` were found in time, and under which name."""
    result = {}
    for base, sd in BASES.items():
        for name, (fault, within, _) in FAULTS.items():
            hits, kinds = 0, Counter[Kind]()
            for seed in range(trials):
                rng = random.Random(1000 + seed)
                onset = LEARN + rng.randrange(1440)
                values = signals.take(signals.CALM[base], onset + within, seed=seed)
                values[onset:] = [fault(value, since, rng, sd) for since, value in enumerate(values[onset:])]
                scores = run(values, settings)[onset:]
                top = max(scores, key=lambda score: score.value)
                if top.value >= 1.0:
                    hits += 1
                    kinds[top.kind] += 1
            result[base, name] = hits, kinds
        hits = 0
        for seed in range(trials):
            values = signals.take(signals.CALM[base], LEARN + 1440, seed=seed)
            onset = LEARN + random.Random(seed).randrange(1000)
            values[onset:] = [values[onset]] * (len(values) - onset)
            hits += any(score.kind is Kind.FLATLINE for score in run(values, settings)[onset : onset + 360])
        result[base, "stuck 6 h"] = hits, Counter({Kind.FLATLINE: hits})
    return result


def cost(settings: DetectSettings) -> tuple[float, float]:
    """Return us CPU per update (best of three) and bytes RSS per series."""
    readings = [
        Reading("d", "m", signals.START + 60.0 * i, v)
        for i, v in enumerate(signals.take(signals.day_curve, 20_000, seed=1))
    ]
    best = 1e9
    for _ in range(3):
        detector = Detector(settings)
        began = time.process_time()
        for reading in readings:
            detector.update(reading, reading.at)
        best = min(best, (time.process_time() - began) / len(readings))
    detector = Detector(settings)
    before = _rss()
    for device in range(1000):
        for metric in ("temperature", "humidity", "battery", "co2", "pressure"):
            detector.update(Reading(f"building/{device}", metric, 0.0, 1.0), 0.0)
    return 1e6 * best, (_rss() - before) / 5000


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--trials", type=int, default=10)
    given = parser.parse_args()
    settings = DetectSettings()
    us, size = cost(settings)
    print(f"{us:.1f} us CPU per update, {size:.0f} bytes RSS per series")
    print(f"{'alarms per 10,000 readings of':34}{'first 3,000':>12}{'later':>8}{'suspect':>9}")
    for step_s, count in ((STEP_S, 30_000), (1.0, 15_000)):
        for name, (first, later, suspect) in false_alarms(settings, given.seeds, step_s, count).items():
            print(f"{f'{name}, every {step_s:.0f} s':34}{first:12.1f}{later:8.2f}{suspect:9.2f}")
    for (base, name), (hits, kinds) in found(settings, given.trials).items():
        named = ", ".join(f"{kind} {number}" for kind, number in kinds.most_common(3))
        print(f"{base + ': ' + name:34}{hits:4d} of {given.trials}   {named}")


if __name__ == "__main__":
    main()
