"""Verdicts on series that cannot be judged yet, and on limits in another unit."""

import json
from collections.abc import Iterable
from dataclasses import replace

import pytest

from agent.detect import Detector, DetectSettings, Limit
from agent.domain.records import (
    Kind,
    LocalOpinion,
    Outcome,
    Progress,
    Reading,
    Reason,
    Score,
    Severity,
    Status,
    Trigger,
)
from agent.journal.codec import decode_window, encode_window
from agent.pipeline.window import Windows, WindowSettings
from agent.verdict.encode import iso, to_json
from agent.verdict.local_opinion import opine
from agent.verdict.verdict import conclude
from tests.support.make import T0, answered, window

WARM = DetectSettings().warm_readings
Scored = tuple[Reading, Score]


def wave(place: int) -> float:
    """A value that never settles: 21.0 to 21.9."""
    return 21.0 + (place * 7 % 10) / 10


class Stream:
    """Readings of one device, scored as they come."""

    def __init__(self, *limits: Limit, max_series: int = 100) -> None:
        self.detector = Detector(DetectSettings(max_series=max_series), limits)
        self._clock = T0

    def send(
        self, values: Iterable[float], metric: str = "temperature", unit: str = "degC", device: str = "d"
    ) -> list[Scored]:
        scored = []
        for value in values:
            self._clock += 10.0
            reading = Reading(device, metric, self._clock, value, unit)
            scored.append((reading, self.detector.update(reading, self._clock)))
        return scored


def verdict_of(scored: list[Scored], outcome: Outcome | None = None) -> dict[str, object]:
    """Return what is published of a window with these readings."""
    one = replace(window(), local=opine(scored), count=len(scored))
    outcome = Outcome(one.id, Reason.NOT_SUSPICIOUS) if outcome is None else outcome
    return to_json(conclude(one, replace(outcome, window_id=one.id), agent="gw", created=T0))


def test_ninety_nine_degrees_while_learning_are_not_called_usual() -> None:
    """After 102 of 150 readings the usual range is unknown, and the verdict states that."""
    stream = Stream()
    stream.send(map(wave, range(101)))
    verdict = verdict_of(stream.send([99.0]))
    assert verdict["learning"] == {
        "metric": "temperature",
        "seen": 102,
        "needed": WARM,
        "until": iso(T0 + 10.0 * WARM),
    }
    assert str(verdict["summary"]).startswith("still learning (102 of 150): temperature cannot be judged yet")
    assert (verdict["status"], verdict["kind"]) == ("normal", "none")


def test_a_learnt_series_says_what_it_did() -> None:
    """Once the warm-up is over nothing is learning, and 99 degrees are an anomaly."""
    stream = Stream()
    stream.send(map(wave, range(400)))
    calm = verdict_of(stream.send(map(wave, range(10))))
    assert (calm["learning"], calm["summary"]) == (None, "Readings are within their usual range.")
    assert verdict_of(stream.send([99.0]))["status"] == "anomaly"


def test_a_window_that_ends_learnt_tells_of_what_it_could_not_judge() -> None:
    """A wild reading just before the warm-up ends is not covered by those after it."""
    stream = Stream()
    stream.send(map(wave, range(WARM - 10)))
    verdict = verdict_of(stream.send([99.0, *map(wave, range(40))]))
    assert verdict["learning"] is not None
    assert "usual range" not in str(verdict["summary"])


def test_the_least_learnt_of_several_series_is_named() -> None:
    """One learnt series does not vouch for the others, and their number is stated."""
    stream = Stream()
    stream.send(map(wave, range(400)))
    stream.send(map(wave, range(120)), "humidity")
    stream.send(map(wave, range(50)), "pressure")
    scored = [*stream.send([21.1]), *stream.send([21.2], "humidity"), *stream.send([21.3], "pressure")]
    verdict = verdict_of(scored)
    assert verdict["learning"] == {
        "metric": "pressure",
        "seen": 51,
        "needed": WARM,
        "until": iso(scored[2][0].at + (WARM - 51) * _pace(51)),
    }
    assert "pressure and 1 more cannot be judged yet" in str(verdict["summary"])


def _pace(seen: int) -> float:
    """Seconds between the readings of the last series of the test above, as it saw them itself."""
    return (10.0 * (seen - 2) + 10.0 * 3) / (seen - 1)


def test_a_broken_limit_is_an_anomaly_while_learning() -> None:
    """Limits need no learning; the verdict states all the same that the series is still learning."""
    stream = Stream(Limit("*/temperature", high=85.0, unit="degC"))
    stream.send(map(wave, range(20)))
    verdict = verdict_of(stream.send([99.0]))
    assert (verdict["status"], verdict["kind"], verdict["severity"]) == (
        "anomaly",
        "out_of_range",
        "critical",
    )
    assert str(verdict["summary"]).startswith("temperature 99 degC is outside its configured limits")
    assert verdict["learning"] is not None


@pytest.mark.parametrize("status", [Status.NORMAL, Status.UNCERTAIN])
def test_a_model_cannot_make_a_learning_series_usual(status: Status) -> None:
    """A series that the model calls normal is still not learnt; its doubts are added."""
    stream = Stream()
    scored = stream.send(map(wave, range(30)))
    answer = answered(window(Score(0.5)), status)
    assert answer.answer is not None
    said = replace(answer, answer=replace(answer.answer, summary="Within its usual range, as ever."))
    verdict = verdict_of(scored, said)
    assert (verdict["source"], verdict["status"]) == ("ai", status)
    assert str(verdict["summary"]).startswith("still learning (30 of 150)")
    assert ("as ever" in str(verdict["summary"])) == (status is Status.UNCERTAIN)


def test_an_anomaly_that_the_model_sees_in_a_learning_series_is_told_in_its_words() -> None:
    """The model may know better; that the detector cannot judge yet is in the key."""
    verdict = verdict_of(Stream().send(map(wave, range(30))), answered(window(Score(0.5)), Status.ANOMALY))
    assert (verdict["status"], verdict["summary"]) == ("anomaly", "As the model says.")
    assert verdict["learning"] is not None


def test_a_series_that_is_evicted_is_never_called_learnt() -> None:
    """Where more series come than are kept, each begins again, and its verdict states that each time."""
    stream = Stream(max_series=10)
    for _ in range(40):
        for place in range(30):
            (scored,) = (stream.send([wave(place)], device=f"d{place}"),)
            learning = verdict_of(scored)["learning"]
            assert isinstance(learning, dict)
            assert learning["seen"] < WARM


def test_the_first_change_of_a_constant_is_not_usual() -> None:
    """A value that never moved gives nothing to compare with: 99 after 400 times 21 is not judged."""
    stream = Stream()
    stream.send([21.0] * 400)
    assert verdict_of(stream.send([21.0]))["learning"] is None
    verdict = verdict_of(stream.send([99.0]))
    assert isinstance(verdict["learning"], dict)
    assert str(verdict["summary"]).startswith("still learning (2 of 3 different values): temperature")


def test_a_counter_learns_again_when_it_is_known_for_one() -> None:
    """Its steps are judged, of which nothing was known before."""
    stream = Stream()
    stream.send(float(place) for place in range(120))
    verdict = verdict_of(stream.send([121.0]))
    assert isinstance(verdict["learning"], dict)
    assert verdict["learning"]["seen"] < WARM


def test_a_limit_in_another_unit_is_said_in_the_verdict() -> None:
    """A learnt series is not within its usual range as long as its limit cannot be checked."""
    stream = Stream(Limit("*/voltage", high=260.0, unit="V"))
    stream.send(map(wave, range(400)), "voltage", "A")
    verdict = verdict_of(stream.send([21.4], "voltage", "A"))
    assert verdict["summary"] == ("The limit of voltage is in V, the readings are in A: it is not checked.")
    assert verdict["learning"] is None
    normal = verdict_of(stream.send([21.4], "voltage", "A"), answered(window(Score(0.5)), Status.NORMAL))
    assert "it is not checked" in str(normal["summary"])


def test_what_is_not_judged_survives_a_restart() -> None:
    """Open windows and sealed ones come back as they were."""
    stream = Stream(Limit("*/temperature", high=85.0, unit="hPa"))
    scored = stream.send(map(wave, range(5)))
    before = Windows(WindowSettings())
    before.add("d", 1, T0, scored, None)
    after = Windows(WindowSettings())
    after.load(json.loads("".join(before.dump())), {})
    (draft,) = after.seal_device("d", T0, Trigger.AGE)
    assert list(draft.readings) == scored
    sealed = replace(window(Score(0.5)), local=opine(scored))
    assert decode_window(encode_window(sealed)) == sealed
    assert sealed.local.learning is not None


def test_windows_of_an_older_version_are_read() -> None:
    """They know nothing of learning, and their scores end before it."""
    old = '{"status":"normal","score":0.0,"kind":"none","severity":"info","evidence":[],"summary":"x"}'
    text = encode_window(window(Score(0.5)))
    head, tail = text.split('"local":', 1)
    rest = tail[tail.index('},"candidates"') + 1 :]
    local = decode_window(f'{head}"local":{old}{rest}').local
    assert local == LocalOpinion(Status.NORMAL, 0.0, Kind.NONE, Severity.INFO, (), "x")
    windows = Windows(WindowSettings())
    item = ["temperature", T0, 20.0, "degC", 0.5, "spike", [1.0, 2.0], False]
    windows.load([["d", 1, 1, T0, T0, T0, [], None, None, [item]]], {})
    ((_, score),) = windows.seal_device("d", T0, Trigger.AGE)[0].readings
    assert score == Score(0.5, Kind.SPIKE, (1.0, 2.0))


def test_the_view_of_a_series_tells_its_progress() -> None:
    """Page and ``inspect`` show its progress, until it is learnt."""
    stream = Stream()
    stream.send(map(wave, range(40)))
    view = stream.detector.view("d", "temperature")
    assert view is not None
    assert view.progress == Progress(40, WARM, T0 + 10.0 * WARM)
    assert stream.detector.learning_count() == 1
    stream.send(map(wave, range(160)))
    view = stream.detector.view("d", "temperature")
    assert view is not None
    assert view.progress is None
    assert stream.detector.learning_count() == 0
