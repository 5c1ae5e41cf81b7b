"""A lift with the real agent, from recorded answers: two hours of a small site."""

from pathlib import Path

import pytest

from simulator import scenario as scenarios
from simulator.lift import Lift, LiftPlan, Recording, Replay, join
from simulator.lift.run import run
from simulator.model.server import Responder

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

FOLDER = Path(__file__).parent / "recorded"


def measure(responders: dict[str, Responder | str]) -> dict[str, Lift]:
    site = join([scenarios.load(str(FOLDER / "small.yaml"))])
    trial = site.scenario.trial
    plan = LiftPlan(history_s=trial.history_s, live_s=trial.live_s, speed=trial.speed, lead_s=8.0)
    lifts, _ = run(site, plan, responders, say=lambda _text: None)
    return {one.name: one for one in lifts}


def test_recorded_answers_give_the_lift_of_the_model_that_gave_them() -> None:
    """Both false alarms go, the fault stays; the control, "normal" on any fact, loses the fault.

    "Normal" on the reading itself changes nothing.
    """
    recorded = Replay(Recording.read(FOLDER / "small.jsonl"))
    lifts = measure({"recorded": recorded, "control": "parrot", "lazy": "lazy"})
    none, model, wrong = lifts["none"], lifts["recorded"], lifts["control"]
    assert recorded.missing == []
    assert (none.spans, none.right, none.found, none.false_alarms) == (3, 1, 1, 2)
    assert (model.right, model.found, model.false_alarms, model.removed, model.lost) == (3, 1, 0, 2, 0)
    assert model.lift == pytest.approx(0.5)
    assert (model.ungrounded, model.unexplained, model.failed) == (0, 0, 0)
    assert model.per_incident is not None
    assert model.per_incident <= 1.2
    assert model.questions["audit"] == 0
    assert model.input_tokens > 0 < model.usd
    assert (wrong.found, wrong.lost, wrong.removed) == (0, 1, 2)
    assert wrong.lift == pytest.approx(-0.5)
    assert (lifts["lazy"].removed, lifts["lazy"].lost, lifts["lazy"].lift) == (0, 0, 0.0)
    assert (none.questions.get("opening", 0), none.model, none.usd) == (0, None, 0.0)
