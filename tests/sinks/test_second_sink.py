"""A second sink is one class and its routes, and loses nothing over kills.

``EDGE_SINK_KILLS=50 python -m pytest -s tests/sinks`` kills fifty times and prints the figures.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.journal.reader import Reader

pytestmark = [pytest.mark.process, pytest.mark.slow]

KILLS = int(os.environ.get("EDGE_SINK_KILLS", "6"))
CONTROL_KILLS = 3
MAX_ROUNDS = 5
WORK_S = 1.0  # at most, until a life is killed


@dataclass(frozen=True, slots=True)
class Outcome:
    """The content of the file, compared with the messages that the journal promised."""

    promised: int
    lost: int
    repeated: int


def live(folder: Path, *, count: int, early: bool = False, kill_after_s: float | None = None) -> int:
    """Run one life; return its exit code."""
    plan = {"folder": str(folder), "count": count, "early": early}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sinks.life"], stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(plan))
        process.stdin.close()
        file = folder / "file"
        size = file.stat().st_size if file.exists() else 0
        if kill_after_s is not None:
            deadline = time.monotonic() + 30
            while (not file.exists() or file.stat().st_size == size) and time.monotonic() < deadline:
                time.sleep(0.002)  # it is killed at work, however long it takes to start
            time.sleep(kill_after_s)
            process.send_signal(signal.SIGKILL)
        return process.wait(90)


def run(folder: Path, *, kills: int, early: bool = False) -> Outcome:
    """Kill so many lives, let the last one deliver everything, and compare file and journal."""
    dice = random.Random(7)
    for _ in range(kills):
        assert live(folder, count=10**9, early=early, kill_after_s=dice.uniform(0, WORK_S)) == -signal.SIGKILL
    assert live(folder, count=20) == 0
    delivered: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "file").read_text().splitlines():
        with suppress(json.JSONDecodeError):  # cut by a kill: it was not delivered
            key, payload = json.loads(line)
            delivered[key].append(payload)
    promised: dict[str, list[str]] = defaultdict(list)
    with Reader.open(folder) as reader:
        for verdict in reader.verdicts(limit=10**6):
            promised[verdict.device].insert(0, verdict.body.decode())
        waiting = {row.sink for row in reader.outbox(limit=10**6)}
    assert waiting == {"refusing", "silent"}
    lost = repeated = 0
    for device, payloads in promised.items():
        first = dict.fromkeys(one for one in delivered[device] if "event_type" not in json.loads(one))
        lost += len(set(payloads) - set(first))
        assert [one for one in payloads if one in first] == list(first), f"{device}: out of order or altered"
        repeated += len(delivered[device]) - len(set(delivered[device]))
    return Outcome(sum(map(len, promised.values())), lost, repeated)


def test_a_second_sink_loses_nothing_over_kills(tmp_path: Path) -> None:
    """It is slow and fails at random, next to one that refuses everything and one that hangs."""
    outcome = run(tmp_path, kills=KILLS)
    print(f"{KILLS} kills: {outcome}")
    assert outcome.promised > 10 * KILLS
    assert outcome.lost == 0


def test_a_sink_that_answers_before_it_has_written_loses_some(tmp_path: Path) -> None:
    """The control: the kills do hit messages on their way; a slow machine may need some more of them."""
    rounds = (tmp_path / str(number) for number in range(MAX_ROUNDS))
    assert any(run(folder, kills=CONTROL_KILLS, early=True).lost for folder in rounds)
