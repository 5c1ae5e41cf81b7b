"""Three real agents on one broker: half an hour of a scenario in eight seconds."""

import json
from pathlib import Path

import pytest

from simulator.scenario import parse
from simulator.trial import TrialPlan, run
from simulator.trial.report import compact, figures_of, write

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

# A shift of 12 sd is found whether the pump rests or runs: the hour at which the test is run decides which.
SCENARIO = """
title: A pump that shifts and a room that is left alone
interval_s: 60
devices:
  - {id: pump-1, signal: pump, params: {period_s: 1800}}
  - {id: room-1, signal: room}
faults:
  - {device: pump-1, metric: pressure, kind: level_shift, from_s: 600, for_s: 600, size: 12}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial")


def test_three_agents_are_scored_against_one_truth(folder: Path) -> None:
    """All find the shift; the model costs nothing, little and much; a table shows it."""
    plan = TrialPlan(
        scenario=parse(SCENARIO, name="small", source="small.yaml"),
        history_s=86_400.0,
        live_s=1800.0,
        speed=240.0,
        lead_s=8.0,
        keep=folder,
    )
    told: list[str] = []
    outcome = run(plan, say=told.append)
    assert outcome.learned == (4 + 2) * 1440  # metrics of the pump and of the room, a day of minutes
    assert [str(one.kind) for one in outcome.labels] == ["level_shift"]
    by_mode = figures_of(outcome)
    assert list(by_mode) == ["none", "suspicious", "all"]
    for mode, one in by_mode.items():
        # one reading a minute, so that 30 minutes are some 15 to 30 windows of each device
        assert 30 <= one.verdicts <= 70, mode
        assert one.total.found == 1, mode
        assert one.device_days == pytest.approx(2 * 1800 / 86_400)
    none, some, every = by_mode.values()
    assert none.tokens == none.calls == 0
    assert 0 < some.tokens < every.tokens / 3
    assert every.sources["ai"] == 1.0
    write([outcome], folder)
    assert "small" in (folder / "score.md").read_text()
    assert json.loads((folder / "score.json").read_text())["all"]["none"]["total"]["recall"] == 1.0
    assert [row[:3] for row in compact([outcome])[1:2]] == [["small", "none", "1 of 1"]]
    assert (folder / "small" / "edge-agent_all.jsonl").exists()
