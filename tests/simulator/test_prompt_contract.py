"""The simulator's model fits the agent's prompt: answers parse and are grounded."""

import json

import pytest

from agent.domain.records import (
    Answer,
    Batch,
    Grounding,
    Kind,
    LocalOpinion,
    Score,
    SeriesView,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)
from agent.prompt import Site, render, render_section
from agent.prompt.ground import ground as check
from agent.prompt.parse import parse
from agent.prompt.question import check_answer, parse_answer, render_question
from simulator.model import answer
from simulator.model.asked import answer_to_question

AT = 1_790_000_000.0


def window(name: str, metric: str, unit: str, value: float, score: Score, view: SeriesView) -> Window:
    reading = WindowReading("r7", metric, AT + 3, value, unit, score)
    local = LocalOpinion(
        Status.ANOMALY if score.alarm else Status.NORMAL,
        score.value,
        score.kind,
        Severity.WARNING,
        (reading,),
        "x",
    )
    section = render_section(
        candidates=(reading,),
        views=[view],
        start=AT,
        end=AT + 5,
        count=5,
        local=local,
    )
    return Window(
        name, name, Trigger.SUSPICION, 1, 9, 5, AT, AT + 5, 0.0, 5.0, local, (reading,), section
    )  # fmt: skip


def view(metric: str, low: float, high: float, recent: tuple[float, ...]) -> SeriesView:
    middle = (low + high) / 2
    limits = (-40.0, 85.0) if metric == "temperature" else (None, None)
    return SeriesView(
        "d", metric, None, 5000, True, middle, low, high, 0.1, (low, high), limits, recent, AT, recent[-1]
    )  # fmt: skip


WINDOWS = [
    window(
        "pump-1",
        "vibration",
        "mm/s",
        6.53,
        Score(4.5, Kind.LEVEL_SHIFT, (1.9, 2.4)),
        view("vibration", 0.2, 2.4, (2.1, 6.4, 6.53)),
    ),
    window(
        "freezer-1",
        "temperature",
        "degC",
        -9.17,
        Score(12.0, Kind.SPIKE, (-19.5, -17.2)),
        view("temperature", -19.5, -17.2, (-18.2, -9.17)),
    ),
    window(
        "boiler-1",
        "temperature",
        "degC",
        97.5,
        Score(9.0, Kind.OUT_OF_RANGE, None, limit=True),
        view("temperature", 60.0, 71.0, (70.1, 97.5)),
    ),
    window(
        "pump-2",
        "flow",
        "m3/h",
        12.4,
        Score(3.0, Kind.FLATLINE, (11.0, 13.0)),
        view("flow", 11.0, 13.0, (12.4,) * 8),
    ),
    window(
        "room-1",
        "co2",
        "ppm",
        640.0,
        Score(1.4, Kind.DRIFT, (400.0, 610.0)),
        view("co2", 400.0, 650.0, (600.0, 640.0)),
    ),
    window(
        "room-2",
        "humidity",
        "%RH",
        44.0,
        Score(0.3, Kind.NOISE, (42.0, 49.0)),
        view("humidity", 42.0, 49.0, (44.0,)),
    ),
]
BATCH = Batch("b1", tuple(WINDOWS))


def answers() -> dict[str, Answer]:
    prompt = render(BATCH, 4000, delimiter="k3x9")
    parsed = parse(json.dumps(answer(f"{prompt.system}\n{prompt.user}")), BATCH)
    assert parsed.repaired is None
    return {name: one for name, one in parsed.answers.items() if isinstance(one, Answer)}


def test_every_window_of_a_real_prompt_is_answered() -> None:
    """No window is left out, none is invalid, and kinds follow what is printed."""
    assert {name: (one.status, one.kind) for name, one in answers().items()} == {
        "pump-1": (Status.ANOMALY, Kind.LEVEL_SHIFT),
        "freezer-1": (Status.ANOMALY, Kind.SPIKE),
        "boiler-1": (Status.ANOMALY, Kind.OUT_OF_RANGE),
        "pump-2": (Status.ANOMALY, Kind.FLATLINE),
        "room-1": (Status.ANOMALY, Kind.DRIFT),
        "room-2": (Status.NORMAL, Kind.NONE),
    }


def test_shared_names_and_facts_change_no_answer() -> None:
    """The model of the simulator reads the windows, whatever comes before them."""
    site = Site.of("names", {"*": "It is old."})
    prompt = render(BATCH, 8000, delimiter="k3x9", site=site)
    assert "pump-1" in prompt.user
    assert "It is old." in prompt.user
    parsed = parse(json.dumps(answer(f"{prompt.system}\n{prompt.user}")), BATCH)
    assert parsed.answers == answers()


@pytest.mark.parametrize("one", WINDOWS, ids=lambda one: str(one.device))
def test_every_answer_is_grounded(one: Window) -> None:
    """The claims of the simulator's model pass the agent's own checks."""
    grounding, checks = check(answers()[one.id], one)
    assert (grounding, [claim for claim in checks if not claim.held]) == (Grounding.GROUNDED, [])


def test_value_that_the_series_often_has_is_called_normal() -> None:
    """The model's second look: a spike inside the usual 98 % is not an anomaly."""
    off = view("flow", 0.0, 13.0, (12.0, 0.0))
    batch = Batch("b2", (window("p", "flow", "m3/h", 0.0, Score(2.0, Kind.SPIKE, (11.0, 13.0)), off),))
    prompt = render(batch, 4000, delimiter="k")
    assert answer(prompt.user)["windows"][0]["status"] == "normal"


def test_it_answers_a_question_of_a_person() -> None:
    """From the findings of its facts, so that each check of the agent holds; without findings it has none."""
    head = {"now": "2026-03-02 09:00", "devices": 1, "findings": 2}
    found = [
        {
            "id": f"f{place}",
            "device": "d1",
            "kind": kind,
            "severity": "warning",
            "opened": f"2026-03-02 0{place}:10",
            **ended,
        }
        for place, (kind, ended) in enumerate(
            [("level_shift", {"ended": "2026-03-02 02:55"}), ("out_of_range", {})], 1
        )
    ]
    prompt, kept = render_question("why?", head, found, max_tokens=4000, delimiter="7f3a")
    told = answer_to_question(f"{prompt.system}\n{prompt.user}")
    answered = parse_answer(json.dumps(told))
    assert answered.cites == ("f1", "f2")
    assert [check for check in check_answer(answered, head, kept) if not check.held] == []
    prompt, _ = render_question("why?", head, [], max_tokens=4000, delimiter="7f3a")
    assert (answer_to_question(prompt.user) or {})["answered"] is False
    assert answer_to_question("no question") is None
