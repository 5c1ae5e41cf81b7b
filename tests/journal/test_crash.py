"""kill -9 at any moment: no message lost or twice, no verdict changed."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.domain.records import MessageRow
from agent.journal.reader import Reader
from agent.testing.failpoint import MARKER, VARIABLE

pytestmark = pytest.mark.process


@dataclass
class Site:
    """The broker's and the consumer's memory over many lives of one journal."""

    folder: Path
    prune: bool = False
    count: int = 200  # messages of one life
    generation: int = 0
    sent: list[int] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    acked_last: list[int] = field(default_factory=list)  # in the last life, in order
    # Sent again in a life that ended before they were acknowledged: their key is now older than the previous
    # generation, and the rule takes them for new. Better twice than lost.
    may_be_twice: set[int] = field(default_factory=set)
    verdicts: dict[str, set[str]] = field(default_factory=dict)

    def live(self, *, kill_after_s: float | None = None, failpoint: str | None = None) -> int:
        """Run one life; return its exit code."""
        self.generation += 1
        first = max(self.sent, default=-1) + 1
        again = [number for number in self.sent if number not in self.acked]
        plan = {
            "folder": str(self.folder),
            "generation": self.generation,
            "again": again,
            "first": first,
            "count": self.count,
            "prune": self.prune,
        }
        environment = {**os.environ, **({VARIABLE: failpoint} if failpoint else {})}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.journal.life"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            said: list[str] = []
            if kill_after_s is not None:
                while not said or not said[-1].startswith(("A", "E")):  # it works now, however slow the start
                    said.append(process.stdout.readline())
                time.sleep(kill_after_s)
                process.send_signal(signal.SIGKILL)
            self.note("".join(said) + process.stdout.read())
            self.may_be_twice |= set(again) - set(self.acked_last)
            return process.wait(30)

    def note(self, lines: str) -> None:
        """Remember the output of a life."""
        self.acked_last = []
        for line in lines.splitlines():
            what, _, rest = line.partition(" ")
            if what == "S":
                self.sent.append(int(rest))
            elif what == "A":
                self.acked_last.append(int(rest))
            elif what == "V":
                self.verdicts.setdefault(rest.split()[0], set()).add(rest)
        self.acked.update(self.acked_last)

    def forget_acks(self, dice: random.Random) -> None:
        """Let the broker not have seen the last acks of this life: it sends those again too.

        The first message is left out: with the broker's first packet id the order proves nothing.
        """
        forgotten = self.acked_last[len(self.acked_last) - dice.randint(0, 300) :]
        self.acked.difference_update(set(forgotten) - {0})

    def check(self) -> None:
        """Compare the messages sent and the output with the journal."""
        with Reader.open(self.folder) as reader:
            values = [
                round(reading.value) - 20
                for row in reader.rows_after(0)
                if isinstance(row, MessageRow)
                for reading in row.readings
            ]
            twice = {value for value, times in Counter(values).items() if times > 1}
            assert twice <= self.may_be_twice, "a reading is there twice"
            if not self.prune:
                assert self.acked <= set(values), "an acknowledged reading is lost"
            assert reader.meta("generation") == str(self.generation)
            for found in reader.verdicts(limit=10_000):
                said = self.verdicts.get(found.id, set())
                assert said <= {found.body.decode()}, "a verdict changed"
        connection = sqlite3.connect(self.folder / "journal.sqlite")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


@pytest.mark.slow
def test_killed_at_random(tmp_path: Path) -> None:
    """Eight kills under load; the broker repeats all messages without a PUBACK, and some with one."""
    dice = random.Random(4)
    site = Site(tmp_path, count=2000)
    killed = 0
    for _ in range(8):
        killed += site.live(kill_after_s=dice.uniform(0.0, 0.5)) == -signal.SIGKILL
        site.forget_acks(dice)
    assert killed >= 6
    site.count = 10
    assert site.live() == 0
    site.check()
    assert set(site.sent) == site.acked
    assert all(len(contents) == 1 for contents in site.verdicts.values())


POINTS = [
    "c1_received:3",
    "c2_committing:5",
    "c3_committed:4",
    "c5_before_seal:2",
    "c6_attempt_committed:2",
    "c7_before_conclude:2",
    "c8_verdict_committed:2",
    "c10_before_outbox_done:2",
    "c11_pruning:2",
    "c12_schema:9",
    "c13_generation",
    "c13_generation_committed",
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_crash_point(tmp_path: Path, point: str) -> None:
    """The process dies there, and the next lives make up for it."""
    (tmp_path / MARKER).touch()
    site = Site(tmp_path, prune=point.startswith("c11"))
    if not point.startswith("c12"):
        assert site.live() == 0
    assert site.live(failpoint=point) == -signal.SIGKILL
    assert site.live() == 0
    site.check()
    assert set(site.sent) == site.acked
    assert all(len(contents) == 1 for contents in site.verdicts.values())
